//! The keys to a cluster's backups: for whom they are encrypted, what opens them, and what signs their manifests.

pub mod signature;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use self::signature::{SigningKey, VerifyingKey};

use crate::codec::encryption::{self, Identities, Recipients};
use crate::config;

/// Why a key that is configured cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// Somebody whom backups are to be encrypted for is nobody.
    #[error("[encryption] recipients")]
    Recipients { source: encryption::Error },

    /// The identities could not be read.
    #[error("[encryption] identity_file")]
    Identity { source: encryption::Error },

    /// Backups are to be signed, and cannot be.
    #[error("[encryption] signing_key_file")]
    Signing { source: signature::Error },

    /// Signatures are to be checked, and cannot be.
    #[error("[encryption] verifying_key_file")]
    Verifying { source: signature::Error },

    /// There is nothing to open an encrypted backup with.
    #[error("no identity is configured")]
    NoIdentity,
}

/// The keys to the backups of one cluster.
#[derive(Debug, Default)]
pub struct Keys {
    recipients: Option<Arc<Recipients>>,
    identity_file: Option<PathBuf>,
    signing_key_file: Option<PathBuf>,
    verifying: Option<VerifyingKey>,
}

impl Keys {
    /// Takes the keys that are configured.
    ///
    /// The private ones are read when they are needed: a host that takes backups needs no secret, and the secret may lie on a disk that
    /// is put in for a restore only.
    ///
    /// # Errors
    /// If a recipient is none: what was to be encrypted is never stored in the clear. Or if signatures are to be checked, and cannot be.
    pub fn open(settings: &config::Encryption) -> Result<Self, Error> {
        let recipients = settings.recipients.as_ref();
        let recipients = recipients.map(|texts| Recipients::parse(texts)).transpose();
        let recipients = recipients.map_err(|source| Error::Recipients { source })?;
        let verifying = settings.verifying_key_file.as_deref();
        let verifying = verifying.map(VerifyingKey::read).transpose();
        Ok(Self {
            verifying: verifying.map_err(|source| Error::Verifying { source })?,
            signing_key_file: settings.signing_key_file.clone(),
            recipients: recipients.map(Arc::new),
            identity_file: settings.identity_file.clone(),
        })
    }

    /// Whom backups are encrypted for; `None` where they are stored in the clear.
    #[must_use]
    pub fn recipients(&self) -> Option<&Arc<Recipients>> {
        self.recipients.as_ref()
    }

    /// Reads what signs manifests; `None` where they are not signed.
    ///
    /// # Errors
    /// If a file is named and is no such key.
    pub fn signing(&self) -> Result<Option<SigningKey>, Error> {
        let path = self.signing_key_file.as_deref();
        let key = path.map(SigningKey::read).transpose();
        key.map_err(|source| Error::Signing { source })
    }

    /// What checks the signatures of manifests; `None` where nobody asks for them.
    #[must_use]
    pub fn verifying(&self) -> Option<&VerifyingKey> {
        self.verifying.as_ref()
    }

    /// Whether a file is named that should open backups.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.identity_file.is_some()
    }

    /// Reads what opens backups.
    ///
    /// # Errors
    /// If there is none, or the file is not what it should be.
    pub fn identities(&self) -> Result<Arc<Identities>, Error> {
        let path = self.identity_file.as_ref().ok_or(Error::NoIdentity)?;
        let identities = Identities::read(path);
        let identities = identities.map_err(|source| Error::Identity { source })?;
        Ok(Arc::new(identities))
    }
}
