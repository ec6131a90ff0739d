//! Revocation lists (RFC 5280, 5): certificates that are not accepted any more, though their time is not over.
//!
//! etcd reads one list in DER at every connection, and compares serial numbers only; who issued it and when it ends do not
//! matter to it. From 3.6 on a list in PEM makes it refuse every client (measured), so none is ever written.

use std::collections::BTreeMap;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use thiserror::Error;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Certificate;

/// Why there is no revocation list.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file is something else.
    #[error("it is no revocation list in DER: {problem}")]
    NotAList { problem: String },

    /// Another authority signed it, or nobody did.
    #[error("it is not signed by `{authority}`")]
    NotSigned { authority: String },

    /// The authority must not sign such lists.
    #[error("the key usage of `{authority}` does not let it sign revocation lists")]
    MayNotSign { authority: String },

    /// The library refused what it was told.
    #[error("cannot encode the revocation list")]
    Encode { source: rcgen::Error },
}

/// Whether the signature of a list is that of an authority.
pub(super) fn is_signed_by(list: &CertificateRevocationList<'_>, authority: &Certificate) -> bool {
    let key = SubjectPublicKeyInfo::from_der(&authority.key.der);
    key.is_ok_and(|(_, key)| list.verify_signature(&key).is_ok())
}

/// The serial numbers that are revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// Its number; every new list of an authority has a greater one.
    pub number: u64,
    /// Serial numbers, as they are encoded, and since when they are revoked.
    pub revoked: BTreeMap<Vec<u8>, DateTime<Utc>>,
}

impl RevocationList {
    /// Reads a list, and checks that `authority` signed it.
    ///
    /// # Errors
    /// If it is no such list.
    pub fn from_der(der: &[u8], authority: &Certificate) -> Result<Self, Error> {
        let (rest, list) =
            CertificateRevocationList::from_der(der).map_err(|error| Error::NotAList {
                problem: error.to_string(),
            })?;
        if !rest.is_empty() {
            return Err(Error::NotAList {
                problem: format!("{} bytes follow it", rest.len()),
            });
        }
        if !is_signed_by(&list, authority) {
            return Err(Error::NotSigned {
                authority: authority.subject.text.clone(),
            });
        }
        let number = list
            .crl_number()
            .and_then(|number| u64::try_from(number).ok());
        let revoked = list.iter_revoked_certificates().map(|entry| {
            let time = entry.revocation_date.timestamp();
            let time = DateTime::from_timestamp(time, 0).unwrap_or_default();
            (entry.raw_serial().to_owned(), time)
        });
        Ok(Self {
            number: number.unwrap_or_default(),
            revoked: revoked.collect(),
        })
    }

    /// The list in DER, with the next number, signed.
    pub(super) fn sign(
        &self,
        authority: &Certificate,
        key: &KeyPair,
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, Error> {
        let encode = |source| Error::Encode { source };
        if authority.key_usage.is_some_and(|usage| !usage.crl_sign) {
            return Err(Error::MayNotSign {
                authority: authority.subject.text.clone(),
            });
        }
        let time = |time: DateTime<Utc>| SystemTime::from(time).into();
        let revoked = self
            .revoked
            .iter()
            .map(|(serial, since)| RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: time(*since),
                reason_code: None,
                invalidity_date: None,
            });
        let params = CertificateRevocationListParams {
            this_update: time(now),
            next_update: time(authority.not_after),
            crl_number: SerialNumber::from_slice(&(self.number + 1).to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            // What OpenSSL looks the authority up by.
            key_identifier_method: KeyIdMethod::PreSpecified(
                authority.subject_key_id.clone().unwrap_or_default(),
            ),
        };
        let issuer = Issuer::from_ca_cert_der(&authority.der().into(), key).map_err(encode)?;
        let list = params.signed_by(&issuer).map_err(encode)?;
        let der = list.der().to_vec();
        // What would not be read again is not given out.
        Self::from_der(&der, authority)?;
        Ok(der)
    }
}
