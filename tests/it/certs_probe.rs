//! Handshakes of our own with every etcd: what it shows, whom it lets in, and that a look leaves no trace.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdrx::etcd::probe::{self, Gateway, Port, Reception, Seen, TlsVersion};
use etcdrx::etcd::{Diagnosis, Error};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certs_setup::{PATIENCE, certificates, identity, on_every_etcd, single, versions};
use crate::scratch::pki::{self, Leaf, install_crypto};
use crate::scratch::{Cluster, EtcdRelease, Pki, ports, process};

on_every_etcd! {
    a_look_shows_everything_and_leaves_no_trace_in_a_current_log
    every_certificate_gets_its_reception
    a_new_certificate_is_shown_at_once_and_a_new_authority_is_not
    a_member_without_a_quorum_since_its_start_is_silent
    a_port_without_tls_is_known_as_one
    a_certificate_without_its_key_is_told_from_a_refusal
    the_gateway_has_no_answer_for_a_certificate_with_a_name_once_auth_is_on
}

async fn a_look_shows_everything_and_leaves_no_trace_in_a_current_log(etcd: &EtcdRelease) {
    for newest in versions(etcd) {
        let cluster = single(etcd, newest).await;
        let pki = cluster.pki().unwrap();
        let foreign = identity(&pki.foreign_client("root"));
        let member = &cluster.members[0];
        let ports = [
            (Port::Client, member.client_url(), pki.ca(), "server"),
            (Port::Peer, member.peer_url(), pki.peer_ca(), "peer"),
        ];

        for (port, url, ca, name) in &ports {
            let seen = probe::look(url, *port, PATIENCE).await.unwrap();

            let file = pki.directory().join(format!("etcd-1/{name}.crt"));
            assert_eq!(seen.served, certificates(&file));
            let authority = certificates(ca)[0].subject.clone();
            assert_eq!(seen.trusted, Some(vec![authority]));
            assert!(probe::compare(&seen, &certificates(ca)).is_empty());
            let both = [TlsVersion::Tls13, TlsVersion::Tls12];
            let spoken = both.into_iter().filter(|version| *version <= newest);
            assert_eq!(seen.tls_versions, spoken.collect::<Vec<_>>());
        }

        // A log is written in order: once it has the line of what came later, that of a look would be there, too.
        for (port, url, _, _) in &ports {
            let reception = probe::knock(url, *port, &foreign, PATIENCE).await.unwrap();
            assert!(matches!(reception, Reception::Refused { .. }));
        }
        let lines = |word: &str| member.log().matches(word).count();
        until(&cluster, || lines("unknown authority") >= ports.len());
        // 3.4 notes every connection that ends early, and each look is two.
        let noted = match etcd.minor() {
            4 => 2 * ports.len(),
            _ => 0,
        };
        let log = member.log();
        assert_eq!(lines("rejected connection"), noted + ports.len(), "{log}");
        assert_eq!(lines("\"EOF\""), noted, "{log}");
        assert_eq!(lines("reset by peer"), 0, "{log}");
        assert_eq!(lines("provide a certificate"), 0, "{log}");
    }
}

