//! What etcdrx writes into a data directory is, byte for byte, what etcd's own tool writes.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcdrx::datadir::membership::Membership;
use etcdrx::datadir::{snap, wal};
use serde_json::Value;

use crate::scratch::{EtcdRelease, process, program, tools};

/// One, three and five members; IPv6, TLS, sockets, two URLs a member, a name that Go escapes in JSON.
const MEMBERSHIPS: [&str; 3] = [
    "m1=http://127.0.0.1:2380",
    "etcd-1=http://10.0.0.1:2380,etcd-2=http://10.0.0.2:2380,etcd-3=http://10.0.0.3:2380",
    "a<b>&c=https://[2001:db8::1]:2380,a<b>&c=https://10.0.0.1:2380,two=http://LOCALHOST:02380,\
     three=http://[::1]:2380,three=http://127.0.0.1:2379,four=unix://m4.sock,four=unix://localhost:2381,\
     five=https://[fe80::1%25eth0]:2380,five=unixs:///run/etcd-5/m_5~.sock,five=https://etcd_5.example:2380",
];

const TOKEN: &str = "etcdrx-9f3a1c";

#[test]
fn the_log_and_the_snapshot_file_are_those_of_etcdutl() {
    let folder = tempfile::tempdir().unwrap();
    for release in tools::etcd_versions() {
        if release.minor() < 5 {
            // etcdctl 3.4 writes no members into the records.
            continue;
        }
        // Neither file depends on the database.
        let specimens = [
            "snapshot-3.6.db.zst",
            "snapshot-3.7.db.zst",
            "snapshot-3.6.db.zst",
        ];
        for (list, specimen) in MEMBERSHIPS.into_iter().zip(specimens) {
            let snapshot = unpack(specimen, folder.path());
            assert_same_files(&release, &snapshot, list, folder.path());
        }
    }
}

/// Lets both write the files of a member that is not the first one, if there is another.
fn assert_same_files(release: &EtcdRelease, snapshot: &Path, list: &str, folder: &Path) {
    let membership = Membership::parse(list, TOKEN).unwrap();
    let member = membership.members.last().unwrap();
    let case = format!("etcdutl {} {}", release.version(), member.name);
    println!("{case}");
    let (theirs, ours) = (folder.join("theirs"), folder.join("ours"));
    restore(release, snapshot, &theirs, list, &member.name);
    let (wal_dir, snap_dir) = member_dirs(&ours);
    fs::create_dir_all(&snap_dir).unwrap();
    wal::create(&wal_dir, &membership, member.id, wal::Style::Classic).unwrap();
    snap::create(&snap_dir, &membership).unwrap();

    let (their_wal_dir, their_snap_dir) = member_dirs(&theirs);
    match release.minor() < 7 {
        true => assert_same_log(&their_wal_dir, &wal_dir, &case),
        false => assert_shorter_log(&their_wal_dir, &wal_dir, &case),
    }
    assert_same_snap(release, &their_snap_dir, &snap_dir);
    fs::remove_dir_all(theirs).unwrap();
    fs::remove_dir_all(ours).unwrap();
}

#[test]
fn etcdutl_refuses_the_lists_that_are_refused_here() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = unpack("snapshot-3.6.db.zst", folder.path());
    let release = tools::newest_etcd();
    for list in [
        "m1=http://127.0.0.1:2380/",
        "m1=127.0.0.1:2380",
        "m1=http://127.0.0.1",
        "m1=tcp://127.0.0.1:2380",
        "m1=unix://localhost:m0.sock",
        "m1=http://127.0.0.1:2380,m2=http://127.0.0.1:2380",
        "m2=http://127.0.0.1:2380",
        "m1",
    ] {
        let there = folder.path().join("refused");
        let membership = Membership::parse(list, TOKEN);
        let refused = membership.is_err_and(|error| !error.to_string().is_empty());
        let unknown = Membership::parse(list, TOKEN).is_ok_and(|all| all.member("m1").is_err());
        let urls = "http://127.0.0.1:2380";

        let output = program::run(
            restore_command(&release, &snapshot, &there, [list, "m1", urls]),
            Duration::from_secs(20),
        );

        assert!(output.code != 0, "{list}: {output:?}");
        assert!(refused || unknown, "{list}");
    }
}

/// Equal names, modes, and all 64,000,000 bytes.
fn assert_same_log(theirs: &Path, ours: &Path, case: &str) {
    let (theirs, ours) = (only_file(theirs), only_file(ours));
    assert_eq!(theirs.file_name(), ours.file_name(), "{case}");
    assert_eq!(mode(&theirs), mode(&ours), "{case}");
    assert_eq!(mode(theirs.parent().unwrap()), mode(ours.parent().unwrap()));
    assert!(
        fs::read(theirs).unwrap() == fs::read(ours).unwrap(),
        "{case}"
    );
}

