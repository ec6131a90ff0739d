//! A member's write-ahead log: written for a restored member, read whatever state it is in, raised to its last entry.
//!
//! The layout is that of etcd 3.4 to 3.7 (`server/storage/wal`): files in sequence, each a list of frames, each frame a record whose
//! checksum runs on over all records before it.

mod entries;
mod facts;
mod frame;
mod raise;
mod records;
mod second_api;
mod segments;
mod stranded;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use entries::{Entries, entries};
pub use facts::{Facts, Gap, read};
pub use frame::lengths;
pub use raise::{Raised, is_held, raise_commit};
pub use records::{Damage, End, Ending};
pub use second_api::{SecondApi, second_api};
pub use segments::{Segment, segments};
pub(in crate::datadir) use write::FIRST_TERM;
pub use write::{SEGMENT_BYTES, Style, create};

/// Why a write-ahead log could not be written, read or changed.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// A directory or a file in it could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// A directory or a file in it could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// There is nothing to read.
    #[error("{} holds no .wal file", .path.display())]
    NoFile { path: PathBuf },

    /// The log of a new member begins with nothing.
    #[error("{} holds a write-ahead log already", .path.display())]
    NotEmpty { path: PathBuf },

    /// Something in the log is not as etcd wrote it.
    #[error("the write-ahead log is damaged at byte {offset} of {}: {damage}", .file.display())]
    Damaged {
        file: PathBuf,
        offset: u64,
        damage: Damage,
    },

    /// Entries are missing in the middle.
    #[error("the write-ahead log in {} has no entries from {} to {}", .path.display(), .gap.first, .gap.last)]
    Gap { path: PathBuf, gap: Gap },

    /// A log that never got as far as having a state has nothing to raise.
    #[error("the write-ahead log in {} holds no raft state or no entry", .path.display())]
    NoState { path: PathBuf },

    /// A member runs on the log; what is to be changed is a copy.
    #[error("a process holds {}: the member runs", .path.display())]
    InUse { path: PathBuf },

    /// The log is shorter than what the member promised.
    #[error("the write-ahead log in {} ends at entry {last}, and {commit} is committed: entries are lost", .path.display())]
    CommitBeyondEnd {
        path: PathBuf,
        last: u64,
        commit: u64,
    },

    /// What was appended did not read back.
    #[error("the record appended to {} does not read back", .path.display())]
    NotReadBack { path: PathBuf },
}
