//! Measures how long a lost majority with a live survivor takes to serve again: `etcdrx recover` against the same recovery by a script with
//! etcdctl and etcdutl, interleaved, on the same three members.
//!
//! `BENCH_MB` (default 500) is the size of the data, `BENCH_ROUNDS` (default 3) how often each way is measured. The plan is approved
//! before the clock runs, as the script was written before. `etcdrx` goes on for some seconds after the cluster serves, to check what must
//! hold; the script checks nothing.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and panics where it cannot go on"
)]

#[path = "../tests/it/scratch/mod.rs"]
mod scratch;

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::Utc;
use etcdrx::drill::{Plan, Script, Site};
use etcdrx::sandbox::Program;
use futures_util::future::join_all;
use nix::sys::signal::Signal;

use scratch::pki::install_crypto;
use scratch::tools::{EtcdRelease, newest_etcd};

/// How large a value is: many of them make the data, none of them is unusual.
const VALUE_BYTES: usize = 100_000;
const LIMIT: Duration = Duration::from_mins(5);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    install_crypto();
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (megabytes, rounds) = (number("BENCH_MB", 500), number("BENCH_ROUNDS", 3));
    let release = newest_etcd();
    let program = Program::open(&release.etcd()).await.unwrap();
    let parent = tempfile::tempdir().unwrap();
    let plan = Plan {
        program: &program,
        members: 3,
        tls: false,
        seed: None,
        directory: parent.path(),
        now: Utc::now(),
    };
    let site = Site::start(&plan).await.unwrap();
    make_room(&site, megabytes).await;
    load(&site, megabytes).await;
    println!(
        "\netcd {}, three members, {megabytes} MB, two of them lost: seconds until all serve again\n",
        release.version()
    );
    let mut times: [Vec<f64>; 2] = Default::default();
    for round in 0..=rounds {
        for (way, times) in times.iter_mut().enumerate() {
            let elapsed = measure(&site, &release, way == 0).await;
            // The first round warms up.
            if round > 0 {
                times.push(elapsed.as_secs_f64());
            }
        }
    }
    let [ours, script] = times.map(median);
    println!("(a) script with etcdctl and etcdutl  {script:.2}");
    println!(
        "(b) etcdrx recover                   {ours:.2}   {:.2} of (a)",
        ours / script
    );
}

async fn load(site: &Site, megabytes: usize) {
    let endpoint = &site.members[0].client_url;
    let writers = (1..=8_u64).map(|writer| async move {
        let member = site.access().member(endpoint, LIMIT).await.unwrap();
        let mut random = writer;
        for number in 0..megabytes * 1_000_000 / VALUE_BYTES / 8 {
            let mut value = String::new();
            while value.len() < VALUE_BYTES {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                write!(value, "{:08x}", random >> 32).unwrap();
            }
            member
                .put(&format!("{writer}/{number:06}"), &value)
                .await
                .unwrap();
        }
    });
    join_all(writers).await;
}

/// A scratch cluster takes little: this one gets a quota for so much, with what is replaced on top.
async fn make_room(site: &Site, megabytes: usize) {
    for (index, member) in site.members.iter().enumerate() {
        site.run(index, Script::Stop).unwrap();
        site.until_it_is_gone(index).await;
        let config = fs::read_to_string(member.config_file()).unwrap();
        let lines = config.lines().filter(|line| !line.starts_with("quota"));
        let mut config: String = lines.flat_map(|line| [line, "\n"]).collect();
        writeln!(config, "quota-backend-bytes: {}", megabytes * 4_000_000).unwrap();
        fs::write(member.config_file(), config).unwrap();
        site.run(index, Script::Start).unwrap();
        site.until_it_serves(index, LIMIT).await.unwrap();
    }
}

/// Breaks the cluster, brings it back, and says how long it took until every member served.
async fn measure(site: &Site, release: &EtcdRelease, by_etcdrx: bool) -> Duration {
    for victim in [1, 2] {
        site.signal(victim, Signal::SIGKILL);
    }
    for victim in [1, 2] {
        site.until_it_is_gone(victim).await;
        fs::remove_dir_all(site.members[victim].data_dir()).unwrap();
    }
    let mut command = match by_etcdrx {
        true => recover(site),
        false => script(site, release),
    };
    let began = Instant::now();
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    site.until_all_serve(LIMIT).await.unwrap();
    let elapsed = began.elapsed();
    assert!(process.wait().unwrap().success());
    tidy(site);
    elapsed
}

fn etcdrx(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcdrx"));
    command
        .env("ETCDRX_CONFIG", site.directory().join("etcdrx.toml"))
        .env("ETCDRX_STATE_DIR", site.directory().join("state"));
    command
}

fn recover(site: &Site) -> Command {
    let arguments = ["recover", "--scenario", "majority"];
    let dry = etcdrx(site)
        .args(["--json"])
        .args(arguments)
        .arg("--dry-run")
        .output()
        .unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    let digest = plan["digest"].as_str().unwrap().to_owned();
    let mut command = etcdrx(site);
    command.args(arguments).args(["--yes", "--plan", &digest]);
    command
}

/// What an operator with etcd's own tools would type: snapshot, stop, set aside, restore everywhere, start.
fn script(site: &Site, release: &EtcdRelease) -> Command {
    let token = format!("script-{}", rand::random::<u32>());
    let members = site.members.iter();
    let pairs: Vec<String> = members
        .map(|member| format!("{}={}", member.name, member.peer_url))
        .collect();
    let all = pairs.join(",");
    let mut text = format!(
        "set -e\ncd {}\nrm -f snapshot.db\n{} --endpoints {} snapshot save snapshot.db\n",
        site.directory().display(),
        release.etcdctl().display(),
        site.members[0].client_url
    );
    for member in &site.members {
        let directory = member.data_dir();
        let directory = directory.parent().unwrap().display();
        write!(text, "{directory}/stop || true\nwhile {directory}/status; do sleep 0.05; done\nrm -rf {directory}/aside\n[ ! -e {directory}/data ] || mv {directory}/data {directory}/aside\n").unwrap();
    }
    for member in &site.members {
        writeln!(
            text,
            "{} snapshot restore snapshot.db --name {} --initial-cluster {all} --initial-cluster-token {token} --initial-advertise-peer-urls {} --data-dir {} --bump-revision 1000000 --mark-compacted",
            release.etcdutl().display(),
            member.name,
            member.peer_url,
            member.data_dir().display()
        )
        .unwrap();
    }
    for member in &site.members {
        let directory = member.data_dir();
        let directory = directory.parent().unwrap().display();
        writeln!(
            text,
            "{directory}/{} {}",
            Script::Start.name(),
            member.config_file().display()
        )
        .unwrap();
    }
    let mut command = Command::new("sh");
    command.args(["-c", &text]);
    command
}

/// Takes away what the ways left.
fn tidy(site: &Site) {
    let _ = fs::remove_dir_all(site.directory().join("state"));
    for member in &site.members {
        let _ = fs::remove_dir_all(member.data_dir().with_file_name("aside"));
        for entry in fs::read_dir(member.data_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name() != Path::new("member").file_name() {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
