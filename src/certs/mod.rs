//! What a certificate is to etcd.

pub mod explain;
