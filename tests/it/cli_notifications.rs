//! The metrics file and the heartbeat, on good days and on bad ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::scratch::{Cluster, ports, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test]
async fn the_metrics_file_tells_of_failures_and_keeps_the_last_success() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 100, 100).await;
    let workplace = Workplace::new();
    let file = workplace.path("etcdrx.prom");
    let settings = workplace.settings(&cluster);
    workplace.configure(&settings.set("notify.metrics_file", file.display().to_string()));
    let dead = format!("http://{}", ports::free_address());

    let manifest = workplace.etcdrx().run(["backup", "--json"]).success();
    let after_success = metrics(&file);
    let failed = workplace.etcdrx().run(["backup", "--endpoints", &dead]);
    let after_failure = metrics(&file);
    workplace.etcdrx().run(["verify"]).success();
    let after_verification = metrics(&file);

    let manifest = manifest.json();
    assert_metric(&after_success, "backup_last_exit_code", 0.0);
    assert_metric(&after_success, "backup_verified", 1.0);
    assert_metric(&after_success, "backup_keys", 100.0);
    for (metric, key) in [
        ("backup_revision", "revision"),
        ("backup_db_size_bytes", "db_size_bytes"),
        ("backup_stored_size_bytes", "stored_size_bytes"),
    ] {
        assert_metric(&after_success, metric, manifest[key].as_f64().unwrap());
    }
    let success = "etcdrx_backup_last_success_timestamp_seconds";
    assert!(after_success[success] > 1.7e9);
    assert_eq!(failed.code, 5);
    assert_metric(&after_failure, "backup_last_exit_code", 5.0);
    for kept in [success, "etcdrx_backup_revision", "etcdrx_backup_keys"] {
        assert_eq!(after_failure.get(kept), after_success.get(kept));
    }
    let run = "etcdrx_backup_last_run_timestamp_seconds";
    assert!(after_failure[run] >= after_success[run]);
    assert_metric(&after_verification, "verify_last_exit_code", 0.0);
    assert_metric(&after_verification, "verify_damaged", 0.0);
    assert_metric(&after_verification, "backup_last_exit_code", 5.0);
    let names = fs::read_dir(file.parent().unwrap()).unwrap();
    let left = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".tmp")
    });
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_heartbeat_says_start_success_and_fail() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::new();
    let service = HeartbeatService::open(&workplace);
    let settings = workplace.settings(&cluster);
    workplace.configure(&settings.set("notify.heartbeat_url", service.url.clone()));
    let dead = format!("http://{}", ports::free_address());

    let taken = workplace.etcdrx().run(["backup", "--json"]).success();
    let (start, success) = (service.next(), service.next());
    let failed = workplace.etcdrx().run(["backup", "--endpoints", &dead]);
    let (second_start, fail) = (service.next(), service.next());

    let manifest = taken.json();
    assert_eq!(start.target, "/ping/8d1c/start");
    assert_eq!(success.target, "/ping/8d1c");
    assert_eq!(success.manifests, 1, "success is told after the commit");
    let id = manifest["id"].as_str().unwrap();
    assert!(success.body.contains(id), "{}", success.body);
    assert_eq!(failed.code, 5);
    assert_eq!(second_start.target, "/ping/8d1c/start");
    assert_eq!(fail.target, "/ping/8d1c/fail");
    let told = format!("{dead}: connection refused");
    assert!(fail.body.contains(&told), "{}", fail.body);
    assert!(!failed.stderr.contains("8d1c"), "the URL is a secret");
}

#[tokio::test]
async fn a_dead_or_silent_heartbeat_service_fails_no_backup() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::new();
    // Connections wait in the listener's queue, and nobody takes them out.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let addresses = [ports::free_address(), silent];

    for address in addresses {
        let url = format!("http://{address}/ping/8d1c");
        let settings = workplace.settings(&cluster);
        workplace.configure(&settings.set("notify.heartbeat_url", url));
        let started = Instant::now();
        let taken = workplace.etcdrx().run(["backup"]);

        assert!(started.elapsed() < Duration::from_secs(15), "{taken:?}");
        assert_ends(
            &taken,
            0,
            &["warning: the heartbeat service did not take the ping"],
        );
        assert!(!taken.stderr.contains("8d1c"), "the URL is a secret");
    }
    let manifest = workplace.etcdrx().run(["show", "--json"]).success().json();
    assert_eq!(codes(&manifest), [""; 0]);
    workplace.assert_holds_only_whole_backups(2);
}

/// One metric a line: a name, a label, a value.
fn metrics(file: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (name, value) = line.split_once("{cluster=\"scratch\"} ").unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    parsed.collect()
}

fn assert_metric(metrics: &BTreeMap<String, f64>, name: &str, value: f64) {
    let found = metrics.get(&format!("etcdrx_{name}")).copied();
    assert_eq!(found, Some(value), "{name} in {metrics:?}");
}

/// A ping, and how many manifests there were when it came.
struct Ping {
    target: String,
    body: String,
    manifests: usize,
}

/// A heartbeat service that answers every ping with 200.
struct HeartbeatService {
    url: String,
    pings: Receiver<Ping>,
}

impl HeartbeatService {
    fn open(workplace: &Workplace) -> HeartbeatService {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping/8d1c", listener.local_addr().unwrap());
        let (sender, pings) = channel();
        let folder = workplace.repository().join(crate::setup::FOLDER);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if answer(stream.unwrap(), &folder, &sender).is_none() {
                    return;
                }
            }
        });
        HeartbeatService { url, pings }
    }

    fn next(&self) -> Ping {
        let ping = self.pings.recv_timeout(Duration::from_secs(10));
        ping.expect("a ping came")
    }
}

/// `None` once the test is over.
fn answer(stream: TcpStream, folder: &Path, pings: &Sender<Ping>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_lowercase());
    }
    let mut lengths = head
        .iter()
        .filter_map(|line| line.strip_prefix("content-length: "));
    let length: usize = lengths.next().map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let target = head[0].split(' ').nth(1)?.to_owned();
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    let manifests = folders.filter(|folder| folder.path().join("manifest.json").exists());
    let ping = Ping {
        target,
        body: String::from_utf8(body).unwrap(),
        manifests: manifests.count(),
    };
    let accepted = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(accepted).ok()?;
    pings.send(ping).ok()
}
