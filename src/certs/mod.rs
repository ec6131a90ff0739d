//! What a certificate is to etcd: read, judged by the rules of the Go that etcd is built with, issued, explained.

pub mod certificate;
pub mod check;
pub mod judge;
pub mod key;
pub mod pem;
mod read;
mod shape;
mod strict;

pub use certificate::Certificate;
pub use read::Error;
