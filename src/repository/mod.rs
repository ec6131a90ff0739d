//! Where the backups of clusters live; the only door to an object store.
//!
//! Layout, below the repository's URL: `<cluster>/<backup id>/snapshot.db.zst` and, written last,
//! `<cluster>/<backup id>/manifest.json`; beside them pins and verifications; locks in `<cluster>/locks/`.

mod bucket;
mod commit;
mod credentials;
mod folder;
mod holder;
mod leftovers;
mod lock;
mod open;
mod together;
mod upload;
mod webdav;

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

pub use bucket::{Locked, Protection};
pub use commit::CommitError;
pub use folder::{Folder, Object, Stored};
pub use holder::Holder;
pub use leftovers::TemporaryFile;
pub use lock::{Lock, LockError, LockRecord};
pub use open::{Mode, Repository};
pub use together::together;
pub use upload::Upload;

/// How long a run that failed may take to clean up after itself.
const CLEANING_UP: Duration = Duration::from_secs(30);

/// Why the repository did not do what it should.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No URL was configured.
    #[error("no repository is configured")]
    NotConfigured,

    /// The URL cannot be one of a repository.
    #[error("`{url}` is not a repository: {problem}")]
    BadUrl { url: String, problem: String },

    /// A setting does not fit.
    #[error("the repository's settings are not usable: {problem}")]
    BadSetting { problem: String },

    /// The CA file could not be read.
    #[error("cannot read the repository's CA file {}", .path.display())]
    ReadCa { path: PathBuf, source: io::Error },

    /// The file with the credentials could not be read.
    #[error("cannot read the repository's credentials file {}", .path.display())]
    ReadCredentials { path: PathBuf, source: io::Error },

    /// The file with the credentials is not safe, or not usable.
    #[error("the repository's credentials file {} is not usable: {problem}", .path.display())]
    BadCredentials { path: PathBuf, problem: String },

    /// The directory of a `file://` repository is not there.
    #[error("the repository directory {} does not exist", .path.display())]
    NoDirectory { path: PathBuf },

    /// The directory of a `file://` repository could not be made.
    #[error("cannot create the repository directory {}", .path.display())]
    CreateDirectory { path: PathBuf, source: io::Error },

    /// The object is not there.
    #[error("{object} does not exist")]
    NotFound { object: String },

    /// The bucket is not there.
    #[error("there is no such bucket: cannot {action} {object}")]
    NoBucket {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// The object is there already, and must not be.
    #[error("{object} exists already")]
    Exists { object: String },

    /// The store's certificate is signed by nobody whom we trust, or is for another name.
    #[error("the store's certificate is not trusted: cannot {action} {object}")]
    Untrusted {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// Nobody told us who we are, and the machine has no identity of its own in a cloud.
    #[error("there are no credentials for the store: cannot {action} {object}")]
    NoCredentials {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// The store knows us not, or does not let us.
    #[error("the store does not allow us to {action} {object}")]
    Denied {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// The disk is full, or a quota is used up.
    #[error("no space left to {action} {object}")]
    Full {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// The store did not answer, or answered with a fault of its own, also after several tries.
    #[error("cannot {action} {object}")]
    Unreachable {
        action: &'static str,
        object: String,
        source: object_store::Error,
    },

    /// The local file system failed.
    #[error("cannot {action} {object}")]
    Local {
        action: &'static str,
        object: String,
        source: io::Error,
    },

    /// A WebDAV server said no, in its own way.
    #[error("the WebDAV server answered `{answer}` when asked to {action} {object}")]
    WebDav {
        action: &'static str,
        object: String,
        answer: String,
    },

    /// An object that must be small is not.
    #[error("{object} has {size_bytes} bytes, and no object of its kind is that large")]
    TooLarge { object: String, size_bytes: u64 },
}

/// Cleans up while the store answers; where it does not, a later run sweeps.
async fn briefly(
    action: &'static str,
    object: &str,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let done = timeout(CLEANING_UP, work).await;
    done.unwrap_or_else(|elapsed| {
        Err(Error::Unreachable {
            action,
            object: object.to_owned(),
            source: object_store::Error::Generic {
                store: "repository",
                source: Box::new(elapsed),
            },
        })
    })
}

/// Finds out what an error of the store means.
fn classify(action: &'static str, object: &str, source: object_store::Error) -> Error {
    use object_store::Error as Store;
    let object = object.to_owned();
    if let Some(kind) = io_kind(&source) {
        return classify_io(kind, action, object, source);
    }
    // Listings tell everything in their text alone.
    let says = |words| mentions(&source, words);
    match source {
        // Where no credentials are given, object_store asks the cloud's metadata service for some.
        _ if says(&["169.254.169.254", "metadata.google.internal"]) => Error::NoCredentials {
            action,
            object,
            source,
        },
        _ if says(&["invalid peer certificate"]) => Error::Untrusted {
            action,
            object,
            source,
        },
        _ if says(&["NoSuchBucket", "ContainerNotFound"]) => Error::NoBucket {
            action,
            object,
            source,
        },
        Store::NotFound { .. } => Error::NotFound { object },
        Store::AlreadyExists { .. } | Store::Precondition { .. } => Error::Exists { object },
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Error::Denied {
            action,
            object,
            source,
        },
        _ if says(&["401 Unauthorized", "403 Forbidden"]) => Error::Denied {
            action,
            object,
            source,
        },
        _ if says(&["URL scheme is not allowed"]) => Error::BadSetting {
            problem: format!(
                "{object} would be reached by plain http://, and `allow_http` is not set"
            ),
        },
        _ if says(&["XMinioStorageFull", "507 Insufficient"]) => Error::Full {
            action,
            object,
            source,
        },
        _ => Error::Unreachable {
            action,
            object,
            source,
        },
    }
}

/// The same, where the file system is at the root of it.
fn classify_io(
    kind: io::ErrorKind,
    action: &'static str,
    object: String,
    source: object_store::Error,
) -> Error {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full {
            action,
            object,
            source,
        },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::Denied {
            action,
            object,
            source,
        },
        io::ErrorKind::NotFound => Error::NotFound { object },
        io::ErrorKind::AlreadyExists => Error::Exists { object },
        _ => Error::Unreachable {
            action,
            object,
            source,
        },
    }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    })
}

/// The kind of the file system's error at the root of `error`, if one is.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .find(|kind| {
            use io::ErrorKind as Kind;
            matches!(
                kind,
                Kind::StorageFull
                    | Kind::QuotaExceeded
                    | Kind::PermissionDenied
                    | Kind::ReadOnlyFilesystem
                    | Kind::NotFound
                    | Kind::AlreadyExists
            )
        })
}

fn mentions(error: &(dyn StdError + 'static), words: &[&str]) -> bool {
    chain(error).any(|error| {
        let text = error.to_string();
        words.iter().any(|word| text.contains(word))
    })
}
