//! Attachments: the side files without which a restored database is of little use, in one archive beside it.

mod gather;
mod unpack;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use gather::{Gathered, gather};
pub use unpack::{count, unpack};

/// As much as may be attached. Certificates, tokens and manifests have some hundred KiB; what is larger is data, and is backed up by other means.
pub const MOST_BYTES: u64 = 16 << 20;
/// As long as the archive of it may be: names, directories and empty files take room, too.
pub const MOST_ARCHIVE_BYTES: u64 = 4 * MOST_BYTES;

/// Why there is no archive, or nothing comes out of it.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// What is to be attached is not the few small files that it should be.
    #[error(
        "what `attach` names is more than {} MiB: the limit was reached at {}",
        MOST_BYTES >> 20,
        .path.display()
    )]
    TooLarge { path: PathBuf },

    /// The archive is not what [`gather()`] makes.
    #[error("the archive of attachments cannot be read")]
    Archive { source: io::Error },

    /// The target is there, and nothing is ever overwritten.
    #[error("{} exists already", .path.display())]
    Exists { path: PathBuf },

    /// The files could not be written.
    #[error("cannot unpack the attachments into {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}
