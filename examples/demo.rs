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

use scratch::tools::newest_etcd;
use scratch::{Cluster, Etcdrx};

#[tokio::main]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let release = newest_etcd();

    say(&format!(
        "Starting three members of etcd {} with mutual TLS, on loopback",
        release.version()
    ));
    let cluster = Cluster::of(&release)
        .members(3)
        .tls()
        .below(&folder)
        .start()
        .await;
    configure(&cluster, &folder);
    let etcdrx = Etcdrx::new(program()).directory(&folder);
    for endpoint in cluster.endpoints() {
        println!("  {endpoint}");
    }

    say("Does the setup work?");
    show(&etcdrx, &["check"]);

    say("Writing 2,000 keys, and taking a backup");
    cluster.put_many("/demo/first/", 2000, 500).await;
    show(&etcdrx, &["backup"]);

    say("Writing more, and taking two more backups");
    cluster.put_many("/demo/second/", 2000, 500).await;
    show(&etcdrx, &["backup", "--quiet"]);
    cluster.put_many("/demo/third/", 2000, 500).await;
    show(&etcdrx, &["backup", "--quiet"]);

    say("What is there?");
    show(&etcdrx, &["list"]);
    show(&etcdrx, &["show", "latest"]);

    say("Is it readable, and what etcd wrote?");
    show(&etcdrx, &["verify", "--all", "--quiet"]);

    say("What would the retention remove?");
    show(&etcdrx, &["prune", "--dry-run"]);

    drop(cluster);
    say("Done");
    println!(
        "A three-member cluster was started, backed up three times while it was written to, and stopped again.\n\
         Every backup was read back before it was listed, and verified once more after.\n\n\
         What to try next, in the folder .demo:\n  \
         etcdrx show                          one backup, with its digests and its history\n  \
         etcdrx fetch latest -o snapshot.db   the snapshot file, ready for `etcdutl snapshot restore`\n  \
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
