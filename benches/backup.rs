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

#[path = "../tests/it/scratch/mod.rs"]
mod scratch;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd_client::{Client, Txn, TxnOp};
use nix::sys::resource::{UsageWho, getrusage};
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
    let rounds = env::var("BENCH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
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
    load(&cluster, megabytes).await;
    let folder = tempfile::tempdir().unwrap();
    let minio = match tool("minio") {
        Some(_) => Some(Store::minio().await),
        None => None,
    };
    let ways = ways(&cluster, folder.path(), minio.as_ref());
    // The first round warms up and is not counted.
    let mut results: Vec<Vec<Measure>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (way, results) in ways.iter().zip(&mut results) {
            let measure = way.measure();
            if round > 0 {
                results.push(measure);
            }
        }
    }
    let db = fs::metadata(cluster.members[0].db()).unwrap().len();
    println!(
        "\netcd {}, database {} MB, {rounds} rounds, medians\n",
        release.version(),
        db / 1_000_000
    );
    report(&ways, &results);
}

/// One way to a backup: commands that run one after the other, and what they leave.
struct Way {
    name: &'static str,
    commands: Vec<Build>,
    leaves: Option<PathBuf>,
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

type Build = Box<dyn Fn() -> Command>;

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

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// What one run cost.
#[derive(Clone, Copy)]
struct Measure {
    wall: f64,
    cpu: f64,
    peak_mib: f64,
    stored_mb: f64,
}

impl Way {
    fn measure(&self) -> Measure {
        let cpu_before = cpu_seconds();
        let began = Instant::now();
        let mut peak_mib = 0.0_f64;
        for build in &self.commands {
            peak_mib = peak_mib.max(run(build()));
        }
        let measure = Measure {
            wall: began.elapsed().as_secs_f64(),
            cpu: cpu_seconds() - cpu_before,
            peak_mib,
            stored_mb: self.leaves.as_deref().map_or(0, size) as f64 / 1e6,
        };
        if let Some(path) = &self.leaves {
            let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
        measure
    }
}

/// Runs a process and gives the peak of its resident memory, in MiB.
fn run(mut command: Command) -> f64 {
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    loop {
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:"))
        {
            let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            peak = kib / 1024.0;
        }
        if let Some(exit) = child.try_wait().unwrap() {
            assert!(exit.success(), "{command:?}: {exit}");
            return peak;
        }
        sleep(Duration::from_millis(2));
    }
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn size(path: &Path) -> u64 {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries.map(|entry| size(&entry.unwrap().path())).sum();
    }
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn report(ways: &[Way], results: &[Vec<Measure>]) {
    println!(
        "{:30} {:>8} {:>8} {:>10} {:>10} {:>8} {:>8}",
        "", "wall s", "CPU s", "peak MiB", "stored MB", "x (a)", "x (c)"
    );
    let of = |name: &str| ways.iter().position(|way| way.name.starts_with(name));
    let drain = of("(a)").unwrap();
    let zstd = of("(c)");
    for (way, measures) in ways.iter().zip(results) {
        let against = |other: &[Measure]| {
            median(
                measures
                    .iter()
                    .zip(other)
                    .map(|(ours, theirs)| ours.wall / theirs.wall),
            )
        };
        println!(
            "{:30} {:8.2} {:8.2} {:10.1} {:10.1} {:8.2} {:>8}",
            way.name,
            median(measures.iter().map(|m| m.wall)),
            median(measures.iter().map(|m| m.cpu)),
            median(measures.iter().map(|m| m.peak_mib)),
            median(measures.iter().map(|m| m.stored_mb)),
            against(&results[drain]),
            zstd.map_or_else(
                || "-".to_owned(),
                |zstd| format!("{:.2}", against(&results[zstd]))
            ),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Fills the cluster with objects such as Kubernetes keeps: much text that repeats, some that never does.
async fn load(cluster: &Cluster, megabytes: usize) {
    let mut client = cluster.client().await;
    let mut random = 42_u64;
    let mut written = 0;
    let mut number = 0;
    while written < megabytes * 1_000_000 {
        let mut operations = Vec::new();
        for _ in 0..100 {
            let value = object(number, &mut random);
            written += value.len();
            operations.push(TxnOp::put(
                format!("/registry/pods/ns-{}/pod-{number:08}", number % 50),
                value,
                None,
            ));
            number += 1;
        }
        client.txn(Txn::new().and_then(operations)).await.unwrap();
    }
}

fn object(number: usize, random: &mut u64) -> String {
    let mut hex = |digits: usize| {
        let mut text = String::new();
        while text.len() < digits {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            write!(text, "{:08x}", *random >> 32).unwrap();
        }
        text.truncate(digits);
        text
    };
    let mut text = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"pod-{number:08}","namespace":"ns-{}","uid":"{}","labels":{{"app":"service-{}","pod-template-hash":"{}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","uid":"{}","controller":true}}]}},"spec":{{"volumes":[{{"name":"kube-api-access","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt"}}}}]}}}}],"containers":["#,
        number % 50,
        hex(32),
        number % 400,
        hex(10),
        hex(32)
    );
    for container in 0..6 {
        write!(
            text,
            r#"{{"name":"container-{container}","image":"registry.internal/team/service@sha256:{}","ports":[{{"containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"POD_IP","valueFrom":{{"fieldRef":{{"apiVersion":"v1","fieldPath":"status.podIP"}}}}}},{{"name":"TOKEN","value":"{}"}}],"resources":{{"limits":{{"cpu":"500m","memory":"512Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}},"#,
            hex(64),
            hex(40)
        )
        .unwrap();
    }
    text.push_str(r#"{}],"restartPolicy":"Always","dnsPolicy":"ClusterFirst","schedulerName":"default-scheduler"}}"#);
    text
}
