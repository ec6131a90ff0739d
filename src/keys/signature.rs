//! Signatures over manifests: Ed25519 (RFC 8032), with keys as `openssl genpkey -algorithm ed25519` writes them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use thiserror::Error;

use crate::certs::pem::Pem;

/// What stands before the 32 bytes of a public key in a `SubjectPublicKeyInfo` (RFC 8410, 4).
const PUBLIC_KEY_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// The file holds something else.
    #[error("{} holds no {wanted} of Ed25519 in PEM", .path.display())]
    NoKey { path: PathBuf, wanted: &'static str },
}

/// Signs manifests.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SigningKey {
    /// Reads a private key: PKCS#8 in PEM, not encrypted.
    ///
    /// # Errors
    /// If it cannot be read, or is another kind of key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let der = block(path, "PRIVATE KEY", "private key")?;
        match Ed25519KeyPair::from_pkcs8(&der) {
            Ok(pair) => Ok(Self(pair)),
            Err(_) => Err(Error::NoKey {
                path: path.to_owned(),
                wanted: "private key",
            }),
        }
    }

    /// The signature over `bytes`: 64 bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }
}

/// Checks the signatures of manifests.
#[derive(Debug)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Reads a public key: `SubjectPublicKeyInfo` in PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// If it cannot be read, or is another kind of key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let der = block(path, "PUBLIC KEY", "public key")?;
        let key = der.strip_prefix(&PUBLIC_KEY_HEAD);
        let key = key.and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| Error::NoKey {
            path: path.to_owned(),
            wanted: "public key",
        })
    }

    /// Whether the owner of the private key signed exactly these bytes.
    #[must_use]
    pub fn accepts(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(bytes, signature).is_ok()
    }
}

/// The first block of this name in a file.
fn block(path: &Path, label: &str, wanted: &'static str) -> Result<Vec<u8>, Error> {
    let text = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let blocks = Pem::read(&text).blocks.into_iter();
    let mut found = blocks.filter(|block| block.label == label);
    let block = found.next().ok_or_else(|| Error::NoKey {
        path: path.to_owned(),
        wanted,
    })?;
    Ok(block.bytes)
}
