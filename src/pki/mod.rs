//! A directory of certificates: what is there, what is to be there, and how that comes about.

mod gate;
mod generate;
mod hold;
mod inventory;
mod place;
mod renew;
mod revoke;
mod rotate;
mod settings;
mod sign;
mod signing;
mod work;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::certs::authority;
use crate::certs::key::{self, PrivateKey};
use crate::certs::layout::Pair;
use crate::certs::pem::Pem;
use crate::certs::revocation;
use crate::certs::signing_request;
use crate::certs::{self, Certificate};

pub use gate::{Gate, Issuer, Running, rotation_of, running};
pub use generate::{client_kind, generate, issue};
pub use renew::{Renewal, Renewed, Which, is_due, renew};
pub use revoke::{Revoked, revoke};
pub use rotate::{
    Aborted, Rotation, abort, begin, begin_for_peers, extend, finish, reissue, rotations,
};
pub use settings::{MemberSettings, settings};
pub use sign::{Requested, import, read_request, request, sign};
pub use work::{Generated, Made, Setting};

/// Why nothing was made, or not all of it.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// A file is there and cannot be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// A file could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// Another run holds the directory.
    #[error("another run is at work in {}", .path.display())]
    Busy { path: PathBuf },

    /// Another run made it while this one was at work.
    #[error("{} appeared while it was being made", .path.display())]
    AppearedMeanwhile { path: PathBuf },

    /// A file does not hold what its name says.
    #[error("{} holds no certificate", .path.display())]
    NoCertificate { path: PathBuf },

    /// A file holds a certificate that cannot be read.
    #[error("cannot use {}", .path.display())]
    BadCertificate { path: PathBuf, source: certs::Error },

    /// A file holds a key that cannot be used.
    #[error("cannot use {}", .path.display())]
    BadKey { path: PathBuf, source: key::Error },

    /// Certificates are to be signed, and what signs is not here.
    #[error("the key of the authority {} is not here: {} is missing", .certificate.display(), .key.display())]
    NoAuthorityKey { certificate: PathBuf, key: PathBuf },

    /// A file that was named is not there.
    #[error("{} is not there", .path.display())]
    NotThere { path: PathBuf },

    /// There is no authority that could sign.
    #[error("{} is not there: there is no authority", .certificate.display())]
    NoAuthority { certificate: PathBuf },

    /// A name was given, and nothing here has it.
    #[error("there is no certificate of `{name}` in {}", .root.display())]
    NobodyOfThatName { name: String, root: PathBuf },

    /// A certificate is not of the authorities of this directory.
    #[error("{} was issued by `{issuer}`, which is not here", .path.display())]
    IssuedElsewhere { path: PathBuf, issuer: String },

    /// There is nothing to go on with.
    #[error("no rotation has begun in {}", .root.display())]
    NotBegun { root: PathBuf },

    /// There is no second name for a second authority.
    #[error("the layout of {} knows one authority only", .root.display())]
    OneAuthority { root: PathBuf },

    /// The one excludes the other.
    #[error("a rotation to a new key has begun in {}", .root.display())]
    HasBegun { root: PathBuf },

    /// The old authority cannot be given up.
    #[error("{count} certificates are still of the old authority, {} among them", .path.display())]
    StillOfOld { path: PathBuf, count: usize },

    /// There is no revocation list, or none could be made.
    #[error("cannot use {}", .path.display())]
    RevocationList {
        path: PathBuf,
        source: revocation::Error,
    },

    /// A file is no signing request that could be signed.
    #[error("cannot use {}", .path.display())]
    BadRequest {
        path: PathBuf,
        source: signing_request::Error,
    },

    /// A signing request could not be made.
    #[error("no signing request was made")]
    Request { source: signing_request::Error },

    /// A certificate could not be issued.
    #[error("nothing was issued")]
    Issue { source: authority::Error },

    /// Files are in the place of what would be made, and are something else.
    #[error("{} would be replaced: {why}", .path.display())]
    WouldReplace { path: PathBuf, why: String },
}

/// Reads a file that need not be there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The certificates of a file, if it is there.
fn read_certificates(path: &Path) -> Result<Option<Vec<Certificate>>, Error> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let pem = Pem::read(&bytes);
    let certificates = pem.certificates().collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|source| Error::BadCertificate {
        path: path.to_owned(),
        source,
    })?;
    match certificates.is_empty() {
        true => Err(Error::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(Some(certificates)),
    }
}

fn read_key(path: &Path) -> Result<Option<PrivateKey>, Error> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let key = PrivateKey::from_pem(&bytes).map_err(|source| Error::BadKey {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(key))
}

/// What is at the place of a certificate and its key.
struct Found {
    certificates: Option<Vec<Certificate>>,
    key: Option<PrivateKey>,
}

impl Found {
    fn at(root: &Path, pair: &Pair) -> Result<Self, Error> {
        Ok(Self {
            certificates: read_certificates(&root.join(&pair.certificate))?,
            key: read_key(&root.join(&pair.key))?,
        })
    }
}
