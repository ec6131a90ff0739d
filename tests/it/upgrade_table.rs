//! What the embedded table says of etcd's flags, keys, gates and defaults, asked of the real servers again.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use etcdrx::upgrade::{Minor, table};
use tempfile::TempDir;

use crate::scratch::{EtcdRelease, Output, process, program, tools};

/// No flag takes it but those that take any text.
const NONSENSE: &str = "%%%";
/// As many as CI has cores.
const WORKERS: usize = 2;

#[test]
fn every_version_knows_the_flags_that_the_table_says() {
    let asked = questions(table::flags());
    in_parallel(&asked, |release, name, known| {
        let flag = format!("--{name}={NONSENSE}");
        let output = etcd(release, &[&flag, "--version"]);
        let is_unknown = output.contains(&format!("flag provided but not defined: -{name}"));
        assert_eq!(is_unknown, !known, "etcd {} --{name}", release.version());
    });
}

#[test]
fn every_version_knows_the_keys_that_the_table_says() {
    let directory = TempDir::new().unwrap();
    let asked = questions(table::keys());
    in_parallel(&asked, |release, name, known| {
        // Go names the key that a value does not fit; whatever it does not know, it passes over, to fail at the directory.
        let file = directory
            .path()
            .join(format!("{}-{name}.yml", release.version()));
        fs::write(&file, misfit(name)).unwrap();
        let output = etcd(release, &["--config-file", &file.display().to_string()]);
        let is_known = output.contains("cannot unmarshal");
        assert_eq!(
            is_known,
            known,
            "etcd {} {name}: {output}",
            release.version()
        );
        assert!(
            is_known
                || output.contains("failed to list data directory")
                || output.contains("error listing data dir"),
            "{output}"
        );
    });
}

#[test]
fn every_version_knows_the_feature_gates_that_the_table_says() {
    for release in tools::etcd_versions() {
        if release.minor() < 6 {
            continue;
        }
        for (gate, known) in table::gates() {
            let flag = format!("--feature-gates={gate}=true");
            let output = etcd(&release, &[&flag, "--version"]);
            let is_unknown = output.contains(&format!("unrecognized feature gate: {gate}"));
            assert_eq!(
                is_unknown,
                !known.by(Minor(release.minor())),
                "{gate}: {output}"
            );
        }
        let help = etcd(&release, &["--help"]);
        let gates = help
            .lines()
            .filter_map(|line| line.trim().split_once("=true|false"));
        for (gate, _) in gates {
            assert!(
                table::gate(gate).is_some(),
                "the table lacks the gate {gate}"
            );
        }
    }
}

#[test]
fn the_help_of_every_version_names_no_flag_that_the_table_lacks() {
    for release in tools::etcd_versions() {
        let help = etcd(&release, &["--help"]);
        for line in help.lines() {
            // Flags stand by themselves; prose names some too.
            let name = line
                .strip_prefix("  --")
                .and_then(|rest| rest.split(' ').next());
            let known = name.is_none_or(|name| table::flag(name).is_some());
            assert!(known, "etcd {} {line}", release.version());
        }
        // 3.6 says what takes the place of what 3.7 does not know.
        if release.minor() != 6 {
            continue;
        }
        let lines: Vec<&str> = help.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let name = pair[0]
                .strip_prefix("--")
                .and_then(|line| line.split(' ').next());
            let new = pair[1]
                .split_once("Use '--")
                .and_then(|(_, rest)| rest.split('\'').next());
            if let (Some(name), Some(new)) = (name, new) {
                assert_eq!(table::renamed(name), Some(new), "{name}");
            }
        }
    }
}

#[test]
fn the_defaults_that_the_table_says_are_those_of_the_help() {
    let releases = tools::etcd_versions();
    for pair in releases.windows(2) {
        let (from, to) = (Minor(pair[0].minor()), Minor(pair[1].minor()));
        for (name, before, after) in table::changed_defaults(from, to) {
            assert_eq!(default_of(&pair[0], name), before, "{name}");
            assert_eq!(default_of(&pair[1], name), after, "{name}");
        }
        // The other way round: what the helps of both name and do not agree on.
        for (name, _) in table::flags().filter(|(name, _)| !name.starts_with("experimental-")) {
            let (before, after) = (default_of(&pair[0], name), default_of(&pair[1], name));
            let differs = before != after && !before.is_empty() && !after.is_empty();
            let told = table::changed_defaults(from, to).any(|(told, ..)| told == name);
            assert!(
                told || !differs || name == "v2-deprecation",
                "{name}: {before} {after}"
            );
        }
    }
}

/// A version, a name, and whether it should know it. What all know is asked of the oldest and the newest only.
type Question = (EtcdRelease, &'static str, bool);

fn questions(names: impl Iterator<Item = (&'static str, table::Known)>) -> Vec<Question> {
    let releases = tools::etcd_versions();
    let mut questions = Vec::new();
    for (name, known) in names {
        let everywhere = (known.first, known.last) == (Minor::OLDEST, Minor::NEWEST);
        for release in &releases {
            let minor = Minor(release.minor());
            let is_end = minor == Minor::OLDEST || minor == Minor::NEWEST;
            if is_end || !everywhere {
                questions.push((release.clone(), name, known.by(minor)));
            }
        }
    }
    assert!(questions.len() > 300, "{}", questions.len());
    questions
}

fn in_parallel(questions: &[Question], ask: impl Fn(&EtcdRelease, &str, bool) + Sync) {
    let ask = &ask;
    thread::scope(|scope| {
        for part in questions.chunks(questions.len().div_ceil(WORKERS)) {
            scope.spawn(move || {
                for (release, name, known) in part {
                    ask(release, name, *known);
                }
            });
        }
    });
}

/// A configuration in which only `name` has a value of a wrong kind, and that ends before anything is opened.
fn misfit(name: &str) -> String {
    let value = "{a: {b: [1]}}";
    let text = match name.split_once('.') {
        Some((section, key)) => format!("{section}:\n  {key}: {value}\n"),
        None if name.ends_with("-transport-security") => format!("{name}: text\n"),
        None => format!("{name}: {value}\n"),
    };
    match name {
        "data-dir" => text,
        _ => format!("data-dir: /dev/null/x\n{text}"),
    }
}

fn default_of(release: &EtcdRelease, name: &str) -> String {
    let help = etcd(release, &["--help"]);
    let line = help.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("--")?.strip_prefix(name)?;
        rest.trim()
            .strip_prefix('\'')?
            .strip_suffix('\'')
            .map(str::to_owned)
    });
    line.unwrap_or_default()
}

/// What a server says on both streams, started in an empty folder and an empty environment.
fn etcd(release: &EtcdRelease, arguments: &[&str]) -> String {
    let mut command = process::command(&release.etcd());
    command.args(arguments).current_dir(Path::new("/"));
    let Output { stdout, stderr, .. } = program::run(command, Duration::from_secs(20));
    stdout + &stderr
}
