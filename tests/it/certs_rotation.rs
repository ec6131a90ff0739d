//! Certificates and authorities replaced under a live cluster: no write fails, and the way that loses the quorum is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, TlsOptions};
use etcdrx::certs::pem::Pem;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::certs_boot::{self, replace_certificates};
use crate::certs_generate::certificate;
use crate::certs_setup::on_every_etcd;
use crate::scratch::tools::EtcdRelease;
use crate::scratch::{Cluster, Etcdrx, Output, require_etcd};
use crate::setup::{Workplace, assert_ends};

/// A client of the cluster that never stops writing. Each write is a connection of its own, so each is a handshake; like etcd's
/// own client it goes to another member where one does not answer.
struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: JoinHandle<Vec<String>>,
}

impl Writer {
    fn start(cluster: &Cluster) -> Writer {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let pki = cluster.pki().unwrap().directory().to_owned();
        let endpoints = cluster.endpoints();
        let task = tokio::spawn({
            let (stop, done) = (stop.clone(), done.clone());
            async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = done.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = put(&pki, &endpoints, number).await {
                        failures.push(format!("write {number}: {error}"));
                    }
                    sleep(Duration::from_millis(25)).await;
                }
                failures
            }
        });
        Writer { stop, done, task }
    }

    /// Ends it, and panics if a write failed.
    async fn finish(self, least: u64) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.unwrap();
        let writes = self.done.load(Ordering::Relaxed);
        println!("{writes} writes, {} failed", failures.len());
        assert_eq!(failures, [""; 0]);
        assert!(writes >= least, "only {writes} writes");
    }
}

/// Writes through one member after the other, until one takes it.
async fn put(pki: &Path, endpoints: &[String], number: u64) -> Result<(), String> {
    let mut last = String::new();
    let began = Instant::now();
    for attempt in 0.. {
        let endpoint = &endpoints[(usize::try_from(number).unwrap() + attempt) % endpoints.len()];
        match timeout(Duration::from_secs(3), put_to(pki, endpoint, number)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => last = format!("{endpoint}: {error}"),
            Err(_) => last = format!("{endpoint}: no answer"),
        }
        if began.elapsed() > Duration::from_secs(8) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(last)
}

async fn put_to(pki: &Path, endpoint: &str, number: u64) -> Result<(), String> {
    let read = |name: &str| fs::read(pki.join(name)).map_err(|error| error.to_string());
    let identity =
        etcd_client::Identity::from_pem(read("clients/root.crt")?, read("clients/root.key")?);
    let tls = TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(read("ca.crt")?))
        .identity(identity);
    let options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_tls(tls);
    let client = Client::connect([endpoint], Some(options)).await;
    let mut client = client.map_err(|error| error.to_string())?;
    let put = client.put(format!("w{number}"), "x", None).await;
    put.map(drop).map_err(|error| error.to_string())
}

struct Bench {
    cluster: Cluster,
    workplace: Workplace,
}

impl Bench {
    async fn of(release: &EtcdRelease) -> Bench {
        Bench::with(release, 3, &[]).await
    }

    /// One of so many members, whose certificates are made with more arguments.
    async fn with(release: &EtcdRelease, members: usize, more: &'static [&str]) -> Bench {
        let cluster = Cluster::of(release)
            .members(members)
            .tls()
            .flag("--peer-cert-allowed-cn=etcd-peer")
            .start_after(|cluster| replace_certificates(cluster, more))
            .await;
        let workplace = Workplace::of(&cluster);
        Bench { cluster, workplace }
    }

    fn etcdrx(&self) -> Etcdrx {
        self.workplace.etcdrx()
    }

    fn pki(&self) -> PathBuf {
        self.cluster.pki().unwrap().directory().to_owned()
    }

    fn certs(&self, arguments: &[&str]) -> Output {
        let out = self.pki().display().to_string();
        let arguments = [&["certs"], arguments, &["--out", &out]].concat();
        self.etcdrx().run(arguments)
    }

    fn rotate(&self, step: &str) -> Output {
        self.certs(&["rotate-ca", step])
    }

    /// One member after the other, the leader last, each when the one before is well.
    async fn restart_all(&mut self) {
        let leader = self.cluster.leader().await;
        let all = 0..self.cluster.members.len();
        let others = all.filter(|index| *index != leader).collect::<Vec<_>>();
        for index in &others {
            self.restart(*index).await;
        }
        self.cluster.move_leader(others[0]).await;
        self.restart(leader).await;
    }

    async fn restart(&mut self, index: usize) {
        self.cluster.members[index].stop();
        let ended = self.cluster.members[index].wait_for_end(Duration::from_secs(20));
        assert!(ended.is_some());
        self.cluster.restart_member(index).await;
    }
}

/// What members refused, but for handshakes in the very moment between the two renames of a pair: etcd reads certificate and key one
/// after the other, and nobody can exchange two files at once. Such a handshake is made again.
fn refusals(cluster: &Cluster) -> Vec<String> {
    let of_the_moment = |line: &String| line.contains("private key does not match public key");
    let refused = certs_boot::refusals(cluster).into_iter();
    let (moments, others): (Vec<_>, Vec<_>) = refused.partition(of_the_moment);
    assert!(moments.len() <= 2, "{moments:?}");
    others
}

