//! What tests of certificates on running servers have in common.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcdrx::certs::Certificate;
use etcdrx::certs::pem::Pem;
use etcdrx::etcd::Identity;
use etcdrx::etcd::probe::TlsVersion;

use crate::scratch::pki::{self, install_crypto};
use crate::scratch::{Cluster, EtcdRelease};

/// What a port may take for each step: the machine is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a test of each function for every etcd; where one is not here, the test says so.
macro_rules! on_every_etcd {
    ($($case:ident)*) => {$(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_3_4() {
                super::$case(&crate::scratch::require_etcd!("3.4")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_3_5() {
                super::$case(&crate::scratch::require_etcd!("3.5")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_3_6() {
                super::$case(&crate::scratch::require_etcd!("3.6")).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_3_7() {
                super::$case(&crate::scratch::require_etcd!("3.7")).await;
            }
        }
    )*};
}

pub(crate) use on_every_etcd;

/// The newest TLS that a server of this etcd can be told to speak.
pub(crate) fn versions(etcd: &EtcdRelease) -> Vec<TlsVersion> {
    // The 3.4 that is tested here has no flag for it.
    match etcd.minor() {
        4 => vec![TlsVersion::Tls13],
        _ => vec![TlsVersion::Tls13, TlsVersion::Tls12],
    }
}

/// A cluster of one member with TLS, of no newer version than `newest`.
pub(crate) async fn single(etcd: &EtcdRelease, newest: TlsVersion) -> Cluster {
    let cluster = Cluster::of(etcd).tls();
    match newest {
        TlsVersion::Tls13 => cluster.start().await,
        TlsVersion::Tls12 => cluster.flag("--tls-max-version=TLS1.2").start().await,
    }
}

/// A certificate to knock with.
pub(crate) fn identity(files: &pki::Identity) -> Identity {
    install_crypto();
    Identity::read(&files.cert, &files.key).unwrap()
}

/// The certificates of a PEM file.
pub(crate) fn certificates(path: &Path) -> Vec<Certificate> {
    let pem = Pem::read(&fs::read(path).unwrap());
    let blocks = pem.blocks.iter();
    blocks
        .map(|block| Certificate::from_der(&block.bytes).unwrap())
        .collect()
}
