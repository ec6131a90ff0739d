//! Takes down what a server shows in a handshake, and accepts all of it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio_rustls::TlsConnector;

use crate::etcd::Error;
use crate::etcd::credentials::Identity;

/// The chain as it was sent, and the names of the authorities, if the server asked for a certificate.
pub(super) type Recorded = (Vec<Vec<u8>>, Option<Vec<Vec<u8>>>);

/// A verifier that writes down instead of verifying, and a client without a certificate that notes being asked for one.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Recorded>);

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the server has shown its chain.
    pub(super) fn has_chain(&self) -> bool {
        !self.with(|(chain, _)| chain.is_empty())
    }

    /// What was written down.
    pub(super) fn take(&self) -> Recorded {
        self.with(std::mem::take)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Recorded) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let all = std::iter::once(end_entity).chain(intermediates);
        self.with(|(chain, _)| *chain = all.map(|der| der.to_vec()).collect());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = provider().signature_verification_algorithms;
        known.supported_schemes()
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let names = root_hint_subjects.iter().map(|der| der.to_vec());
        self.with(|(_, asked)| *asked = Some(names.collect()));
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A client that has no certificate to show, and writes down who asks for one.
pub(super) fn anonymous(
    recorder: &Arc<Recorder>,
    alpn: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("aws-lc-rs has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_cert_resolver(recorder.clone());
    config.alpn_protocols = vec![alpn.to_owned()];
    Arc::new(config)
}

/// A client that shows `identity`, if there is one, whatever authorities the server names.
pub(super) fn connector(
    recorder: &Arc<Recorder>,
    alpn: &[u8],
    identity: Option<&Identity>,
) -> Result<TlsConnector, Error> {
    let Some(identity) = identity else {
        let config = anonymous(recorder, alpn, rustls::ALL_VERSIONS);
        return Ok(TlsConnector::from(config));
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("aws-lc-rs has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|error| identity.unusable(&error))?;
    config.alpn_protocols = vec![alpn.to_owned()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The one of this program; it can do more than the others, P-521 among it, which etcd's `--auto-tls` uses.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}
