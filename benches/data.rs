//! Measures what is done with snapshots against the tools that a user would take instead, interleaved, on the same data.
//!
//! `BENCH_DATA` (default `pods:560,small:420`) names kinds and megabytes of the values, `BENCH_ROUNDS` (default 5) how often
//! each way is measured. Every way is a process of its own, or several, one after the other, measured from outside.
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
use std::process::Command;

use load::{Values, load};
use measure::{Build, Way, command, interleaved, report, rounds};
use scratch::process::find_program;
use scratch::tools::{newest_etcd, tool};
use scratch::{Cluster, Store};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let data = env::var("BENCH_DATA").unwrap_or_else(|_| "pods:560,small:420".to_owned());
    for kind in data.split(',') {
        let (kind, megabytes) = kind.split_once(':').expect("such as pods:560");
        let values = match kind {
            "pods" => Values::Pods,
            "small" => Values::Small,
            other => panic!("{other} is neither pods nor small"),
        };
        bench_data(values, megabytes.parse().unwrap()).await;
    }
}

/// Everything that the ways work on.
struct Ground {
    folder: PathBuf,
    snapshot: PathBuf,
    /// The object in the file repository.
    stored: PathBuf,
    file: Vec<(String, String)>,
    s3: Option<Vec<(String, String)>>,
    /// A revision in the middle of the history.
    middle: u64,
    zstd: PathBuf,
}

async fn bench_data(values: Values, megabytes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let minio = match tool("minio") {
        Some(_) => Some(Store::minio().await),
        None => None,
    };
    let ground = prepare(values, megabytes, folder.path(), minio.as_ref()).await;
    let size = fs::metadata(&ground.snapshot).unwrap().len() / 1_000_000;
    let version = newest_etcd().version();
    println!(
        "\netcd {version}, {values:?}, snapshot of {size} MB: status, medians of {} rounds\n",
        rounds()
    );
    run(&status(&ground), &["(a)"]);
    println!("\nrestore from the snapshot file\n");
    run(&restore_file(&ground), &["(a)", "(b)"]);
    println!("\nrestore from a compressed backup\n");
    run(&restore_backup(&ground), &["(z)", "(c)"]);
}

fn run(ways: &[Way], against: &[&str]) {
    report(ways, &interleaved(ways, rounds()), against);
}

/// Loads a server, takes a snapshot file and backups of it, and stops it.
async fn prepare(values: Values, megabytes: usize, folder: &Path, minio: Option<&Store>) -> Ground {
    let cluster = Cluster::of(&newest_etcd())
        .members(1)
        .flag("--unsafe-no-fsync")
        .quota_bytes(8 << 30)
        .start()
        .await;
    load(&cluster, megabytes, values).await;
    let endpoint = cluster.endpoints()[0].clone();
    let snapshot = folder.join("snapshot.db");
    let mut save = command(
        &newest_etcd().etcdctl(),
        &["--endpoints", &endpoint, "snapshot", "save"],
    );
    assert!(save.arg(&snapshot).output().unwrap().status.success());
    let file = vec![(
        "ETCDRX_REPOSITORY_URL".to_owned(),
        format!("file://{}/repository", folder.display()),
    )];
    let s3 = minio.map(|minio| {
        let mut variables = minio.environment();
        variables.extend([
            ("ETCDRX_REPOSITORY_URL".into(), minio.url().to_owned()),
            (
                "ETCDRX_REPOSITORY_ENDPOINT".into(),
                minio.endpoint().unwrap(),
            ),
            ("ETCDRX_REPOSITORY_ALLOW_HTTP".into(), "true".into()),
        ]);
        variables
    });
    for repository in [Some(&file), s3.as_ref()].into_iter().flatten() {
        let mut backup = etcdrx(&["backup", "--quiet", "--endpoints", &endpoint], repository);
        assert!(backup.status().unwrap().success());
    }
    let stored = Command::new("find")
        .arg(folder.join("repository"))
        .args(["-name", "*.zst"])
        .output()
        .unwrap();
    let newest: u64 = {
        let mut status = etcdrx(&["snapshot", "status", "--json"], &[]);
        let output = status
            .arg(&snapshot)
            .stdout(std::process::Stdio::piped())
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        status["revision"].as_u64().unwrap()
    };
    Ground {
        folder: folder.to_owned(),
        snapshot,
        stored: PathBuf::from(String::from_utf8(stored.stdout).unwrap().trim()),
        file,
        s3,
        middle: newest / 2,
        zstd: find_program("zstd").expect("zstd is on this machine"),
    }
}

fn etcdrx(arguments: &[&str], variables: &[(String, String)]) -> Command {
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_etcdrx")), arguments);
    command
        .envs(variables.iter().cloned())
        .stderr(std::process::Stdio::null());
    command
}