async fn every_certificate_gets_its_reception(etcd: &EtcdRelease) {
    for newest in versions(etcd) {
        let cluster = single(etcd, newest).await;
        let pki = cluster.pki().unwrap();
        let (client, peer) = (
            cluster.members[0].client_url(),
            cluster.members[0].peer_url(),
        );
        let path = |name: &str| pki.directory().join(name);
        let elsewhere = Leaf::server("etcd-peer").names(&["127.0.0.3"]);
        let elsewhere = pki.issue_peer(&elsewhere, &path("elsewhere"));
        let serves = Leaf::server("etcd-peer").usages(&[ExtendedKeyUsagePurpose::ServerAuth]);
        let serves = pki.issue_peer(&serves, &path("serves"));
        let root = pki.client("root");
        let own = pki.issue_peer(&Leaf::server("etcd-peer"), &path("own"));
        // Before Go 1.21 there is one alert for everything.
        let alert = |specific: &str| match etcd.minor() {
            4 => "BadCertificate".to_owned(),
            _ => specific.to_owned(),
        };
        let cases = [
            (Port::Client, &root, None),
            (Port::Peer, &own, None),
            (
                Port::Client,
                &pki.foreign_client("root"),
                Some(alert("UnknownCA")),
            ),
            (
                Port::Client,
                &pki.expired_client("root"),
                Some(alert("CertificateExpired")),
            ),
            (
                Port::Client,
                &pki.client_for_servers_only("root"),
                Some(alert("BadCertificate")),
            ),
            (Port::Peer, &root, Some(alert("UnknownCA"))),
            (Port::Peer, &serves, Some(alert("BadCertificate"))),
        ];

        for (port, files, expected) in cases {
            let url = match port {
                Port::Client => client,
                Port::Peer => peer,
            };
            let reception = probe::knock(url, port, &identity(files), PATIENCE).await;

            let context = format!("{port:?} {}: {reception:?}", files.cert.display());
            match (reception.unwrap(), expected) {
                (Reception::Accepted, None) => {}
                (Reception::Refused { alert, .. }, Some(expected)) => {
                    assert_eq!(alert, expected, "{context}");
                }
                _ => panic!("{context}"),
            }
        }
        let reception = probe::knock(peer, Port::Peer, &identity(&elsewhere), PATIENCE).await;
        assert_eq!(reception.unwrap(), Reception::ClosedAfterHandshake);
    }
}

async fn a_new_certificate_is_shown_at_once_and_a_new_authority_is_not(etcd: &EtcdRelease) {
    let mut cluster = single(etcd, TlsVersion::Tls13).await;
    let pki = cluster.pki().unwrap();
    let (ca, other_ca) = (certificates(&pki.ca()), certificates(&pki.other_ca()));
    let url = cluster.members[0].client_url().to_owned();
    let look = async || -> Seen { probe::look(&url, Port::Client, PATIENCE).await.unwrap() };
    let before = look().await;

    let server = pki.directory().join("etcd-1/server");
    let renewed = pki.issue(&Leaf::server("etcd-1"), &server);
    fs::copy(pki.other_ca(), pki.ca()).unwrap();
    let after = look().await;

    assert_eq!(after.served, certificates(&renewed.cert));
    assert_ne!(after.served, before.served);
    assert_eq!(after.trusted, before.trusted);
    let drift = probe::compare(&after, &other_ca);
    assert_eq!(drift.only_in_memory, [ca[0].subject.clone()]);
    assert_eq!(drift.only_in_file, [other_ca[0].subject.clone()]);

    cluster.members[0].kill();
    cluster.members[0].start();
    listens(&url).await;
    assert!(probe::compare(&look().await, &other_ca).is_empty());
}

async fn a_member_without_a_quorum_since_its_start_is_silent(etcd: &EtcdRelease) {
    let mut cluster = Cluster::of(etcd).members(3).tls().start().await;
    cluster.kill_all();
    cluster.members[0].start();
    let (client, peer) = (
        cluster.members[0].client_url(),
        cluster.members[0].peer_url(),
    );
    listens(client).await;
    let patience = Duration::from_secs(2);

    let looked = probe::look(client, Port::Client, patience).await;
    let root = identity(cluster.root_identity().unwrap());
    let knocked = probe::knock(client, Port::Client, &root, patience).await;

    assert_eq!(diagnosis(looked), Diagnosis::Hung);
    assert_eq!(diagnosis(knocked), Diagnosis::Hung);
    // Its port for peers works all the same: that is how it finds its quorum again.
    let seen = probe::look(peer, Port::Peer, PATIENCE).await.unwrap();
    assert!(seen.asks_for_certificate());
}

