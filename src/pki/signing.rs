//! Who signs in a directory.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Error;
use super::work::to_pem;
use crate::certs::Certificate;
use crate::certs::authority::Authority;
use crate::certs::key::PrivateKey;
use crate::certs::layout::Pair;
use crate::certs::profile::{Profile, Signer};

/// Who signs.
pub(super) struct Authorities {
    pub(super) ca: Signing,
    pub(super) peers: Peers,
}

/// Who signs for the peer port.
pub(super) enum Peers {
    /// The authority of the client port.
    TheSame,
    /// An own one.
    Own(Box<Signing>),
    /// Nobody yet; this file is missing.
    Nobody(PathBuf),
}

impl Authorities {
    /// The authority of the peer port.
    pub(super) fn of_peers(&self) -> Result<&Signing, Error> {
        match &self.peers {
            Peers::TheSame => Ok(&self.ca),
            Peers::Own(signing) => Ok(signing),
            Peers::Nobody(certificate) => Err(Error::NoAuthority {
                certificate: certificate.clone(),
            }),
        }
    }

    /// Who signs what the profile makes.
    pub(super) fn signing(&self, profile: &Profile) -> Result<&Signing, Error> {
        match profile.signed_by {
            Signer::PeerCa => self.of_peers(),
            Signer::Ca | Signer::Itself => Ok(&self.ca),
        }
    }
}

/// An authority whose key may be elsewhere.
pub(super) struct Signing {
    pub(super) certificate: Certificate,
    /// Every certificate of its file: while an authority is rotated, there are two.
    pub(super) trusted: Vec<Certificate>,
    /// The file's text, which goes into the bundles as it is.
    pub(super) text: String,
    pub(super) authority: Option<Authority>,
    pub(super) pair: Pair,
}

impl Signing {
    /// An authority whose key is at hand.
    pub(super) fn of(
        certificate: Certificate,
        key: PrivateKey,
        pair: Pair,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let authority = Authority::open(certificate.clone(), key, now)
            .map_err(|source| Error::Issue { source })?;
        Ok(Self {
            text: to_pem(&certificate),
            trusted: vec![certificate.clone()],
            certificate,
            authority: Some(authority),
            pair,
        })
    }

    /// The authority with its key, if that is here.
    pub(super) fn with_key(&self, root: &Path) -> Result<&Authority, Error> {
        let missing = || Error::NoAuthorityKey {
            certificate: root.join(&self.pair.certificate),
            key: root.join(&self.pair.key),
        };
        self.authority.as_ref().ok_or_else(missing)
    }
}
