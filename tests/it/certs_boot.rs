//! What `etcdrx certs gen` makes, on live clusters of every version: everything connects, and nothing is refused.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::scratch::tools::EtcdRelease;
use crate::scratch::{Cluster, Pki, process, program, require, require_etcd};
use crate::setup::{Workplace, etcdrx};

/// Replaces the certificates of a cluster that is about to start.
pub(crate) fn replace_certificates(cluster: &Cluster, more: &[&str]) {
    let pki = cluster.pki().unwrap().directory();
    fs::remove_dir_all(pki).unwrap();
    let members = cluster.members.iter();
    let members: Vec<String> = members
        .map(|member| format!("{}={}", member.name(), member.peer_url()))
        .collect();
    let (out, members) = (pki.display().to_string(), members.join(","));
    let arguments = [
        "certs",
        "gen",
        "--out",
        &out,
        "--cluster",
        &members,
        "--client",
        "root,backup,proxy,healthcheck",
    ];
    etcdrx().run([&arguments[..], more].concat()).success();
}

/// An HTTP client with a certificate of the cluster's, or without.
fn http_client(pki: &Pki, client: Option<&str>) -> Client {
    let ca = Certificate::from_pem(&fs::read(pki.ca()).unwrap()).unwrap();
    let mut builder = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .tls_certs_only([
            ca,
            Certificate::from_pem(&fs::read(pki.peer_ca()).unwrap()).unwrap(),
        ]);
    if let Some(name) = client {
        let file = |kind: &str| pki.directory().join(format!("clients/{name}.{kind}"));
        let pem = [
            fs::read(file("crt")).unwrap(),
            fs::read(file("key")).unwrap(),
        ]
        .concat();
        builder = builder.identity(Identity::from_pem(&pem).unwrap());
    }
    builder.build().unwrap()
}

/// Asks through the HTTP gateway, which etcd serves by connecting to itself with the server's certificate.
async fn ask_gateway(client: &Client, url: &str) -> Value {
    let answer = client
        .post(format!("{url}/v3/kv/range"))
        .body(json!({"key": "c2NyYXRjaA=="}).to_string())
        .send()
        .await
        .unwrap_or_else(|error| panic!("{url}: {error:?}"));
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url}: {text}"))
}

fn etcdctl(cluster: &Cluster, user: &str, arguments: &[&str]) -> program::Output {
    let pki = cluster.pki().unwrap();
    let mut command = Command::new(cluster.release().etcdctl());
    command.env_clear().env("ETCDCTL_API", "3");
    command
        .arg("--endpoints")
        .arg(cluster.endpoints().join(","));
    command.arg("--cacert").arg(pki.ca());
    command
        .arg("--cert")
        .arg(pki.directory().join(format!("clients/{user}.crt")));
    command
        .arg("--key")
        .arg(pki.directory().join(format!("clients/{user}.key")));
    command.args(arguments);
    program::run(command, Duration::from_secs(20))
}

/// The lines in which a member says that it refused somebody for a certificate; a client that gives up in mid-handshake, as an
/// impatient test does, is none.
pub(crate) fn refusals(cluster: &Cluster) -> Vec<String> {
    let mut refusals = Vec::new();
    for member in &cluster.members {
        let log = member.log();
        let refused = |line: &&str| line.contains("rejected connection");
        let of_tls = |line: &&str| line.contains("tls: ") || line.contains("x509: ");
        let lines = log.lines().filter(refused).filter(of_tls);
        refusals.extend(lines.map(str::to_owned));
    }
    refusals
}

async fn boots(release: EtcdRelease, more: &[&str]) {
    let cluster = Cluster::of(&release)
        .members(3)
        .tls()
        .auth()
        .flag("--peer-cert-allowed-cn=etcd-peer")
        .start_after(|cluster| replace_certificates(cluster, more))
        .await;
    let pki = cluster.pki().unwrap();

    // A client without a common name is nobody, and may ask the gateway: it is told so by etcd, not by TLS.
    let proxy = http_client(pki, Some("proxy"));
    for url in cluster.endpoints() {
        let answer = ask_gateway(&proxy, &url).await;
        let text = answer.to_string();
        assert!(text.contains("user name is empty"), "{text}");
    }
    etcdctl(&cluster, "healthcheck", &["endpoint", "status"]).success();
    etcdctl(&cluster, "backup", &["endpoint", "hashkv"]).success();
    curl_is_well(&cluster);
    let workplace = Workplace::new();
    let settings = workplace.settings(&cluster);
    let file = |name: &str| pki.directory().join(name).display().to_string();
    let settings = settings
        .set("cluster.cert", file("clients/backup.crt"))
        .set("cluster.key", file("clients/backup.key"));
    workplace.configure(&settings);
    workplace.etcdrx().run(["check"]).success();
    workplace.etcdrx().run(["backup"]).success();
    assert_eq!(refusals(&cluster), [""; 0]);

    // The other authority: a client is no member.
    for member in &cluster.members {
        let url = format!("{}/version", member.peer_url());
        let asked = http_client(pki, Some("root")).get(url).send().await;
        assert!(asked.is_err(), "{asked:?}");
    }
    assert_openssl_agrees(pki);
}

/// curl, with the certificate for health checks, where there is one.
fn curl_is_well(cluster: &Cluster) {
    let Some(curl) = process::find_program("curl") else {
        crate::scratch::tools::skip("curl in certs_boot", "curl");
        return;
    };
    let pki = cluster.pki().unwrap();
    for url in cluster.endpoints() {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--noproxy", "*"]);
        command.arg("--cacert").arg(pki.ca());
        for (flag, file) in [("--cert", "healthcheck.crt"), ("--key", "healthcheck.key")] {
            command
                .arg(flag)
                .arg(pki.directory().join("clients").join(file));
        }
        command.arg(format!("{url}/health"));
        let health = program::run(command, Duration::from_secs(10)).success();
        assert!(health.stdout.contains(r#""health":"true""#), "{health:?}");
    }
}

fn assert_openssl_agrees(pki: &Pki) {
    let verify = |ca: &Path, purpose: &str, file: &str| {
        let mut command = Command::new(require_path("openssl"));
        command.args(["verify", "-x509_strict", "-CAfile"]).arg(ca);
        command
            .args(["-purpose", purpose])
            .arg(pki.directory().join(file));
        program::run(command, Duration::from_secs(10)).success();
    };
    for purpose in ["sslserver", "sslclient"] {
        verify(&pki.ca(), purpose, "etcd-1/server.crt");
        verify(&pki.peer_ca(), purpose, "etcd-1/peer.crt");
    }
    verify(&pki.ca(), "sslclient", "clients/backup.crt");
}

fn require_path(tool: &str) -> std::path::PathBuf {
    crate::scratch::tools::expect_tool(tool)
}

#[tokio::test]
async fn etcd_3_4_takes_every_certificate() {
    require!("openssl");
    boots(require_etcd!("3.4"), &[]).await;
}

#[tokio::test]
async fn etcd_3_5_takes_every_certificate() {
    require!("openssl");
    boots(require_etcd!("3.5"), &[]).await;
}

#[tokio::test]
async fn etcd_3_6_takes_every_certificate() {
    require!("openssl");
    boots(require_etcd!("3.6"), &[]).await;
}

#[tokio::test]
async fn etcd_3_7_takes_every_certificate() {
    require!("openssl");
    boots(require_etcd!("3.7"), &[]).await;
}

#[tokio::test]
async fn etcd_takes_certificates_with_rsa_keys_too() {
    require!("openssl");
    boots(require_etcd!("3.6"), &["--key-type", "rsa-2048"]).await;
}
