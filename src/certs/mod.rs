//! What a certificate is to etcd: read, judged by the rules of the Go that etcd is built with, issued, explained.

pub mod authority;
pub mod certificate;
pub mod check;
mod content;
mod der;
pub mod explain;
pub mod judge;
pub mod key;
pub mod layout;
pub mod members;
pub mod pem;
pub mod profile;
mod read;
pub mod revocation;
mod shape;
pub mod signing_request;
mod strict;
mod vouch;

pub use certificate::Certificate;
pub use members::Host;
pub use read::Error;
