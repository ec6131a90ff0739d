//! A bbolt file: bytes in, values out, never out of bounds; and two ways to write one.
//!
//! The layout is that of bbolt 1.3.6 to 1.5.0 (`internal/common/page.go`, `meta.go`, `bucket.go`); all integers
//! are little-endian, as on every host that etcd supports well.

mod check;
mod edge;
mod file;
mod load;
mod node;
mod page;
mod patch;
#[cfg(test)]
mod proof;
mod tree;
mod walk;

use std::io;

use thiserror::Error;

pub use check::{Shape, check, finish};
pub use file::{Bytes, Database, Pages};
pub use load::Loader;
pub use page::{Branch, Header, Leaf, LeafElement, META_BYTES, Meta, NO_FREELIST, PageKind};
pub use patch::Patch;
pub use walk::{Bounds, Bucket, DEPTH, Order, Walk, Where};

/// Why a file is not a sound bbolt database, or cannot be made one.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// Neither of the first two pages is a valid meta page.
    #[error(
        "this is not an etcd database: neither of its first two pages is a valid bbolt meta page"
    )]
    NotADatabase,

    /// The file ends too early.
    #[error("the database is cut short: it has {found} bytes, its meta page says {expected}")]
    CutShort { expected: u64, found: u64 },

    /// A page is not what the tree says that it is.
    #[error("page {page} of the database {problem}")]
    BadPage { page: u64, problem: &'static str },

    /// The file could not be read.
    #[error("cannot read page {page} of the database")]
    Read { page: u64, source: io::Error },

    /// The file could not be written.
    #[error("cannot write page {page} of the database")]
    Write { page: u64, source: io::Error },

    /// What was written does not reach the disk.
    #[error("cannot bring the database to the disk")]
    Sync { source: io::Error },

    /// bbolt knows no pages of this size.
    #[error("a database cannot have pages of {page_size} bytes")]
    PageSize { page_size: usize },

    /// Keys are written in ascending order, each once.
    #[error("key {key} of the database was to be written after {previous}, which is not less")]
    NotAscending { key: String, previous: String },

    /// bbolt would refuse the key or its value.
    #[error("key {key} of the database {problem}")]
    BadEntry { key: String, problem: &'static str },

    /// Every key belongs to a bucket.
    #[error("key {key} was to be written before any bucket of the database")]
    NoBucket { key: String },
}