/// etcd 3.7 leaves out two fields that are zero; all else is the same.
fn assert_shorter_log(theirs: &Path, ours: &Path, case: &str) {
    let facts = |dir| {
        let mut facts = wal::read(dir).unwrap();
        (facts.end.crc, facts.end.offset) = (0, 0);
        facts.end.file = PathBuf::new();
        facts
    };
    assert_eq!(facts(theirs), facts(ours), "{case}");
    let entries = |dir| wal::entries(dir, 0).unwrap().map(Result::unwrap);
    for (theirs, mut ours) in entries(theirs).zip(entries(ours)) {
        let id: Vec<u8> = ours.data.drain(..2).collect();
        assert_eq!(id, [0x08, 0x00], "{case}");
        assert_eq!(theirs, ours, "{case}");
    }
    assert_eq!(entries(theirs).count(), entries(ours).count(), "{case}");
}

/// The same name, mode, metadata and store, but for the statistics and old events that are left out.
fn assert_same_snap(release: &EtcdRelease, theirs: &Path, ours: &Path) {
    let list = |dir| snap::list(dir).unwrap().pop().unwrap();
    let (theirs, ours) = (list(theirs), list(ours));
    assert_eq!(theirs.file_name(), ours.file_name());
    assert_eq!(mode(&theirs), mode(&ours));
    let (their_bytes, our_bytes) = (fs::read(&theirs).unwrap(), fs::read(&ours).unwrap());
    let (theirs, ours) = (snap::read(&theirs).unwrap(), snap::read(&ours).unwrap());
    assert_eq!(theirs.record(), ours.record());
    if release.minor() < 7 {
        // The metadata are the last thing in the file: at least 9 bytes for each member's id, and its tag.
        let length = ours.conf_state.voters.len() * 10 + 6;
        let (theirs, ours) = (their_bytes.len() - length, our_bytes.len() - length);
        assert_eq!(their_bytes[theirs..], our_bytes[ours..]);
    }
    let text = String::from_utf8(ours.store.clone()).unwrap();
    let root = text.split_once(",\"CurrentIndex\"").unwrap().0;
    let is_same = theirs.store.starts_with(root.as_bytes());
    assert!(is_same || release.minor() > 5, "{text}");
    let json = |store: &[u8]| serde_json::from_slice::<Value>(store).unwrap();
    let (mut theirs, mut ours) = (json(&theirs.store), json(&ours.store));
    // From 3.6 on the members are numbered in no order.
    forget_indexes(&mut theirs);
    forget_indexes(&mut ours);
    for (name, value) in ours.as_object().unwrap() {
        assert_eq!(&theirs[name], value, "{name}");
    }
}

fn forget_indexes(node: &mut Value) {
    for (name, value) in node.as_object_mut().into_iter().flatten() {
        match name.as_str() {
            "CreatedIndex" | "ModifiedIndex" => *value = Value::Null,
            _ => forget_indexes(value),
        }
    }
}

fn restore(release: &EtcdRelease, snapshot: &Path, target: &Path, list: &str, name: &str) {
    let membership = Membership::parse(list, TOKEN).unwrap();
    let urls = membership.member(name).unwrap().peer_urls.join(",");
    membership.local(name, &urls).unwrap();
    let command = restore_command(release, snapshot, target, [list, name, &urls]);
    program::run(command, Duration::from_secs(30)).success();
}

fn restore_command(
    release: &EtcdRelease,
    snapshot: &Path,
    target: &Path,
    [list, name, urls]: [&str; 3],
) -> std::process::Command {
    let mut command = process::command(&release.etcdutl());
    command.args(["snapshot", "restore"]).arg(snapshot).args([
        format!("--data-dir={}", target.display()),
        format!("--name={name}"),
        format!("--initial-cluster={list}"),
        format!("--initial-advertise-peer-urls={urls}"),
        format!("--initial-cluster-token={TOKEN}"),
    ]);
    command
}

fn unpack(specimen: &str, folder: &Path) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(specimen);
    let path = folder.join(specimen).with_extension("");
    let file = File::create(&path).unwrap();
    zstd::stream::copy_decode(File::open(packed).unwrap(), file).unwrap();
    path
}

/// The folders of the log and of the snapshots.
fn member_dirs(data_dir: &Path) -> (PathBuf, PathBuf) {
    let member = data_dir.join("member");
    (member.join("wal"), member.join("snap"))
}

fn only_file(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode()
}