async fn rotates(mut bench: Bench, more: &[&str]) {
    let writer = Writer::start(&bench.cluster);
    let old = certificate(&bench.pki().join("ca.crt")).subject.text;

    bench.rotate("begin").success();
    let too_early = bench.rotate("reissue");
    bench.rotate("begin").success();
    bench.restart_all().await;
    let unready = bench.rotate("finish");
    bench.rotate("reissue").success();
    bench.rotate("finish").success();
    bench.restart_all().await;
    let status = bench.rotate("status").success();

    sleep(Duration::from_secs(1)).await;
    writer.finish(40).await;
    assert_ends(
        &too_early,
        4,
        &["not every member", "does not trust the next authority yet"],
    );
    assert_ends(&unready, 4, &["shows a certificate of the old authority"]);
    let new = certificate(&bench.pki().join("ca.crt")).subject.text;
    assert_ne!(old, new);
    assert!(
        status.stdout.contains(&new) && !status.stdout.contains(&old),
        "{status:?}"
    );
    let alone = format!("trusts `{new}`; shows a certificate of `{new}`");
    // With one authority for both, the peer ports are of the new one, too.
    let ports = match more {
        [] => bench.cluster.members.len(),
        _ => bench.cluster.members.len() * 2,
    };
    assert_eq!(status.stdout.matches(&alone).count(), ports, "{status:?}");
    assert!(!status.stdout.contains("next:"), "{status:?}");
    assert!(!bench.pki().join("private/ca-next.key").exists());
    // What was made anew is right: nothing is to be made.
    let members = bench.cluster.initial_cluster();
    let gen_again = ["gen", "--cluster", &members, "--client", "root"];
    let again = bench.certs(&[&gen_again[..], more].concat()).success();
    assert!(again.stdout.contains("nothing was changed"), "{again:?}");
    assert_eq!(refusals(&bench.cluster), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_writes_on_etcd_3_5() {
    rotates(Bench::of(&require_etcd!("3.5")).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_writes_on_etcd_3_6() {
    rotates(Bench::of(&require_etcd!("3.6")).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_writes_on_etcd_3_7() {
    rotates(Bench::of(&require_etcd!("3.7")).await, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_writes_on_etcd_3_4() {
    rotates(Bench::of(&require_etcd!("3.4")).await, &[]).await;
}

/// As kubeadm has it: one authority for both ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_authority_of_both_ports_is_rotated_under_writes() {
    let single = &["--single-ca"];
    let bench = Bench::with(&require_etcd!("3.6"), 3, single).await;
    rotates(bench, single).await;
}

/// From one authority of both ports to one of the members alone: clients notice nothing, but that they are no peers any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_get_an_authority_of_their_own_under_writes() {
    let mut bench = Bench::with(&require_etcd!("3.7"), 3, &["--single-ca"]).await;
    let writer = Writer::start(&bench.cluster);
    let ca = certificate(&bench.pki().join("ca.crt"));
    let check = |bench: &Bench| {
        let pki = bench.pki().display().to_string();
        bench.etcdrx().run(["certs", "check", &pki])
    };
    let shared = check(&bench);

    bench
        .certs(&["rotate-ca", "begin", "--peers-only"])
        .success();
    bench.rotate("abort").success();
    bench
        .certs(&["rotate-ca", "begin", "--peers-only"])
        .success();
    let too_early = bench.rotate("reissue");
    bench.restart_all().await;
    bench.rotate("reissue").success();
    // A change of mind, and of that again.
    bench.rotate("abort").success();
    bench.rotate("reissue").success();
    bench.rotate("finish").success();
    bench.restart_all().await;
    let status = bench.rotate("status").success();
    let parted = check(&bench);

    writer.finish(40).await;
    assert_ends(&too_early, 4, &["does not trust the next authority yet"]);
    let peer_ca = certificate(&bench.pki().join("peer-ca.crt"));
    assert_eq!(certificate(&bench.pki().join("ca.crt")), ca);
    assert_ne!(peer_ca.key, ca.key);
    let of_peers = format!(
        "trusts `{0}`; shows a certificate of `{0}`",
        peer_ca.subject.text
    );
    assert_eq!(status.stdout.matches(&of_peers).count(), 3, "{status:?}");
    assert!(shared.stdout.contains("v13-shared-authority"), "{shared:?}");
    assert!(
        !parted.stdout.contains("v13-shared-authority"),
        "{parted:?}"
    );
    assert_eq!(parted.code, 0, "{parted:?}");
    assert_eq!(refusals(&bench.cluster), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_five_members_is_rotated_under_writes() {
    let bench = Bench::with(&require_etcd!("3.5"), 5, &[]).await;
    rotates(bench, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_can_be_given_up_after_certificates_were_issued() {
    let mut bench = Bench::of(&require_etcd!("3.6")).await;
    let writer = Writer::start(&bench.cluster);
    let old = certificate(&bench.pki().join("ca.crt"));
    let none = bench.rotate("abort");
    bench.rotate("begin").success();
    bench.restart_all().await;
    bench.rotate("reissue").success();

    bench.rotate("abort").success();
    bench.rotate("abort").success();
    bench.restart_all().await;

    writer.finish(40).await;
    assert_ends(&none, 4, &["no rotation has begun"]);
    assert_eq!(certificate(&bench.pki().join("ca.crt")), old);
    let server = certificate(&bench.pki().join("etcd-1/server.crt"));
    assert_eq!(server.issuer, old.subject);
    assert!(!bench.pki().join("private/ca-next.key").exists());
}

on_every_etcd!(certificates_are_renewed_under_writes_without_a_restart);

async fn certificates_are_renewed_under_writes_without_a_restart(etcd: &EtcdRelease) {
    let bench = Bench::of(etcd).await;
    let writer = Writer::start(&bench.cluster);
    let before = certificate(&bench.pki().join("etcd-1/server.crt"));

    let dry = bench.certs(&["renew", "--all", "--dry-run"]).success();
    let unchanged = certificate(&bench.pki().join("etcd-1/server.crt"));
    let ports = bench.cluster.endpoints();
    bench
        .certs(&["renew", "--all", "--probe", &ports.join(",")])
        .success();
    let elsewhere = bench.certs(&["renew", "etcd-2", "--probe", &ports[2]]);
    let renewed = certificate(&bench.pki().join("etcd-1/server.crt"));
    bench.certs(&["renew", "etcd-1", "--reuse-key"]).success();
    let again = certificate(&bench.pki().join("etcd-1/server.crt"));
    let due = bench.certs(&["renew", "--due"]).success();

    sleep(Duration::from_secs(1)).await;
    writer.finish(20).await;
    assert!(dry.stdout.contains("would be renewed"), "{dry:?}");
    let shown = bench.etcdrx().run(["certs", "show", &ports[0]]).success();
    assert!(shown.stdout.contains(&again.serial_hex()), "{shown:?}");
    assert!(shown.stdout.contains("trusts `CN=etcd-ca-"), "{shown:?}");
    assert_eq!(elsewhere.code, 3, "{elsewhere:?}");
    assert!(
        elsewhere.stdout.contains("still shows another certificate"),
        "{elsewhere:?}"
    );
    assert_eq!(before, unchanged);
    assert_ne!(before.key, renewed.key);
    assert_eq!(renewed.key, again.key);
    assert_ne!(renewed.serial, again.serial);
    assert_eq!(before.hosts(), again.hosts());
    assert!(due.stdout.contains("nothing is to be renewed"), "{due:?}");
    let url = &bench.cluster.endpoints()[0];
    let seen = etcdrx::etcd::probe::look(
        url,
        etcdrx::etcd::probe::Port::Client,
        Duration::from_secs(5),
    );
    assert_eq!(seen.await.unwrap().served[0], again);
}

/// An authority that ends soon gets a new certificate for the same key: nothing else changes, and nobody is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_extended_under_writes() {
    let mut bench = Bench::of(&require_etcd!("3.7")).await;
    let writer = Writer::start(&bench.cluster);
    let before = certificate(&bench.pki().join("ca.crt"));

    bench
        .certs(&["rotate-ca", "begin", "--same-key", "--ca-validity", "20y"])
        .success();
    bench.restart_all().await;

    writer.finish(20).await;
    let after = certificate(&bench.pki().join("ca.crt"));
    assert!(after.not_after > before.not_after);
    assert_eq!((after.subject, after.key), (before.subject, before.key));
    assert_ne!(after.serial, before.serial);
    assert_eq!(refusals(&bench.cluster), [""; 0]);
}

/// The file of authorities may hold others, which the rotation of ours leaves as they are.
#[test]
fn other_authorities_in_the_same_file_stay_trusted() {
    let (workplace, other) = (Workplace::new(), Workplace::new());
    for one in [&workplace, &other] {
        one.etcdrx()
            .run(["certs", "init", "--out", "made"])
            .success();
    }
    let read = |from: &Workplace| fs::read(from.path("made/ca.crt")).unwrap();
    let bundle = [read(&other), read(&workplace)].concat();
    fs::write(workplace.path("bundle.crt"), &bundle).unwrap();
    let etcdrx = workplace.etcdrx();
    let import = [
        "certs",
        "import",
        "--ca",
        "bundle.crt",
        "--ca-key",
        "made/private/ca.key",
        "--single-ca",
    ];
    etcdrx.run(import).success();

    etcdrx
        .run(["certs", "rotate-ca", "begin", "--single-ca"])
        .success();

    let trusted = Pem::read(&fs::read(workplace.path("pki/ca.crt")).unwrap()).blocks;
    assert_eq!(trusted.len(), 3);
    let before = Pem::read(&bundle).blocks;
    assert!(
        before
            .iter()
            .all(|old| trusted.iter().any(|now| now.bytes == old.bytes))
    );
}
