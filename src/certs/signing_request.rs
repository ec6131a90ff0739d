//! Certificate signing requests (PKCS#10, RFC 2986): so that a key never leaves the machine that uses it.
//!
//! Of a request only the public key and the names are taken. What the certificate may be used for, and for how long, is the
//! profile's to say: a request that asks to become an authority gets a leaf.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::Host;
use super::authority::alternative_names;
use super::key::PrivateKey;
use super::pem::{self, Pem};
use super::strict::ip;

const LABEL: &str = "CERTIFICATE REQUEST";

/// Why a request cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file holds no request.
    #[error("it holds no certificate signing request in PEM")]
    NoRequest,

    /// What it holds is damaged.
    #[error("the signing request cannot be read: {problem}")]
    Damaged { problem: String },

    /// Whoever made it does not have the key.
    #[error("the signing request is not signed with the key that it is for")]
    BadSignature,

    /// No such request could be made.
    #[error("cannot encode the signing request")]
    Encode { source: rcgen::Error },
}

/// What is taken from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// The public key (`SubjectPublicKeyInfo` in DER).
    pub public_key: Vec<u8>,
    /// The names and addresses that it asks for.
    pub hosts: BTreeSet<Host>,
    /// Whom it says that it is of; for people only.
    pub subject: String,
}

impl SigningRequest {
    /// Reads the first request of a PEM file, and checks that it is signed with its own key.
    ///
    /// # Errors
    /// If there is none, or it is damaged or not so signed.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let pem = Pem::read(bytes);
        let is_request = |label: &str| label == LABEL || label == "NEW CERTIFICATE REQUEST";
        let block = pem.blocks.iter().find(|block| is_request(&block.label));
        let der = &block.ok_or(Error::NoRequest)?.bytes;
        let damaged = |problem: String| Error::Damaged { problem };
        let (_, request) =
            X509CertificationRequest::from_der(der).map_err(|error| damaged(error.to_string()))?;
        let info = &request.certification_request_info;
        request
            .verify_signature()
            .map_err(|_| Error::BadSignature)?;
        let mut hosts = BTreeSet::new();
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                for name in &names.general_names {
                    hosts.extend(host(name).map_err(damaged)?);
                }
            }
        }
        Ok(Self {
            public_key: info.subject_pki.raw.to_owned(),
            hosts,
            subject: info.subject.to_string(),
        })
    }

    /// Makes a request for `key` in PEM.
    ///
    /// # Errors
    /// If a name cannot be encoded.
    pub fn create(key: &PrivateKey, common_name: &str, hosts: &[Host]) -> Result<String, Error> {
        let encode = |source| Error::Encode { source };
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = alternative_names(hosts).map_err(encode)?;
        let request = params.serialize_request(key.pair()).map_err(encode)?;
        Ok(pem::write(LABEL, request.der()))
    }
}

fn host(name: &GeneralName<'_>) -> Result<Option<Host>, String> {
    match name {
        GeneralName::DNSName(name) => {
            let host = name.parse::<Host>().map_err(|error| error.to_string())?;
            Ok(Some(host))
        }
        GeneralName::IPAddress(bytes) => {
            let address = ip(bytes).ok_or("an address in it is none")?;
            Ok(Some(Host::Address(address)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyType;
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_again() {
        let key = PrivateKey::generate(KeyType::EcdsaP384).unwrap();
        let hosts = ["10.0.0.1", "m1.example.com"].map(|host| host.parse().unwrap());

        let text = SigningRequest::create(&key, "m1", &hosts).unwrap();
        let request = SigningRequest::from_pem(text.as_bytes()).unwrap();

        assert_eq!(request.public_key, key.public_key());
        assert_eq!(request.hosts, hosts.into());
        assert!(request.subject.contains("m1"));
    }

    #[test]
    fn a_request_that_was_changed_is_refused() {
        let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
        let text = SigningRequest::create(&key, "member-one", &[]).unwrap();
        let mut der = Pem::read(text.as_bytes()).blocks[0].bytes.clone();
        let at = der.windows(10).position(|bytes| bytes == b"member-one");
        der[at.unwrap()] ^= 1;
        let changed = pem::write(LABEL, &der);

        assert!(matches!(
            SigningRequest::from_pem(changed.as_bytes()),
            Err(Error::BadSignature)
        ));
        assert!(matches!(
            SigningRequest::from_pem(b""),
            Err(Error::NoRequest)
        ));
        let garbage = pem::write(LABEL, b"garbage");
        assert!(matches!(
            SigningRequest::from_pem(garbage.as_bytes()),
            Err(Error::Damaged { .. })
        ));
    }
}
