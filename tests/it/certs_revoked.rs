//! Certificates that ended, by their date or before it, on live clusters: who is shut out, and how everybody gets back in.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use etcdrx::certs::authority::{Authority, Request};
use etcdrx::certs::key::PrivateKey;
use etcdrx::certs::pem;
use etcdrx::certs::profile::{Kind, Profile};
use etcdrx::etcd::Identity;
use etcdrx::etcd::probe::{Port, Reception, knock};

use crate::certs_boot::replace_certificates;
use crate::certs_generate::certificate;
use crate::certs_setup::on_every_etcd;
use crate::scratch::tools::EtcdRelease;
use crate::scratch::{Cluster, Output, require_etcd};
use crate::setup::{assert_ends, etcdrx};

const PATIENCE: Duration = Duration::from_secs(5);

fn pki(cluster: &Cluster) -> PathBuf {
    cluster.pki().unwrap().directory().to_owned()
}

fn certs(cluster: &Cluster, arguments: &[&str]) -> Output {
    let out = pki(cluster).display().to_string();
    etcdrx().run([&["certs"], arguments, &["--out", &out]].concat())
}

/// Whether the first member lets the client in.
async fn lets_in(cluster: &Cluster, client: &str) -> bool {
    let file = |kind: &str| pki(cluster).join(format!("clients/{client}.{kind}"));
    let identity = Identity::read(&file("crt"), &file("key")).unwrap();
    let received = knock(&cluster.endpoints()[0], Port::Client, &identity, PATIENCE).await;
    received.unwrap() == Reception::Accepted
}

async fn revokes(release: EtcdRelease) {
    let cluster = Cluster::of(&release)
        .tls()
        .start_after(|cluster| {
            replace_certificates(cluster, &[]);
            certs(cluster, &["crl"]).success();
            let list = pki(cluster).join("ca.crl").display().to_string();
            for member in &mut cluster.members {
                member.arguments().push(format!("--client-crl-file={list}"));
            }
        })
        .await;
    let before = (
        lets_in(&cluster, "backup").await,
        lets_in(&cluster, "root").await,
    );

    let file = pki(&cluster)
        .join("clients/backup.crt")
        .display()
        .to_string();
    certs(&cluster, &["revoke", &file]).success();
    let again = certs(&cluster, &["revoke", &file]).success();
    let after = (
        lets_in(&cluster, "backup").await,
        lets_in(&cluster, "root").await,
    );

    assert_eq!((before, after), ((true, true), (false, true)));
    assert!(
        again
            .stdout
            .contains("holds 1 serial numbers, 0 of them new"),
        "{again:?}"
    );
    let peer = pki(&cluster).join("etcd-1/peer.crt").display().to_string();
    let foreign = certs(&cluster, &["revoke", &peer]);
    assert_ends(&foreign, 4, &["was issued by", "which is not here"]);
}

#[tokio::test]
async fn a_revoked_client_is_shut_out_of_etcd_3_5() {
    revokes(require_etcd!("3.5")).await;
}

#[tokio::test]
async fn a_revoked_client_is_shut_out_of_etcd_3_6() {
    revokes(require_etcd!("3.6")).await;
}

#[tokio::test]
async fn a_revoked_client_is_shut_out_of_etcd_3_7() {
    revokes(require_etcd!("3.7")).await;
}

/// Replaces a certificate by one that ended an hour ago, as the clock would.
fn expire(cluster: &Cluster, authority: &str, kind: Kind, path: &str) {
    let read = |name: String| fs::read(pki(cluster).join(name)).unwrap();
    let file = |name: &str| pki(cluster).join(name);
    let signer = certificate(&file(&format!("{authority}.crt")));
    let key = PrivateKey::from_pem(&read(format!("private/{authority}.key"))).unwrap();
    let old = certificate(&file(&format!("{path}.crt")));
    let mut profile = Profile::embedded(kind);
    profile.validity = Duration::from_secs(2);
    profile.common_name = old.subject.common_name.clone().unwrap();
    let request = Request {
        profile: &profile,
        name: "",
        hosts: old.hosts().into_iter().collect(),
    };
    let authority = Authority::open(signer, key, chrono::Utc::now()).unwrap();
    let ended = authority
        .certify(&request, &old.key.der, chrono::Utc::now())
        .unwrap();
    fs::write(
        file(&format!("{path}.crt")),
        pem::write("CERTIFICATE", ended.der()),
    )
    .unwrap();
}

on_every_etcd!(a_cluster_whose_certificates_all_ended_comes_back_without_a_restart);

/// Every certificate of a running cluster has ended: no connection can be made. New files, and everybody is back at once.
async fn a_cluster_whose_certificates_all_ended_comes_back_without_a_restart(etcd: &EtcdRelease) {
    let cluster = Cluster::of(etcd)
        .members(3)
        .tls()
        .start_after(|cluster| replace_certificates(cluster, &[]))
        .await;
    for member in ["etcd-1", "etcd-2", "etcd-3"] {
        expire(&cluster, "ca", Kind::Server, &format!("{member}/server"));
        expire(&cluster, "peer-ca", Kind::Peer, &format!("{member}/peer"));
    }
    for client in ["root", "backup"] {
        expire(&cluster, "ca", Kind::Client, &format!("clients/{client}"));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let shut_out = lets_in(&cluster, "root").await;

    let due = certs(&cluster, &["renew", "--due"]).success();

    assert!(!shut_out);
    assert!(
        due.stdout.contains("8 certificates were renewed"),
        "{due:?}"
    );
    assert!(lets_in(&cluster, "root").await);
    cluster.wait_until_healthy().await;
}
