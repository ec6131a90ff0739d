//! What `handshakes` finds in running clusters: nothing in good ones, and in bad ones what health checks do not see.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use etcdrx::certs::Certificate;
use etcdrx::etcd::probe::TlsVersion;
use etcdrx::handshakes::{Listeners, Request, examine};
use etcdrx::manifest::{Finding, Severity};
use etcdrx::progress::Silent;
use rcgen::ExtendedKeyUsagePurpose;

use crate::certs_setup::{PATIENCE, certificates, identity, on_every_etcd, single};
use crate::scratch::pki::{self, Leaf};
use crate::scratch::{Cluster, EtcdRelease, process};

on_every_etcd! {
    a_good_cluster_has_no_findings
    a_cluster_at_odds_with_its_files_is_told_apart_from_them
    a_server_certificate_without_client_auth_kills_the_gateway_alone
    a_peer_certificate_that_fails_one_way_is_found_with_its_direction
    a_peer_certificate_without_the_address_it_dials_from_is_found
    a_peer_certificate_refused_both_ways_cuts_its_member_off
    a_server_that_forgot_its_authorities_is_found
    ports_that_give_nothing_away_are_findings
}

async fn a_good_cluster_has_no_findings(etcd: &EtcdRelease) {
    let cluster = Cluster::of(etcd).members(3).tls().start().await;
    let request = request(&cluster);
    assert_eq!(request.clients.on_disk.len(), 3);

    let findings = once(&request, <[Finding]>::is_empty).await;

    assert_eq!(findings, []);
}

async fn a_cluster_at_odds_with_its_files_is_told_apart_from_them(etcd: &EtcdRelease) {
    let cluster = single(etcd, TlsVersion::Tls13).await;
    let pki = cluster.pki().unwrap();
    let server = pki.directory().join("etcd-1/server");
    let mut request = request(&cluster);
    // A bundle of the old and the new authority, as a rotation begins; and a certificate renewed behind our back.
    let bundle = [pki.ca(), pki.other_ca()].map(|path| fs::read_to_string(path).unwrap());
    fs::write(pki.ca(), bundle.concat()).unwrap();
    request.clients.authorities = Some((pki.ca(), certificates(&pki.ca())));
    pki.issue(&Leaf::server("etcd-1"), &server);
    request.clients.identity = Some(identity(&pki.expired_client("root")));
    let elsewhere = Leaf::server("etcd-peer").names(&["127.0.0.3"]);
    let elsewhere = pki.issue_peer(&elsewhere, &pki.directory().join("elsewhere"));
    request.peers.identity = Some(identity(&elsewhere));

    let findings = examine(&request, &Silent).await;

    let codes = [
        "restart-needed",
        "served-not-on-disk",
        "refused",
        "refused-after-handshake",
    ];
    assert_eq!(words(&findings), codes, "{findings:#?}");
    let other = &certificates(&pki.other_ca())[0].subject.text;
    assert!(
        findings[0]
            .message
            .contains(&format!("does not trust `{other}` yet"))
    );
    assert_eq!(findings[1].severity, Severity::Warning);
    assert!(
        findings[1]
            .message
            .contains("etcd-1/server.crt holds serial")
    );
    assert!(
        findings[2]
            .message
            .contains("root-expired.crt expired at 20")
    );
    assert!(findings[3].message.contains("proves nothing"));
}

async fn a_server_certificate_without_client_auth_kills_the_gateway_alone(etcd: &EtcdRelease) {
    let mut cluster = single(etcd, TlsVersion::Tls13).await;
    let pki = cluster.pki().unwrap();
    let leaf = Leaf::server("etcd-1").usages(&[ExtendedKeyUsagePurpose::ServerAuth]);
    pki.issue(&leaf, &pki.directory().join("etcd-1/server"));
    cluster.members[0].kill();
    cluster.restart_member(0).await;

    let findings = examine(&request(&cluster), &Silent).await;

    assert_eq!(words(&findings), ["gateway-dead"], "{findings:#?}");
}

async fn a_peer_certificate_that_fails_one_way_is_found_with_its_direction(etcd: &EtcdRelease) {
    let mut cluster = Cluster::of(etcd).members(3).tls().start().await;
    let cases = [
        (ExtendedKeyUsagePurpose::ServerAuth, "peer-dials-nobody"),
        (
            ExtendedKeyUsagePurpose::ClientAuth,
            "peer-dialled-by-nobody",
        ),
    ];
    for (usage, code) in cases {
        let pki = cluster.pki().unwrap();
        let leaf = Leaf::server("etcd-peer").usages(&[usage]);
        pki.issue_peer(&leaf, &pki.directory().join("etcd-3/peer"));
        cluster.members[2].kill();
        // Healthy is what it becomes: that is why nobody notices.
        cluster.restart_member(2).await;
        let request = request(&cluster);

        let expected = ["served-refused", code];
        let findings = once(&request, |findings| words(findings) == expected).await;

        assert_eq!(words(&findings), expected, "{findings:#?}");
        let bad = &cluster.members[2];
        assert!(
            findings[0].message.contains(bad.peer_url()),
            "{findings:#?}"
        );
        assert!(
            findings[1].message.contains(bad.client_url()),
            "{findings:#?}"
        );
    }
}

