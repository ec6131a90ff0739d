//! Measures a backup against what a user would do instead, interleaved, on the same data: prints medians and ratios.
//!
//! `BENCH_MB` (default `100,1000`) names the sizes of the database, `BENCH_ROUNDS` (default 5) how often each way is
//! measured. Every way is a process of its own, measured from outside: wall time, CPU seconds of that process, and the
//! peak of its resident memory.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and panics where it cannot go on"
)]

mod load;
mod measure;
#[path = "../tests/it/scratch/mod.rs"]
mod scratch;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use etcd_client::Client;
use load::{Values, load};
use measure::{Build, Way, command, interleaved, report, rounds};
use scratch::process::find_program;
use scratch::tools::{newest_etcd, tool};
use scratch::{Cluster, Store};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.as_slice() {
        [drain, endpoint, ..] if drain == "drain" => runtime.block_on(drain_stream(endpoint)),
        _ => runtime.block_on(bench()),
    }
}

/// What every backup has to do at the least: take the stream, and drop it.
async fn drain_stream(endpoint: &str) {
    let mut client = Client::connect([endpoint], None).await.unwrap();
    let mut stream = client.snapshot().await.unwrap();
    let mut bytes = 0;
    while let Some(message) = stream.message().await.unwrap() {
        bytes += message.blob().len();
    }
    println!("{bytes}");
}

async fn bench() {
    let sizes = env::var("BENCH_MB").unwrap_or_else(|_| "100,1000".to_owned());
    let rounds = rounds();
    for size in sizes.split(',') {
        bench_size(size.trim().parse().unwrap(), rounds).await;
    }
}

async fn bench_size(megabytes: usize, rounds: usize) {
    let release = newest_etcd();
    let cluster = Cluster::of(&release)
        .members(1)
        .flag("--unsafe-no-fsync")
        .quota_bytes(8 << 30)
        .start()
        .await;
    load(&cluster, megabytes, Values::Pods).await;
    let folder = tempfile::tempdir().unwrap();
    let minio = match tool("minio") {
        Some(_) => Some(Store::minio().await),
        None => None,
    };
    let ways = ways(&cluster, folder.path(), minio.as_ref());
    let results = interleaved(&ways, rounds);
    let db = fs::metadata(cluster.members[0].db()).unwrap().len();
    println!(
        "\netcd {}, database {} MB, {rounds} rounds, medians\n",
        release.version(),
        db / 1_000_000
    );
    report(&ways, &results, &["(a)", "(c)"]);
}

fn ways(cluster: &Cluster, folder: &Path, minio: Option<&Store>) -> Vec<Way> {
    let endpoint = cluster.endpoints()[0].clone();
    let repository = folder.join("repository");
    let local = (
        "ETCDRX_REPOSITORY_URL".to_owned(),
        format!("file://{}", repository.display()),
    );
    let mut ways = vec![
        drain(&endpoint),
        etcdrx(
            "etcdrx backup, file://",
            &endpoint,
            vec![local],
            Some(repository),
        ),
    ];
    if let Some(minio) = minio {
        let mut variables = minio.environment();
        variables.extend([
            ("ETCDRX_REPOSITORY_URL".into(), minio.url().to_owned()),
            (
                "ETCDRX_REPOSITORY_ENDPOINT".into(),
                minio.endpoint().unwrap(),
            ),
            ("ETCDRX_REPOSITORY_ALLOW_HTTP".into(), "true".into()),
        ]);
        ways.push(etcdrx(
            "etcdrx backup, s3:// (MinIO)",
            &endpoint,
            variables,
            None,
        ));
    }
    let snapshot = folder.join("snapshot.db");
    ways.push(Way {
        name: "(b) etcdctl snapshot save",
        commands: vec![save(&endpoint, &snapshot)],
        leaves: Some(snapshot.clone()),
    });
    let zstd = (
        "(c) save, then zstd -T2",
        "zstd",
        "db.zst",
        &["-q", "-T2", "--rm"][..],
    );
    let gzip = ("(d) save, then gzip", "gzip", "db.gz", &[][..]);
    for (name, program, ending, flags) in [zstd, gzip] {
        let Some(path) = find_program(program) else {
            eprintln!("SKIPPED {name}: no {program} on this machine");
            continue;
        };
        let leaves = Some(snapshot.with_extension(ending));
        let commands = vec![save(&endpoint, &snapshot), compress(path, flags, &snapshot)];
        ways.push(Way {
            name,
            commands,
            leaves,
        });
    }
    ways
}

fn drain(endpoint: &str) -> Way {
    let endpoint = endpoint.to_owned();
    Way {
        name: "(a) drain the stream",
        commands: vec![Box::new(move || {
            command(&env::current_exe().unwrap(), &["drain", &endpoint])
        })],
        leaves: None,
    }
}

fn save(endpoint: &str, snapshot: &Path) -> Build {
    let (endpoint, snapshot) = (endpoint.to_owned(), snapshot.to_owned());
    Box::new(move || {
        let mut save = command(&newest_etcd().etcdctl(), &["--endpoints", &endpoint]);
        save.args(["snapshot", "save"])
            .arg(&snapshot)
            .stderr(Stdio::null());
        save
    })
}

fn compress(program: PathBuf, flags: &'static [&'static str], snapshot: &Path) -> Build {
    let snapshot = snapshot.to_owned();
    Box::new(move || {
        let mut compress = command(&program, flags);
        compress.arg(&snapshot);
        compress
    })
}

fn etcdrx(
    name: &'static str,
    endpoint: &str,
    variables: Vec<(String, String)>,
    leaves: Option<PathBuf>,
) -> Way {
    let binary = Path::new(env!("CARGO_BIN_EXE_etcdrx"));
    let endpoint = endpoint.to_owned();
    Way {
        name,
        commands: vec![Box::new(move || {
            let mut backup = command(binary, &["backup", "--quiet", "--endpoints", &endpoint]);
            backup.envs(variables.iter().cloned());
            backup
        })],
        leaves,
    }
}
