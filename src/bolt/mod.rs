//! The pages of a bbolt file: bytes in, values out, never out of bounds.
//!
//! The layout is that of bbolt 1.3.6 to 1.5.0 (`internal/common/page.go`, `meta.go`, `bucket.go`); all integers
//! are little-endian, as on every host that etcd supports well.

mod page;

pub use page::{Branch, Header, Leaf, LeafElement, META_BYTES, Meta, PageKind};
