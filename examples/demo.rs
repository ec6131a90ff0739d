//! `make demo`: the main job end to end, on a scratch cluster that is stopped at the end.
//!
//! Everything lies in the ignored folder `.demo`: certificates, the cluster's data, the configuration, the backups.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a demonstration prints, and panics where it cannot go on"
)]

#[path = "../tests/it/scratch/mod.rs"]
mod scratch;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use etcd_client::GetOptions;
use scratch::tools::newest_etcd;
use scratch::{Cluster, Etcdrx};
use serde_json::Value;

#[tokio::main]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let release = newest_etcd();

    say(&format!(
        "Certificates for three members of etcd {}, which then start with mutual TLS, on loopback",
        release.version()
    ));
    let etcdrx = Etcdrx::new(program()).directory(&folder);
    let mut cluster = Cluster::of(&release)
        .members(3)
        .tls()
        .flag("--peer-cert-allowed-cn=etcd-peer")
        .below(&folder)
        .start_after(|cluster| make_certificates(cluster, &etcdrx, &folder))
        .await;
    configure(&cluster, &folder);
    println!("\nThe members run, with the certificates that were made:");
    for endpoint in cluster.endpoints() {
        println!("  {endpoint}");
    }

    say("Does the setup work?");
    show(&etcdrx, &["check"]);

    back_up(&cluster, &etcdrx).await;
    look(&etcdrx);
    lose_everything(&cluster, &folder);
    bring_back(&mut cluster, &etcdrx).await;

    drop(cluster);
    rehearse(&etcdrx, &release.etcd());
    conclude();
}

/// Two authorities, and everything that the members and their clients show.
fn make_certificates(cluster: &Cluster, etcdrx: &Etcdrx, folder: &Path) {
    let pki = cluster.pki().unwrap().directory();
    fs::remove_dir_all(pki).unwrap();
    let out = pki.strip_prefix(folder).unwrap().display().to_string();
    let members = cluster.initial_cluster();
    let arguments = ["certs", "gen", "--out", &out, "--cluster", &members];
    show(etcdrx, &arguments);
}

/// Three backups, while the cluster is written to.
async fn back_up(cluster: &Cluster, etcdrx: &Etcdrx) {
    say("Writing 2,000 keys, and taking a backup");
    cluster.put_many("/demo/first/", 2000, 500).await;
    show(etcdrx, &["backup"]);

    say("Writing more, and taking two more backups");
    cluster.put_many("/demo/second/", 2000, 500).await;
    show(etcdrx, &["backup", "--quiet"]);
    cluster.put_many("/demo/third/", 2000, 500).await;
    show(etcdrx, &["backup", "--quiet"]);
}

/// What is there, whether it is sound, what is in it, and what would go.
fn look(etcdrx: &Etcdrx) {
    say("What is there?");
    show(etcdrx, &["list"]);
    show(etcdrx, &["show", "latest"]);

    say(
        "Is it readable, and what etcd wrote? Every page, every record, and their hash as the members computed it",
    );
    show(etcdrx, &["verify", "--all", "--deep", "--quiet"]);

    say("What is in the newest, and what changed since the first?");
    show(etcdrx, &["snapshot", "status", "latest"]);
    let first = first_backup(etcdrx);
    let prefix = ["--prefix", "/demo/second/0000199"];
    show(
        etcdrx,
        &[&["snapshot", "diff", &first, "latest"][..], &prefix].concat(),
    );

    say("What would the retention remove?");
    show(etcdrx, &["prune", "--dry-run"]);
}

fn lose_everything(cluster: &Cluster, folder: &Path) {
    say("The disaster: all three members are killed at once, and their data is gone");
    cluster.kill_all();
    let lost = folder.join("lost");
    fs::create_dir(&lost).unwrap();
    for member in &cluster.members {
        fs::rename(member.data_dir(), lost.join(member.name())).unwrap();
        println!("  {} is gone", member.data_dir().display());
    }
}

