//! The playbooks for Ansible, judged by its linter and run against machines.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::ansible_setup::{Machines, ansible};
use crate::scratch::tools::{function_name, skip};
use crate::scratch::{Output, program, require, tools};

/// How long the linter may take on a machine that has other things to do.
const LIMIT: Duration = Duration::from_mins(10);

#[test]
fn the_playbooks_pass_ansibles_own_judges() {
    require!("ansible");
    let folder = TempDir::new().unwrap();
    // The linter leaves things where it works.
    let copied = Command::new("cp")
        .arg("-r")
        .arg(playbooks())
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let run = |name: &str, words: &[&str]| {
        let mut command = ansible(name, folder.path());
        command.current_dir(folder.path().join("ansible"));
        command.args(words);
        program::run(command, LIMIT).success()
    };

    let names = ["site.yml", "certificates.yml", "recover.yml"];
    let inventory = ["--inventory", "inventory.example.yml", "--syntax-check"];
    run("ansible-playbook", &[&inventory, &names[..]].concat());
    let flags = ["--offline", "--strict", "--profile", "production"];
    run("ansible-lint", &[&flags, &names[..]].concat());
}

/// From bare machines to a cluster that is backed up, changed member by member, lost, and back.
#[test]
fn the_playbooks_make_a_cluster_keep_it_and_bring_it_back() {
    require!("ansible");
    require!("sshd");
    let Some(machines) = Machines::bare(&tools::newest_etcd()) else {
        return skip(&function_name!(), "root, namespaces and overlays");
    };

    let first = machines.play(&["site.yml"]).success();
    machines.etcdctl(&["put", "key", "kept"]);
    let backup = machines.type_on(0, "etcdrx --json backup").success();
    let again = machines.play(&["site.yml"]).success();

    assert!(changes(&first) > 0);
    assert!(backup.json()["keys"].as_u64() > Some(0), "{backup:?}");
    assert_eq!(changes(&again), 0, "{}", again.stdout);
    assert_private(&machines);
    assert_starts(&machines, 0);

    let renewal = ["certs", "renew", "etcd-2", "--out", "pki"];
    machines.etcdrx().run(renewal).success();
    // It ends with a look at what every port shows.
    let renewed = machines.play(&["certificates.yml"]).success();
    assert_eq!(changes(&renewed), 1, "on etcd-2 alone: {}", renewed.stdout);

    for host in [1, 2] {
        let lose = "systemctl stop etcd.service; sleep 1; rm -r /var/lib/etcd/member";
        machines.type_on(host, lose).success();
    }
    let choice = ["recover.yml", "-e", "scenario=majority"];
    let shown = machines.play(&choice).success();
    let approval = format!("plan={}", digest_in(&shown.stdout));
    machines
        .play(&[&choice[..], &["-e", &approval]].concat())
        .success();

    let value = machines.etcdctl(&["get", "--print-value-only", "key"]);
    assert_eq!(value.stdout.trim(), "kept");
    let recovered = configurations(&machines);

    let settings = r#"{"etcd_settings": {"snapshot-count": 5000}}"#;
    machines.play(&["etcd.yml", "-e", settings]).success();

    // One by one: a stop of two at once would have failed the play. And what the recovery wrote stays.
    for (host, before) in recovered.iter().enumerate() {
        let after = configurations(&machines).swap_remove(host);
        assert_eq!(after, format!("{before}snapshot-count: 5000\n"));
    }
    assert_starts(&machines, 1);
    machines.etcdctl(&["endpoint", "health"]);
}

fn configurations(machines: &Machines) -> Vec<String> {
    let files = (0..3).map(|host| machines.on(host, "etc/etcd/etcd.yml"));
    files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

fn playbooks() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/ansible")
}

/// How many changes a run made, of all machines together.
fn changes(run: &Output) -> usize {
    let recap = run.stdout.split("PLAY RECAP").nth(1).unwrap();
    let counts = recap
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("changed="));
    counts.map(|count| count.parse::<usize>().unwrap()).sum()
}

/// A member's keys are readable by root and etcd alone, and those of the authorities are on no machine.
fn assert_private(machines: &Machines) {
    for host in 0..3 {
        let own = machines.on(host, "etc/etcd/pki");
        let names: Vec<_> = fs::read_dir(&own)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 6, "{names:?}");
        let mode = |name: &str| fs::metadata(own.join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("server.key"), mode("peer.key")), (0o640, 0o640));
        let data = fs::metadata(machines.on(host, "var/lib/etcd/member")).unwrap();
        assert_ne!(data.uid(), 0, "etcd does not run as root");
    }
}

/// Started without waiting for a quorum, and after that only restarted; what a recovery starts is its own matter.
fn assert_starts(machines: &Machines, restarts: usize) {
    for host in 0..3 {
        let asked = machines.asked(host);
        let of = |verb: &str| {
            let lines = asked.lines().filter(|line| line.contains("etcd.service"));
            lines
                .filter(|line| line.split(' ').any(|word| word == verb))
                .count()
        };
        assert_eq!(of("restart"), restarts, "{asked}");
        assert!(
            asked.contains("start etcd.service --no-block")
                || asked.contains("--no-block start etcd.service"),
            "{asked}"
        );
    }
}

/// The digest of the plan that was shown.
fn digest_in(text: &str) -> &str {
    let after = text.split("--yes --plan ").nth(1).unwrap();
    after.split('`').next().unwrap()
}
