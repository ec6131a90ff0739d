//! A bbolt file: bytes in, values out, never out of bounds; and two ways to write one.
//!
//! The layout is that of bbolt 1.3.6 to 1.5.0 (`internal/common/page.go`, `meta.go`, `bucket.go`); all integers
//! are little-endian, as on every host that etcd supports well.

mod check;
mod file;
mod page;
mod walk;

use std::io;

use thiserror::Error;

pub use check::{Shape, check};
pub use file::{Bytes, Database, Pages};
pub use page::{Branch, Header, Leaf, LeafElement, META_BYTES, Meta, NO_FREELIST, PageKind};
pub use walk::{Bucket, Order, Walk, Where};

/// Why a file is not a sound bbolt database.
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
}