async fn bring_back(cluster: &mut Cluster, etcdrx: &Etcdrx) {
    say("Restoring the newest backup for all three members, in one pass");
    let initial_cluster = cluster.initial_cluster();
    let directory = cluster.directory().display().to_string();
    let arguments = [
        "restore",
        "latest",
        "--initial-cluster",
        &initial_cluster,
        "--all-members",
        &directory,
    ];
    let raised = ["--bump-revision", "auto", "--mark-compacted"];
    show(etcdrx, &[&arguments[..], &raised].concat());
    let member = cluster.members[0].data_dir().display().to_string();
    show(etcdrx, &["node", "inspect", &member]);

    say("Starting the members again");
    cluster.start_all().await;
    show(etcdrx, &["check", "--quiet"]);
    let keys = cluster
        .client()
        .await
        .get("/demo/", Some(all_below()))
        .await
        .unwrap();
    println!("\nThe cluster serves {} keys again.", keys.count());
    assert_eq!(keys.count(), 6000, "all of them were in the backup");
}

/// A majority is lost on a scratch cluster of the program's own, and comes back by the same code that a site would use.
fn rehearse(etcdrx: &Etcdrx, etcd: &Path) {
    say(
        "A rehearsal: another cluster loses two of three members under load, and is recovered from the survivor",
    );
    let etcd = etcd.display().to_string();
    let drill = [
        "drill",
        "recovery",
        "--scenario",
        "majority",
        "--writers",
        "4",
    ];
    show(
        etcdrx,
        &[&drill[..], &["--etcd", &etcd, "--quiet"]].concat(),
    );
}

fn conclude() {
    say("Done");
    println!(
        "A three-member cluster was given its certificates, started, backed up three times while it was written to, and stopped again.\n\
         Every backup was read back before it was listed, and verified once more after. Then all members lost their data,\n\
         and came back from the newest backup with every key. A second cluster lost its majority and was recovered from the survivor.\n\n\
         What to try next, in the folder .demo:\n  \
         etcdrx show                          one backup, with its digests and its history\n  \
         etcdrx snapshot keys latest          the keys in it; `get`, `diff` and `extract` show more\n  \
         etcdrx fetch latest -o snapshot.db   the snapshot file, as etcd streamed it\n  \
         etcdrx pin latest                    no prune removes it\n\n\
         The program is {}",
        program().display()
    );
}

/// The program, which stands one folder above the examples.
fn program() -> PathBuf {
    let examples = env::current_exe().unwrap();
    examples.parent().unwrap().parent().unwrap().join("etcdrx")
}

/// The oldest backup's id.
fn first_backup(etcdrx: &Etcdrx) -> String {
    let list: Value = serde_json::from_str(&etcdrx.run(["list", "--json"]).stdout).unwrap();
    let oldest = list["backups"].as_array().unwrap().last().unwrap();
    oldest["id"].as_str().unwrap().to_owned()
}

fn all_below() -> GetOptions {
    GetOptions::new().with_prefix().with_count_only()
}

fn configure(cluster: &Cluster, folder: &Path) {
    let root = cluster.root_identity().unwrap();
    let endpoints: Vec<String> = cluster
        .endpoints()
        .iter()
        .map(|e| format!("{e:?}"))
        .collect();
    let config = format!(
        "[cluster]\n\
         name = \"demo\"\n\
         endpoints = [{}]\n\
         ca = \"{}\"\n\
         cert = \"{}\"\n\
         key = \"{}\"\n\n\
         [repository]\n\
         url = \"file://{}/backups\"\n\n\
         [retention]\n\
         keep_last = 1\n\
         minimum = 1\n",
        endpoints.join(", "),
        cluster.pki().unwrap().ca().display(),
        root.cert.display(),
        root.key.display(),
        folder.display()
    );
    fs::write(folder.join("etcdrx.toml"), config).unwrap();
}

fn say(text: &str) {
    println!("\n=== {text}");
}

/// Runs a command as a user would, and shows it with everything that it says.
fn show(etcdrx: &Etcdrx, arguments: &[&str]) {
    println!("\n$ etcdrx {}", arguments.join(" "));
    let output = etcdrx.run(arguments);
    print!("{}{}", output.stderr, output.stdout);
    assert!(output.code == 0, "that should have worked");
}
