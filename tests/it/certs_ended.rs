//! A cluster whose certificates have all ended, the authorities' among them: it still commits, and comes back whole.

use std::time::Duration;

use etcd_client::Client;
use etcdrx::certs::Certificate;
use tokio::time::{sleep, timeout};

use crate::certs_boot::replace_certificates;
use crate::certs_generate::certificate;
use crate::certs_setup::on_every_etcd;
use crate::scratch::{Cluster, EtcdRelease};
use crate::setup::etcdrx;

/// So long are the authorities valid: long enough for a cluster to start on a busy machine.
const LIFE: &str = "20s";

on_every_etcd!(a_cluster_whose_authorities_have_ended_comes_back_with_the_keys_that_it_has);

async fn a_cluster_whose_authorities_have_ended_comes_back_with_the_keys_that_it_has(
    etcd: &EtcdRelease,
) {
    let mut cluster = Cluster::of(etcd)
        .members(3)
        .tls()
        .start_after(|cluster| replace_certificates(cluster, &["--ca-validity", LIFE]))
        .await;
    let pki = cluster.pki().unwrap().directory().to_owned();
    let before = certificate(&pki.join("ca.crt"));
    let certs = |arguments: &[&str]| {
        let out = pki.display().to_string();
        let arguments = [&["certs"], arguments, &["--out", &out]].concat();
        etcdrx().run(arguments)
    };
    // One connection, that is opened now.
    let mut open = cluster.member_client(0).await;
    open.put("before", "1", None).await.unwrap();
    sleep(until_end(&before)).await;

    // Who is connected stays so, and so do the members among themselves.
    open.put("while", "2", None).await.unwrap();
    assert!(!connects(&cluster).await);
    let found = etcdrx().run(["certs", "check", &pki.display().to_string()]);
    certs(&["rotate-ca", "begin", "--same-key"]).success();
    certs(&["renew", "--due"]).success();
    for member in &mut cluster.members {
        member.stop();
    }
    for member in &mut cluster.members {
        assert!(member.wait_for_end(Duration::from_secs(20)).is_some());
    }
    cluster.start_all().await;

    let mut client = cluster.client().await;
    for (key, value) in [("before", "1"), ("while", "2")] {
        let found = client.get(key, None).await.unwrap();
        assert_eq!(found.kvs()[0].value_str().unwrap(), value);
    }
    assert!(found.stdout.contains("v01-authority-expired"), "{found:?}");
    let after = certificate(&pki.join("ca.crt"));
    assert_eq!((after.subject, after.key), (before.subject, before.key));
}

fn until_end(certificate: &Certificate) -> Duration {
    let left = certificate.not_after - chrono::Utc::now();
    left.to_std().unwrap_or_default() + Duration::from_secs(1)
}

/// Whether a new connection is taken.
async fn connects(cluster: &Cluster) -> bool {
    let options = cluster.connect_options();
    let connect = async {
        let mut client = Client::connect(cluster.endpoints(), Some(options)).await?;
        client.status().await
    };
    matches!(timeout(Duration::from_secs(3), connect).await, Ok(Ok(_)))
}
