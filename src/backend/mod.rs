//! What etcd keeps in its database: buckets, records, and what follows from them.

mod contents;
mod crc;
#[cfg(test)]
pub(crate) mod golden;
mod hashkv;
mod history;
mod kubernetes;
mod pager;
mod record;
mod scan;
mod status;
mod store;
mod survey;
mod surveyed;

use thiserror::Error;

use crate::bolt;
use crate::id::Revision;

pub use contents::{Alarm, AlarmKind, Contents, Lease, StoredMember, contents};
pub use hashkv::hashkv;
pub use history::{Change, Select, State, changes, leases_at, revision_of, state_at};
pub use kubernetes::KubernetesObject;
pub use record::{KeyValue, RecordKey};
pub use scan::{Facts, Scan};
pub use status::{BucketCount, Status, status};
pub use store::{Entry, Place, Record, Store};
pub use survey::Survey;
pub use surveyed::Surveyed;

/// Why a database could not be read as etcd's.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No valid meta page at the beginning of a stream.
    #[error("this is not an etcd database: its first page is not a bbolt meta page")]
    NotADatabase,

    /// The size that the meta page tells is not that of the stream.
    #[error("the database has {found} bytes, its meta page says {expected}")]
    WrongSize { expected: u64, found: u64 },

    /// The tree leads to a page that is not what it should be.
    #[error("page {page} of the database is not {expected}")]
    BadPage { page: u64, expected: &'static str },

    /// The file is no sound bbolt database.
    #[error(transparent)]
    Bolt(#[from] bolt::Error),

    /// A bucket of every etcd database is missing.
    #[error("the database has no bucket `{0}`: etcd did not write it")]
    NoBucket(&'static str),

    /// A record is not what etcd writes.
    #[error("a record in page {page} of the database {problem}")]
    BadRecord { page: u64, problem: &'static str },

    /// A small bucket holds what etcd does not write there.
    #[error("the bucket `{bucket}` holds {problem}")]
    BadEntry {
        bucket: &'static str,
        problem: &'static str,
    },

    /// The revision is not reached yet.
    #[error("revision {revision} is not in the database: its newest is {newest}")]
    Future {
        revision: Revision,
        newest: Revision,
    },

    /// What happened up to the revision was compacted away.
    #[error("revision {revision} was compacted away: the database reaches back to {compacted}")]
    Compacted {
        revision: Revision,
        compacted: Revision,
    },
}