async fn a_port_without_tls_is_known_as_one(etcd: &EtcdRelease) {
    let cluster = Cluster::of(etcd).start().await;
    let (client, peer) = (
        cluster.members[0].client_address().to_string(),
        cluster.members[0].peer_address().to_string(),
    );
    let nobody = ports::free_address().to_string();
    install_crypto();

    let looks = [
        probe::look(&client, Port::Client, PATIENCE).await,
        probe::look(&peer, Port::Peer, PATIENCE).await,
        probe::look(&nobody, Port::Client, PATIENCE).await,
    ];

    let expected = [
        Diagnosis::NotTls,
        Diagnosis::NotTls,
        Diagnosis::ConnectionRefused,
    ];
    assert_eq!(looks.map(diagnosis), expected);
    // Nor do its metrics and its gateway need it.
    let plain = format!("http://{client}");
    let links = probe::peers(&plain, None, PATIENCE).await.unwrap();
    assert!(links.member.is_some());
    let gateway = probe::gateway(&plain, None, PATIENCE).await.unwrap();
    assert_eq!(gateway, Gateway::Answers);
}

async fn a_certificate_without_its_key_is_told_from_a_refusal(etcd: &EtcdRelease) {
    let cluster = single(etcd, TlsVersion::Tls13).await;
    let pki = cluster.pki().unwrap();
    let root = identity(cluster.root_identity().unwrap());
    let url = cluster.members[0].client_url();
    let key = pki.directory().join("etcd-1/server.key");
    fs::copy(&pki.client("stranger").key, key).unwrap();

    let looked = probe::look(url, Port::Client, PATIENCE).await;
    let knocked = probe::knock(url, Port::Client, &root, PATIENCE).await;

    for diagnosis in [diagnosis(looked), diagnosis(knocked)] {
        let text = diagnosis.to_string();
        assert!(text.contains("it cannot use its own certificate"), "{text}");
    }
}

async fn the_gateway_has_no_answer_for_a_certificate_with_a_name_once_auth_is_on(
    etcd: &EtcdRelease,
) {
    let cluster = Cluster::of(etcd).tls().auth().start().await;
    let root = identity(cluster.root_identity().unwrap());

    let unnamed = cluster.pki().unwrap().client("");
    let url = cluster.members[0].client_url();

    let named = probe::gateway(url, Some(&root), PATIENCE).await.unwrap();
    let unnamed = probe::gateway(url, Some(&identity(&unnamed)), PATIENCE).await;

    assert_eq!(named, Gateway::RefusesNames);
    assert_eq!(unnamed.unwrap(), Gateway::Answers);
}

/// Clients offer a share of one group or two; of any other the server asks for a second hello (RFC 8446, 4.1.4).
#[tokio::test]
async fn a_server_with_another_group_and_no_tls_1_2_is_seen_too() {
    let folder = tempfile::tempdir().unwrap();
    let files = Pki::create(folder.path()).member("server").server;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = server.local_addr().unwrap().to_string();
    let acceptor = acceptor_of_p384(&files);
    let serving = tokio::spawn(async move {
        loop {
            let (tcp, _) = server.accept().await.unwrap();
            let _ = acceptor.accept(tcp).await;
        }
    });

    let seen = probe::look(&endpoint, Port::Client, PATIENCE).await;
    serving.abort();

    let seen = seen.unwrap();
    assert_eq!(seen.served, certificates(&files.cert));
    assert_eq!(seen.trusted, None);
    assert_eq!(seen.tls_versions, [TlsVersion::Tls13]);
}

fn acceptor_of_p384(files: &pki::Identity) -> TlsAcceptor {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::SECP384R1];
    let chain = CertificateDer::pem_file_iter(&files.cert).unwrap();
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

fn diagnosis<T: std::fmt::Debug>(result: Result<T, Error>) -> Diagnosis {
    match result {
        Err(Error::Unreachable { diagnosis, .. }) => diagnosis,
        other => panic!("{other:?}"),
    }
}

/// Waits until something is so.
fn until(cluster: &Cluster, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        let log = cluster.members[0].log();
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(process::POLL);
    }
}

/// Waits until a member that was just started takes connections.
async fn listens(url: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let address = url.trim_start_matches("https://");
    while TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < deadline, "{url}");
        tokio::time::sleep(process::POLL).await;
    }
}
