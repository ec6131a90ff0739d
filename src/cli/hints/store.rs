//! What to do about a store that does not answer, refuses, or gives back something else.

use etcdrx::catalog::Error as CatalogError;
use etcdrx::repository::{Error as RepositoryError, LockError};

use super::super::failure::Exit;

pub(super) const CHANGES: &str =
    "the store changes what it is given: trust nothing in it, and use another";

pub(super) fn repository_exit(error: &RepositoryError) -> (Exit, &'static str) {
    match error {
        RepositoryError::NotConfigured => (
            Exit::Usage,
            "set `url` in [repository], ETCDRX_REPOSITORY_URL, or --repository",
        ),
        RepositoryError::BadUrl { .. } | RepositoryError::BadSetting { .. } => (
            Exit::Usage,
            "correct [repository] in etcdrx.toml, or the credentials in the environment",
        ),
        RepositoryError::ReadCa { .. } | RepositoryError::ReadCredentials { .. } => {
            (Exit::Usage, "check the path and who may read it")
        }
        RepositoryError::BadCredentials { .. } => (
            Exit::Usage,
            "lines such as AWS_ACCESS_KEY_ID=..., in a file that its owner alone may read (chmod 600)",
        ),
        RepositoryError::NoDirectory { .. } => (
            Exit::Unreachable,
            "is it mounted? The first backup makes the last component of the path, nothing above it",
        ),
        RepositoryError::CreateDirectory { .. } => (
            Exit::Unreachable,
            "the directory above must be there: is it mounted, and may we write to it?",
        ),
        RepositoryError::NotFound { .. } => {
            (Exit::Failed, "it may have been removed in the meantime")
        }
        RepositoryError::NoBucket { .. } => (
            Exit::Failed,
            "etcdrx makes no buckets: create it, or correct the URL",
        ),
        RepositoryError::Exists { .. } => (Exit::Refused, "nothing was overwritten"),
        RepositoryError::Untrusted { .. } => (
            Exit::Unreachable,
            "`ca` in [repository] names the authority that signed it; the name in the URL must be one of its names",
        ),
        RepositoryError::NoCredentials { .. } => (
            Exit::Failed,
            "set them in the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3",
        ),
        RepositoryError::Denied { .. } => (
            Exit::Failed,
            "check the credentials and the rights on the bucket or directory: read, write, list, delete",
        ),
        RepositoryError::Full { .. } => (
            Exit::Failed,
            "free space, or prune; what was written of this backup was removed again",
        ),
        RepositoryError::Unreachable { .. } => (
            Exit::Unreachable,
            "`etcdrx check` tries the store step by step",
        ),
        RepositoryError::Local { .. } => (Exit::Failed, "look at the directory's owner and mode"),
        RepositoryError::WebDav { .. } => (Exit::Failed, "the server's log says more"),
        RepositoryError::TooLarge { .. } => (Exit::Failed, "is this etcdrx's folder?"),
    }
}

pub(super) fn lock_exit(error: &LockError) -> (Exit, &'static str) {
    match error {
        LockError::Held { .. } => (
            Exit::Refused,
            "wait for it (--wait 10m); a run that died is recognised by itself within two minutes",
        ),
        LockError::Lost => (
            Exit::Failed,
            "was this machine asleep, or the store out of reach for more than two minutes? Run it again",
        ),
        LockError::Store { source } => repository_exit(source),
    }
}

pub(super) fn catalog_exit(error: &CatalogError) -> (Exit, &'static str) {
    match error {
        CatalogError::Repository { source } => repository_exit(source),
        CatalogError::Empty { .. } => (
            Exit::Failed,
            "`etcdrx backup` takes one; is --cluster the right name?",
        ),
        CatalogError::Unknown { .. } | CatalogError::Ambiguous { .. } => {
            (Exit::Usage, "`etcdrx list` shows the ids")
        }
        CatalogError::Unreadable { .. } => (
            Exit::Damaged,
            "the data beside the manifest may still be whole",
        ),
    }
}
