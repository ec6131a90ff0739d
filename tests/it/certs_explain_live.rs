//! Broken certificates, real etcds, and what `certs explain` makes of their logs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use etcd_client::{Client, TlsOptions};
use etcdrx::certs::explain::{Explanation, read_log};
use rcgen::ExtendedKeyUsagePurpose;

use crate::scratch::cluster::Member;
use crate::scratch::pki::{Identity, Leaf};
use crate::scratch::{Cluster, process, program, tools};
use crate::setup::etcdrx;

/// What the log of a broken gateway says or not: gRPC sees the alert, or only that the pipe is broken.
const BY_CHANCE: &str = "gateway-cannot-connect";

const PATIENCE: Duration = Duration::from_secs(20);

/// What the log says now.
fn explained(log: &str) -> Vec<Explanation> {
    let report = read_log(Cursor::new(log), || true);
    report.unwrap().explanations
}

/// Waits until the member's log, from a place on, is explained by all these and by nothing else.
async fn expect_in_log(member: &Member, from: usize, expected: &[&str]) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = member.log();
        let explanations = explained(&log[from..]);
        let ids = explanations.iter().map(|one| one.id);
        let ids: BTreeSet<&str> = ids.filter(|id| *id != BY_CHANCE).collect();
        if ids == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} says {ids:?}, not {expected:?}\n{explanations:#?}",
            member.name()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a member again that shows another certificate.
fn restart_with(member: &mut Member, kind: &str, identity: &Identity) -> usize {
    member.kill();
    let arguments = member.arguments();
    arguments.push(format!("--{kind}cert-file={}", identity.cert.display()));
    arguments.push(format!("--{kind}key-file={}", identity.key.display()));
    let from = member.log().len();
    member.start();
    from
}

/// Asks the JSON gateway for a key, as a client that shows a good certificate.
async fn ask_gateway(cluster: &Cluster) {
    let read = |path: &Path| fs::read(path).unwrap();
    let root = cluster.root_identity().unwrap();
    let pair = [read(&root.key), read(&root.cert)].concat();
    let ca = reqwest::Certificate::from_pem(&read(&cluster.pki().unwrap().ca())).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .identity(reqwest::Identity::from_pem(&pair).unwrap())
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let url = format!("{}/v3/kv/range", cluster.members[0].client_url());
    // It fails, now or in a while: what counts is the log.
    let _ = client.post(url).body(r#"{"key":"a2V5"}"#).send().await;
}

/// Connects as a client does; it is refused.
async fn be_refused(cluster: &Cluster, identity: Option<&Identity>) {
    let options = identity.map(|identity| cluster.options_with(identity));
    let options = options.unwrap_or_else(|| {
        let ca = fs::read(cluster.pki().unwrap().ca()).unwrap();
        let ca = etcd_client::Certificate::from_pem(ca);
        let tls = TlsOptions::new().ca_certificate(ca);
        cluster.connect_options().with_tls(tls)
    });
    let url = cluster.members[0].client_url();
    if let Ok(mut client) = Client::connect([url], Some(options)).await {
        client.status().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_gateway_that_etcd_refuses_is_found_in_its_log() {
    for etcd in tools::etcd_versions() {
        let mut cluster = Cluster::of(&etcd).tls().start().await;
        let pki = cluster.pki().unwrap();
        let leaf = Leaf::server("etcd-1").usages(&[ExtendedKeyUsagePurpose::ServerAuth]);
        let for_servers = pki.issue(&leaf, &pki.directory().join("for-servers"));
        assert_eq!(explained(&cluster.members[0].log()), []);

        let from = restart_with(&mut cluster.members[0], "", &for_servers);
        cluster.wait_until_healthy().await;
        ask_gateway(&cluster).await;

        expect_in_log(&cluster.members[0], from, &["gateway-refused-by-itself"]).await;
    }
}

#[tokio::test]
async fn clients_that_etcd_refuses_are_told_apart_in_its_log() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).tls().start().await;
        let pki = cluster.pki().unwrap();
        let member = &cluster.members[0];

        be_refused(&cluster, Some(&pki.foreign_client("root"))).await;
        be_refused(&cluster, Some(&pki.expired_client("root"))).await;
        be_refused(&cluster, None).await;
        let mut plain = TcpStream::connect(member.client_address()).unwrap();
        plain
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let _ = plain.read(&mut [0; 100]);

        let expected = [
            "client-of-another-authority",
            "client-expired",
            "no-client-certificate",
            "plain-http-on-tls-port",
        ];
        expect_in_log(member, 0, &expected).await;
        let log = cluster.directory().join("etcd-1.log");
        let read = etcdrx().run(["certs", "explain", "--json", "--log", log.to_str().unwrap()]);
        let json = read.success().json();
        let explanations = json["explanations"].as_array().unwrap();
        assert_eq!(explanations.len(), expected.len());
        assert!(
            explanations.iter().all(|one| one["remote"] == "127.0.0.1"),
            "{json}"
        );
    }
}

#[tokio::test]
async fn a_client_that_distrusts_etcd_is_found_in_its_log() {
    let cluster = Cluster::of(&tools::newest_etcd()).tls().start().await;
    let other_ca = cluster.pki().unwrap().other_ca();

    let mut etcdctl = process::command(&cluster.release().etcdctl());
    let variables = cluster.environment().into_iter();
    etcdctl.envs(variables.filter(|(name, _)| name != "ETCDCTL_CACERT"));
    etcdctl.arg("--cacert").arg(other_ca);
    etcdctl.args(["--command-timeout=2s", "get", "key"]);
    let etcdctl = program::run(etcdctl, PATIENCE);

    assert_ne!(etcdctl.code, 0);
    expect_in_log(&cluster.members[0], 0, &["client-distrusts-server"]).await;
    let ids: Vec<&str> = explained(&etcdctl.stderr)
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(ids, ["server-of-another-authority"], "{etcdctl:?}");
}

#[tokio::test]
async fn a_member_without_its_address_in_its_certificate_is_found_in_the_logs_of_all() {
    for etcd in [tools::etcd_versions().remove(0), tools::newest_etcd()] {
        let mut cluster = Cluster::of(&etcd).tls().members(3).start().await;
        let pki = cluster.pki().unwrap();
        let elsewhere = Leaf::server("etcd-peer").names(&["10.99.0.3"]);
        let elsewhere = pki.issue_peer(&elsewhere, &pki.directory().join("elsewhere"));
        let others = cluster.members[0].log().len();

        let from = restart_with(&mut cluster.members[2], "peer-", &elsewhere);

        let refuses = [
            "source-address-not-in-certificate",
            "name-not-in-server-certificate",
        ];
        expect_in_log(&cluster.members[0], others, &refuses).await;
        let refused = ["client-distrusts-server", "closed-by-peer"];
        expect_in_log(&cluster.members[2], from, &refused).await;
    }
}

#[tokio::test]
async fn a_member_that_does_not_start_for_its_files_says_why() {
    for etcd in tools::etcd_versions() {
        let mut cluster = Cluster::of(&etcd).tls().start().await;
        let pki = cluster.pki().unwrap();
        let mixed = Identity {
            cert: pki.member("etcd-1").server.cert,
            key: pki.client("somebody").key,
        };
        let nowhere = Identity {
            cert: pki.directory().join("nowhere.crt"),
            key: mixed.key.clone(),
        };
        let cases = [
            ("", mixed, "key-of-another-certificate"),
            ("peer-", nowhere, "file-unreadable"),
        ];

        for (kind, identity, expected) in cases {
            let from = restart_with(&mut cluster.members[0], kind, &identity);
            let ended = cluster.members[0].wait_for_end(PATIENCE);

            assert!(ended.is_some_and(|status| !status.success()));
            expect_in_log(&cluster.members[0], from, &[expected]).await;
        }
    }
}
