//! Private keys: read as Go reads them, made, and held against the certificate that they belong to.

use std::fmt;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
};
use rustls::pki_types::PrivateKeyDer;
use serde::Deserialize;
use thiserror::Error;

use super::Certificate;
use super::pem::{self, Block, Pem};

const LABEL: &str = "PRIVATE KEY";

/// Why a file holds no key that etcd could use.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No block is a private key.
    #[error("it holds no private key in PEM")]
    NoKey,

    /// It needs a passphrase, which etcd cannot be given.
    #[error("the private key is encrypted, and etcd reads only plain ones")]
    Encrypted,

    /// It is of a kind that Go does not load, or garbage.
    #[error("the private key is of a kind that etcd does not load, or damaged")]
    Unusable { source: rcgen::Error },

    /// The system's randomness or the library failed.
    #[error("cannot make a key")]
    Generate { source: rcgen::Error },
}

/// The kinds of keys that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum KeyType {
    /// Small, fast, and known to everybody.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// For those whose rules ask for it.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// Not known to every client.
    #[serde(rename = "ecdsa-p521")]
    EcdsaP521,
    /// Not known to every client.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// The least that everybody still takes.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// Larger.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// Largest; slow to make.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// How it is called in profiles and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }

    /// Whether it is RSA, whose certificates carry one key usage more.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// Who may not be able to talk to a server with such a key.
    #[must_use]
    pub fn caveat(self) -> Option<&'static str> {
        match self {
            Self::EcdsaP521 => Some("clients built with rustls on ring cannot use P-521 keys"),
            Self::Ed25519 => Some("some clients, and older OpenSSL, cannot use Ed25519 keys"),
            _ => None,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A private key, with the PEM that it was read from or will be written as.
pub struct PrivateKey {
    pair: KeyPair,
    pem: String,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl PrivateKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn generate(key_type: KeyType) -> Result<Self, Error> {
        let pair = match key_type {
            KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyType::EcdsaP521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            KeyType::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        let pair = pair.map_err(|source| Error::Generate { source })?;
        let der = pkcs8(key_type, &pair);
        Ok(Self {
            pem: pem::write(LABEL, &der),
            pair,
        })
    }

    /// Reads the first private key of a PEM file, in PKCS#8, PKCS#1 or SEC 1, wherever in the file it stands.
    ///
    /// # Errors
    /// If there is none, or none that etcd could use.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let pem = Pem::read(bytes);
        let mut keys = pem.blocks.iter().filter(|block| is_key(block));
        let block = keys.next().ok_or(Error::NoKey)?;
        if block.has_headers || block.label.starts_with("ENCRYPTED") {
            return Err(Error::Encrypted);
        }
        let der = PrivateKeyDer::try_from(block.bytes.as_slice()).map_err(|_| Error::Unusable {
            source: rcgen::Error::CouldNotParseKeyPair,
        })?;
        let pair = KeyPair::try_from(&der).map_err(|source| Error::Unusable { source })?;
        Ok(Self {
            pair,
            pem: pem::write(&block.label, &block.bytes),
        })
    }

    /// For signing.
    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// The `SubjectPublicKeyInfo` (RFC 5280, 4.1), in DER.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// Whether `certificate` is of this key.
    #[must_use]
    pub fn fits(&self, certificate: &Certificate) -> bool {
        self.public_key() == certificate.key.der
    }

    /// The key as PEM, with the label that it came with; what was made here is PKCS#8.
    #[must_use]
    pub fn to_pem(&self) -> &str {
        &self.pem
    }
}

/// Go takes `PRIVATE KEY` and whatever ends so.
fn is_key(block: &Block) -> bool {
    block.label == LABEL || block.label.ends_with(" PRIVATE KEY")
}

fn rsa(size: RsaKeySize) -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)
}

/// The key in PKCS#8, version 1: OpenSSL 3.0 does not read version 2 of Ed25519 (RFC 5958).
fn pkcs8(key_type: KeyType, pair: &KeyPair) -> Vec<u8> {
    /// The 16 bytes before the seed are the same in every such key (RFC 8410, 7).
    const ED25519: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let der = pair.serialize_der();
    match (key_type, der.get(16..48)) {
        // Version 2 has the same fields at the same places, but for the lengths and the version.
        (KeyType::Ed25519, Some(seed)) if der.len() > 48 => [&ED25519[..], seed].concat(),
        _ => der,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_made_and_read_again() {
        for key_type in KeyType::ALL {
            // The large ones take seconds without optimization.
            if key_type.is_rsa() && key_type != KeyType::Rsa2048 {
                continue;
            }
            let made = PrivateKey::generate(key_type).unwrap();
            let read = PrivateKey::from_pem(made.to_pem().as_bytes()).unwrap();
            assert_eq!(read.public_key(), made.public_key(), "{key_type}");
            assert!(made.to_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        }
    }

    #[test]
    fn what_etcd_could_not_load_is_refused_in_words() {
        let encrypted = pem::write("ENCRYPTED PRIVATE KEY", b"x");
        let garbage = pem::write("PRIVATE KEY", b"garbage");
        let public = pem::write("PUBLIC KEY", b"x");
        let error = |text: &str| PrivateKey::from_pem(text.as_bytes()).unwrap_err();
        assert!(matches!(error(&encrypted), Error::Encrypted));
        assert!(matches!(error(&garbage), Error::Unusable { .. }));
        assert!(matches!(error(&public), Error::NoKey));
        assert!(matches!(error(""), Error::NoKey));
    }
}