fn etcdutl(arguments: &[&str]) -> Command {
    let mut command = command(&newest_etcd().etcdutl(), arguments);
    command.stderr(std::process::Stdio::null());
    command
}

fn way(name: &'static str, commands: Vec<Build>, leaves: Option<PathBuf>) -> Way {
    Way {
        name,
        commands,
        leaves,
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn status(ground: &Ground) -> Vec<Way> {
    let snapshot = text(&ground.snapshot);
    let (theirs, ours, quick, stored) = (
        snapshot.clone(),
        snapshot.clone(),
        snapshot,
        ground.file.clone(),
    );
    vec![
        way(
            "(a) etcdutl snapshot status",
            vec![Box::new(move || etcdutl(&["snapshot", "status", &theirs]))],
            None,
        ),
        way(
            "etcdrx, and the SHA-256 trailer",
            vec![Box::new(move || {
                etcdrx(&["snapshot", "status", &ours], &[])
            })],
            None,
        ),
        way(
            "etcdrx --skip-hash-check",
            vec![Box::new(move || {
                etcdrx(&["snapshot", "status", "--skip-hash-check", &quick], &[])
            })],
            None,
        ),
        way(
            "etcdrx, of the compressed backup",
            vec![Box::new(move || {
                etcdrx(&["snapshot", "status", "latest"], &stored)
            })],
            None,
        ),
    ]
}

/// A restore by etcdrx into a directory that is removed again.
fn ours(
    ground: &Ground,
    name: &'static str,
    source: &str,
    flags: &[&str],
    variables: &[(String, String)],
) -> Way {
    let target = ground.folder.join("ours");
    let mut arguments: Vec<String> = ["restore", source, "--quiet", "--data-dir"]
        .map(str::to_owned)
        .to_vec();
    arguments.push(text(&target));
    arguments.extend(flags.iter().map(ToString::to_string));
    let variables = variables.to_vec();
    let build: Build = Box::new(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        etcdrx(&arguments, &variables)
    });
    way(name, vec![build], Some(target))
}

fn theirs(snapshot: &Path, target: &Path) -> Build {
    let (snapshot, target) = (text(snapshot), text(target));
    Box::new(move || etcdutl(&["snapshot", "restore", &snapshot, "--data-dir", &target]))
}

fn restore_file(ground: &Ground) -> Vec<Way> {
    let target = ground.folder.join("theirs");
    let snapshot = text(&ground.snapshot);
    let middle = ground.middle.to_string();
    let ours = |name, flags: &[&str]| ours(ground, name, &snapshot, flags, &[]);
    vec![
        way(
            "(a) etcdutl snapshot restore",
            vec![theirs(&ground.snapshot, &target)],
            Some(target),
        ),
        ours("(b) etcdrx restore", &[]),
        ours(
            "etcdrx, bump and mark compacted",
            &["--bump-revision", "1000", "--mark-compacted"],
        ),
        ours(
            "etcdrx, to a revision half way",
            &["--to-revision", &middle],
        ),
        ours("etcdrx --defragment", &["--defragment"]),
    ]
}

fn restore_backup(ground: &Ground) -> Vec<Way> {
    let plain = ground.folder.join("plain.db");
    let (stored, to, zstd) = (text(&ground.stored), text(&plain), ground.zstd.clone());
    let decompress = move || command(&zstd, &["-d", "-q", "-f", "-o", &to, &stored]);
    let to = text(&plain);
    let sync = move || command(Path::new("/bin/sync"), &[&to]);
    let whole = ground.folder.join("whole");
    let (from, copy) = (text(&ground.stored), text(&whole.join("copy.zst")));
    let (zstd, db) = (ground.zstd.clone(), whole.join("plain.db"));
    let (zst, db_text) = (copy.clone(), text(&db));
    let mut ways = vec![
        way(
            "(z) zstd -d, to the disk",
            vec![Box::new(decompress.clone()), Box::new(sync)],
            Some(plain.clone()),
        ),
        way(
            "zstd -d, into the page cache",
            vec![Box::new(decompress)],
            Some(plain),
        ),
        way(
            "(c) cp, zstd -d, etcdutl restore",
            vec![
                Box::new(move || {
                    let script = format!("mkdir -p $(dirname {copy}) && cp {from} {copy}");
                    command(Path::new("/bin/sh"), &["-c", &script])
                }),
                Box::new(move || command(&zstd, &["-d", "-q", "-f", "-o", &db_text, &zst])),
                theirs(&db, &whole.join("data")),
            ],
            Some(whole),
        ),
        ours(
            ground,
            "etcdrx restore, file repository",
            "latest",
            &[],
            &ground.file,
        ),
    ];
    if let Some(s3) = &ground.s3 {
        ways.push(ours(
            ground,
            "etcdrx restore, S3 (MinIO)",
            "latest",
            &[],
            s3,
        ));
    }
    ways
}
