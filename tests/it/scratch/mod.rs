//! Real servers on loopback, for the tests, the demo and the benchmark.
//!
//! Whatever is started here dies with the value that holds it, and with the process. Nothing listens on, or reaches for, anything but
//! loopback. What goes wrong in here is a panic with the server's last words: a test has nothing better to do with it.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each of the tests, the demo and the benchmark uses a part"
)]

mod administration;
pub(crate) mod cluster;
pub(crate) mod faulty;
pub(crate) mod flaky_http;
mod front;
mod gcs;
mod http1;
mod other_stores;
pub(crate) mod pki;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod program;
mod s3;
pub(crate) mod store;
pub(crate) mod tools;

pub(crate) use cluster::Cluster;
pub(crate) use faulty::{Direction, Fault, Proxy};
pub(crate) use flaky_http::FlakyHttp;
pub(crate) use pki::Pki;
pub(crate) use process::Server;
pub(crate) use program::{Etcdrx, Output};
pub(crate) use store::Store;
pub(crate) use tools::{EtcdRelease, require, require_etcd};
