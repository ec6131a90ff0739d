//! Commands measured from outside, interleaved, and the table of their medians.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

pub(crate) type Build = Box<dyn Fn() -> Command>;

/// One way to a result: commands that run one after the other, and what they leave.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) commands: Vec<Build>,
    pub(crate) leaves: Option<PathBuf>,
}

pub(crate) fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Measures every way in turn, `rounds` times; the round before warms up and is not counted.
pub(crate) fn interleaved(ways: &[Way], rounds: usize) -> Vec<Vec<Measure>> {
    let mut results: Vec<Vec<Measure>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (way, results) in ways.iter().zip(&mut results) {
            let measure = way.measure();
            if round > 0 {
                results.push(measure);
            }
        }
    }
    results
}

/// The rounds that are asked for.
pub(crate) fn rounds() -> usize {
    env::var("BENCH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap())
}

/// What one run cost.
#[derive(Clone, Copy)]
pub(crate) struct Measure {
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

/// Prints the medians, with the ratios of the wall times to those of the ways whose names begin so.
pub(crate) fn report(ways: &[Way], results: &[Vec<Measure>], against: &[&str]) {
    print!(
        "{:42} {:>8} {:>8} {:>10} {:>10}",
        "", "wall s", "CPU s", "peak MiB", "left MB"
    );
    for name in against {
        print!(" {:>8}", format!("x {name}"));
    }
    println!();
    for (way, measures) in ways.iter().zip(results) {
        print!(
            "{:42} {:8.2} {:8.2} {:10.1} {:10.1}",
            way.name,
            median(measures.iter().map(|m| m.wall)),
            median(measures.iter().map(|m| m.cpu)),
            median(measures.iter().map(|m| m.peak_mib)),
            median(measures.iter().map(|m| m.stored_mb)),
        );
        for name in against {
            let other = ways.iter().position(|way| way.name.starts_with(name));
            let ratio = other.map(|other| {
                let pairs = measures.iter().zip(&results[other]);
                median(pairs.map(|(ours, theirs)| ours.wall / theirs.wall))
            });
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            print!(" {ratio:>8}");
        }
        println!();
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
