//! What etcd keeps in its database.

mod scan;

pub use scan::{Error, Facts, Scan};