async fn a_peer_certificate_without_the_address_it_dials_from_is_found(etcd: &EtcdRelease) {
    let mut cluster = Cluster::of(etcd).members(3).tls().start().await;
    let port = cluster.members[2].peer_address().port();
    let url = format!("https://127.0.0.3:{port}");
    // It dials from 127.0.0.1, as all do here.
    let pki = cluster.pki().unwrap();
    let leaf = Leaf::server("etcd-peer").names(&["127.0.0.3"]);
    let shown = pki.issue_peer(&leaf, &pki.directory().join("etcd-3/peer"));
    let status = cluster.status(2).await.unwrap();
    let id = status.header().unwrap().member_id();
    let mut client = cluster.client().await;
    client.member_update(id, [url.clone()]).await.unwrap();
    cluster.members[2].kill();
    let flags = cluster.members[2].arguments();
    flags.push(format!("--listen-peer-urls={url}"));
    cluster.restart_member(2).await;
    let mut request = request(&cluster);
    request.peers.endpoints = vec![cluster.members[0].peer_url().to_owned(), url];
    request.peers.identity = Some(identity(&shown));

    let expected = [
        "refused-after-handshake",
        "refused-after-handshake",
        "peer-dials-nobody",
    ];
    let findings = once(&request, |findings| words(findings) == expected).await;

    assert_eq!(words(&findings), expected, "{findings:#?}");
    let bad = cluster.members[2].client_url();
    assert!(findings[2].message.contains(bad), "{findings:#?}");
}

async fn a_peer_certificate_refused_both_ways_cuts_its_member_off(etcd: &EtcdRelease) {
    let mut cluster = Cluster::of(etcd).members(3).tls().start().await;
    let pki = cluster.pki().unwrap();
    // Of the authority of clients, which no member trusts for peers.
    pki.issue(
        &Leaf::server("etcd-peer"),
        &pki.directory().join("etcd-3/peer"),
    );
    cluster.members[2].kill();
    cluster.members[2].start();
    let mut request = request(&cluster);
    request.patience = Duration::from_secs(3);

    let expected = ["silent-tls", "served-refused", "peer-cut-off"];
    let findings = once(&request, |findings| words(findings) == expected).await;

    assert_eq!(words(&findings), expected, "{findings:#?}");
}

async fn a_server_that_forgot_its_authorities_is_found(etcd: &EtcdRelease) {
    let mut cluster = single(etcd, TlsVersion::Tls13).await;
    let mut request = request(&cluster);
    request.peers.endpoints.clear();
    cluster.members[0].kill();
    // The flags for the authorities stay, and count no more.
    let flags = ["--cert-file=", "--key-file=", "--auto-tls"].map(str::to_owned);
    cluster.members[0].arguments().extend(flags);
    cluster.members[0].start();

    let expected = [
        "no-client-certificates",
        "served-refused",
        "served-not-on-disk",
    ];
    let findings = once(&request, |findings| words(findings) == expected).await;

    assert_eq!(words(&findings), expected, "{findings:#?}");
}

async fn ports_that_give_nothing_away_are_findings(etcd: &EtcdRelease) {
    let plain = Cluster::of(etcd).start().await;
    let mut cluster = Cluster::of(etcd).members(3).tls().start().await;
    let mut request = request(&cluster);
    request.patience = Duration::from_secs(3);
    cluster.kill_all();
    cluster.members[0].start();
    request.clients.endpoints.truncate(1);
    request
        .clients
        .endpoints
        .push(plain.members[0].client_address().to_string());
    request.peers.endpoints = vec![cluster.members[1].peer_url().to_owned()];

    let expected = ["silent-tls", "not-tls", "endpoint-unreachable"];
    let findings = once(&request, |findings| words(findings) == expected).await;

    assert_eq!(words(&findings), expected, "{findings:#?}");
}

/// Everything that is known of a cluster, in the files that it has now.
fn request(cluster: &Cluster) -> Request {
    let pki = cluster.pki().unwrap();
    let own = pki.issue_peer(&Leaf::server("etcd-peer"), &pki.directory().join("own"));
    let peer_urls = cluster
        .members
        .iter()
        .map(|member| member.peer_url().to_owned());
    let listeners = |endpoints, ca: PathBuf, shown: &pki::Identity, name| Listeners {
        endpoints,
        authorities: Some((ca.clone(), certificates(&ca))),
        identity: Some(identity(shown)),
        on_disk: on_disk(cluster, name),
    };
    let root = cluster.root_identity().unwrap();
    Request {
        clients: listeners(cluster.endpoints(), pki.ca(), root, "server.crt"),
        peers: listeners(peer_urls.collect(), pki.peer_ca(), &own, "peer.crt"),
        now: chrono::Utc::now(),
        patience: PATIENCE,
    }
}

fn on_disk(cluster: &Cluster, name: &str) -> Vec<(PathBuf, Certificate)> {
    let folder = cluster.pki().unwrap().directory();
    let members = cluster.members.iter();
    let paths = members.map(|member| folder.join(member.name()).join(name));
    paths
        .map(|path| (path.clone(), certificates(&path).remove(0)))
        .collect()
}

/// Examines until the findings are as expected: connections between members come and go for some seconds after a start.
async fn once(request: &Request, are_expected: impl Fn(&[Finding]) -> bool) -> Vec<Finding> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let findings = examine(request, &Silent).await;
        if are_expected(&findings) || Instant::now() > deadline {
            return findings;
        }
        tokio::time::sleep(process::POLL).await;
    }
}

fn words(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}
