//! Plain snapshot bytes to stored bytes and back: digests, trailer, compression, encryption, in one pass.
//!
//! Both ways run on a blocking thread between two bounded channels, so that memory stays flat whatever the size of
//! the database.

mod decode;
mod digest;
mod encode;
pub mod encryption;
mod level;
mod outlet;
mod plain;
mod sealed;

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::backend;
use crate::id::Digest;

pub use decode::{Decoded, Opening, decode, decode_deep, digest};
pub use digest::{Sha256, StoredTotals};
pub use encode::{Block, Encoded, FRAME_BYTES, Level, Options, encode};
pub use plain::{Deep, Plain, PlainTotals, TRAILER_BYTES, has_trailer};
pub use sealed::{round_trip, seal, unseal};

/// Why bytes are not a snapshot, or could not be passed on.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// A snapshot is a database of whole pages followed by 32 bytes.
    #[error(
        "the snapshot has {size_bytes} bytes, which is not a whole number of pages and a SHA-256 trailer: it is cut short or is no snapshot"
    )]
    WrongSize { size_bytes: u64 },

    /// The trailer that etcd appends is not the digest of what went before.
    #[error("the snapshot's SHA-256 is {found}, its trailer says {trailer}: bytes were changed")]
    TrailerMismatch { found: Digest, trailer: Digest },

    /// The bytes are whole, and no database that etcd wrote.
    #[error("the snapshot is not a sound etcd database")]
    Database { source: backend::Error },

    /// The stored bytes are not a zstd stream.
    #[error("the stored object cannot be decompressed")]
    Decompress { source: io::Error },

    /// The stored bytes are whole, or may be, and are for somebody else.
    #[error("none of the identities in {} opens it", .path.display())]
    NoneOpens { path: PathBuf },

    /// The stored bytes are not what was encrypted.
    #[error("the stored object cannot be decrypted")]
    Decrypt {
        source: Box<dyn StdError + Send + Sync>,
    },

    /// No key could be made for the recipients.
    #[error("cannot encrypt")]
    Encrypt { source: io::Error },

    /// zstd refused to compress.
    #[error("cannot compress")]
    Compress { source: io::Error },

    /// Whoever takes the decoded bytes failed.
    #[error("cannot write the decoded snapshot")]
    Output { source: io::Error },

    /// The other end of a channel is gone: the work was given up elsewhere, and the reason is told there.
    #[error("the work was given up")]
    Abandoned,
}
