//! What is posted to a webhook: by a real service that hears every word, that refuses, or that says nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scratch::{Cluster, ports, tools};
use crate::setup::{Workplace, assert_ends};

/// The part of the URL that nobody may print.
const TOKEN: &str = "T0K3N-9c1e";

#[tokio::test]
async fn a_webhook_hears_of_failures_and_once_that_it_is_good_again() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::new();
    let service = Service::open(0);
    let settings = workplace
        .settings(&cluster)
        .set("notify.webhook_url", service.url.as_str())
        .set(
            "notify.metrics_file",
            workplace.path("etcdrx.prom").display().to_string(),
        );
    workplace.configure(&settings);
    let dead = format!("http://{}", ports::free_address());

    workplace.etcdrx().run(["backup"]).success();
    service.assert_silent();
    let failed = workplace.etcdrx().run(["backup", "--endpoints", &dead]);
    let told = service.next();
    workplace.etcdrx().run(["backup"]).success();
    let resolved = service.next();
    workplace.etcdrx().run(["backup"]).success();
    workplace.etcdrx().run(["verify"]).success();
    service.assert_silent();

    assert_ends(&failed, 5, &["connection refused"]);
    assert!(!failed.stderr.contains(TOKEN), "the URL is a secret");
    assert_eq!(told["event"], "failed");
    assert_eq!(told["command"], "backup");
    assert_eq!(told["cluster"], crate::setup::FOLDER);
    assert_eq!(
        (&told["exit_code"], &told["code"]),
        (&5.into(), &"unreachable".into())
    );
    let causes = told["causes"].to_string() + &told["message"].to_string();
    assert!(causes.contains("connection refused"), "{told:#}");
    assert!(told["hints"][0].is_string(), "{told:#}");
    assert_eq!(told["etcdrx_version"], env!("CARGO_PKG_VERSION"));
    assert!(told["time"].as_str().unwrap().ends_with('Z'), "{told:#}");
    assert!(told["host"].is_string(), "{told:#}");
    assert_eq!(resolved["event"], "resolved");
    assert_eq!(resolved["exit_code"], 0);
}

#[tokio::test]
async fn a_webhook_hears_of_damage_of_a_refused_prune_and_of_certificates() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::new();
    let service = Service::open(0);
    let settings = workplace.settings(&cluster);
    workplace.configure(&settings.set("notify.webhook_url", service.url.as_str()));

    workplace.etcdrx().run(["backup"]).success();
    fs::write(stored_object(&workplace), b"rubbish").unwrap();
    let verified = workplace.etcdrx().run(["verify"]);
    let damage = service.next();
    let pruned = workplace.etcdrx().run(["prune", "--yes"]);
    let refused = service.next();
    let url = cluster.endpoints().join(",");
    let checked = workplace
        .etcdrx()
        .run(["certs", "check", "--endpoints", &url]);
    let certificates = service.next();
    workplace.etcdrx().run(["prune", "--dry-run"]);
    workplace.etcdrx().run(["certs", "check", "/no/such"]);
    service.assert_silent();

    assert_eq!(verified.code, 6);
    assert_eq!(
        (&damage["command"], &damage["code"]),
        (&"verify".into(), &"damaged".into())
    );
    assert_eq!(damage["findings"][0]["severity"], "error", "{damage:#}");
    assert_eq!(pruned.code, 2);
    assert_eq!(refused["command"], "prune");
    assert_eq!(
        refused["message"], "no retention is configured",
        "{refused:#}"
    );
    assert_eq!(checked.code, 3);
    assert_eq!(certificates["event"], "findings");
    assert_eq!(certificates["command"], "certs check");
    assert_eq!(
        certificates["findings"][0]["code"], "not-tls",
        "{certificates:#}"
    );
}

#[tokio::test]
async fn a_webhook_that_refuses_is_asked_twice_and_changes_no_exit_code() {
    let workplace = Workplace::new();
    let dead = format!("http://{}", ports::free_address());
    let stubborn = Service::open(usize::MAX);
    let hesitant = Service::open(1);
    // Connections wait in the listener's queue, and nobody takes them out.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/{TOKEN}", silent.local_addr().unwrap());

    for (url, says) in [
        (
            stubborn.url.as_str(),
            "warning: the webhook did not take the message",
        ),
        (&silent, "warning: the webhook did not take the message"),
        (
            "no url",
            "warning: no webhook: the webhook URL is not a URL",
        ),
        (&hesitant.url, "connection refused"),
    ] {
        let settings = workplace.bare_settings();
        workplace.configure(&settings.set("notify.webhook_url", url));
        let began = Instant::now();
        let failed = workplace.etcdrx().run(["backup", "--endpoints", &dead]);

        assert!(began.elapsed() < Duration::from_secs(25), "{failed:?}");
        assert_ends(&failed, 5, &[says]);
        assert!(
            !failed.stderr.contains(TOKEN),
            "the URL is a secret: {failed:?}"
        );
        let warned = failed.stderr.contains("did not take");
        assert_eq!(warned, says.contains("did not take"), "{failed:?}");
    }
    // The same message, twice and no more; the hesitant one took it the second time.
    for service in [stubborn, hesitant] {
        assert_eq!(service.next(), service.next());
        service.assert_silent();
    }
}

/// The data of the only backup.
fn stored_object(workplace: &Workplace) -> PathBuf {
    let files = workplace.stored();
    let object = files
        .iter()
        .find(|file| file.contains("snapshot.db"))
        .unwrap();
    workplace
        .repository()
        .join(crate::setup::FOLDER)
        .join(object)
}

/// A service that takes messages.
struct Service {
    url: String,
    messages: Receiver<Value>,
}

impl Service {
    /// One that answers the first `refusals` messages with 503.
    fn open(refusals: usize) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/{TOKEN}", listener.local_addr().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let status = match number < refusals {
                    true => "503 Service Unavailable",
                    false => "204 No Content",
                };
                let Some(message) = answer(stream.unwrap(), status) else {
                    return;
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Service { url, messages }
    }

    fn next(&self) -> Value {
        let message = self.messages.recv_timeout(Duration::from_secs(10));
        message.expect("a message came")
    }

    /// A command has told everything before it ends.
    fn assert_silent(&self) {
        assert_eq!(self.messages.try_recv(), Err(TryRecvError::Empty));
    }
}

fn answer(stream: TcpStream, status: &str) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(head.as_bytes()).ok()?;
    serde_json::from_slice(&body).ok()
}
