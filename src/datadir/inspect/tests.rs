//! Directories with every fault that an inspection knows.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::datadir::membership::Membership;
use crate::datadir::{EntryPlace, wal::Style};

/// The directory of a restored member, with a database that is none.
struct Directory {
    dir: tempfile::TempDir,
    membership: Membership,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let list = "a=http://a:1,b=http://b:1,c=http://c:1";
        let membership = Membership::parse(list, "t").unwrap();
        let directory = Self { dir, membership };
        fs::create_dir_all(directory.snap_dir()).unwrap();
        let (wal_dir, local) = (directory.wal_dir(), directory.local());
        wal::create(&wal_dir, &directory.membership, local, Style::Classic).unwrap();
        snap::create(&directory.snap_dir(), &directory.membership).unwrap();
        fs::write(directory.db(), "database").unwrap();
        directory
    }

    fn local(&self) -> MemberId {
        self.membership.member("a").unwrap().id
    }

    fn wal_dir(&self) -> PathBuf {
        self.dir.path().join("member/wal")
    }

    fn wal_file(&self) -> PathBuf {
        wal::segments(&self.wal_dir()).unwrap()[0].path.clone()
    }

    fn snap_dir(&self) -> PathBuf {
        self.dir.path().join("member/snap")
    }

    fn db(&self) -> PathBuf {
        self.snap_dir().join("db")
    }

    fn inspect(&self, options: &Options) -> Inspection<String> {
        let read = |db: &Path| Ok(fs::read_to_string(db).unwrap());
        inspect(self.dir.path(), options, read).unwrap()
    }

    fn codes(&self) -> Vec<String> {
        codes(&self.inspect(&Options::default()))
    }
}

fn codes<D>(inspection: &Inspection<D>) -> Vec<String> {
    let findings = inspection.findings.iter();
    findings.map(|finding| finding.code.clone()).collect()
}

#[test]
fn a_whole_directory_has_all_facts_and_no_finding() {
    let directory = Directory::new();
    let inspection = directory.inspect(&Options {
        wal_dir: Some(directory.wal_dir()),
        node_id: Some(directory.local()),
        cluster_id: Some(directory.membership.cluster_id),
    });

    assert_eq!(inspection.findings, []);
    assert_eq!(inspection.node_id, Some(directory.local()));
    let log = inspection.log.unwrap();
    assert_eq!(log.last, Some(EntryPlace { term: 1, index: 3 }));
    assert_eq!(
        (log.ending.as_str(), log.damage, log.missing),
        ("whole", None, None)
    );
    assert_eq!(log.snapshot, Some(inspection.snap.unwrap().place));
    let ids: Vec<MemberId> = directory.membership.members.iter().map(|m| m.id).collect();
    assert_eq!(inspection.voters, Some(ids));
    assert_eq!(inspection.database_held, Some(false));
    assert_eq!(inspection.database.as_deref(), Some("database"));
    assert!(inspection.free_bytes.unwrap() > 0);
    let modes = inspection.files.iter().map(|file| file.mode.as_str());
    assert!(modes.clone().any(|mode| mode == "0600"));
    let wal = inspection
        .files
        .iter()
        .find(|file| file.size_bytes == 64_000_000);
    assert!(wal.is_some_and(|file| !file.is_dir));
}

#[test]
fn a_database_that_a_process_holds_is_not_read() {
    let directory = Directory::new();
    let db = File::open(directory.db()).unwrap();
    db.lock().unwrap();
    let inspection = directory.inspect(&Options::default());
    assert_eq!(codes(&inspection), ["in-use"]);
    assert_eq!(
        (inspection.database_held, inspection.database),
        (Some(true), None)
    );
    db.unlock().unwrap();
    assert_eq!(directory.codes(), [""; 0]);
}

#[test]
fn what_the_reader_of_the_database_finds_is_a_finding() {
    let directory = Directory::new();
    let read = |_: &Path| Err::<(), _>(Finding::error("database-damaged", "page 7"));
    let inspection = inspect(directory.dir.path(), &Options::default(), read).unwrap();
    assert_eq!(codes(&inspection), ["database-damaged"]);
}

#[test]
fn a_directory_without_a_log_or_a_database_says_so() {
    let directory = Directory::new();
    fs::remove_file(directory.wal_file()).unwrap();
    fs::remove_file(directory.db()).unwrap();
    assert_eq!(directory.codes(), ["no-wal", "no-database"]);
    fs::remove_dir_all(directory.dir.path().join("member")).unwrap();
    assert_eq!(directory.codes(), ["no-wal", "no-database"]);
    let nowhere = directory.dir.path().join("nowhere");
    let inspection = inspect(&nowhere, &Options::default(), |_| Ok(()));
    assert!(matches!(inspection, Err(Error::DataDir { .. })));
}

#[test]
fn a_directory_of_another_member_or_cluster_is_foreign() {
    let directory = Directory::new();
    let inspection = directory.inspect(&Options {
        node_id: Some(MemberId(1)),
        cluster_id: Some(ClusterId(1)),
        ..Options::default()
    });
    assert_eq!(codes(&inspection), ["foreign-member", "foreign-cluster"]);
}

#[test]
fn a_damaged_log_and_a_torn_one_are_told_apart() {
    let directory = Directory::new();
    let end = directory.inspect(&Options::default()).log.unwrap();
    let end = usize::try_from(end.end_offset_bytes).unwrap();
    let whole = fs::read(directory.wal_file()).unwrap();
    let with = |bytes: &[u8]| {
        fs::write(directory.wal_file(), bytes).unwrap();
        directory.codes()
    };

    assert_eq!(with(&whole[..end]), [""; 0]);
    assert_eq!(with(&whole[..end - 3])[0], "wal-torn");
    let mut changed = whole[..end + 64].to_vec();
    changed[end + 40] = 1;
    assert_eq!(with(&changed), ["wal-leftover"]);
    changed[130] ^= 1;
    assert_eq!(with(&changed)[0], "wal-damaged");
}

#[test]
fn a_snapshot_file_must_belong_to_the_log() {
    let directory = Directory::new();
    let larger = "a=http://a:1,b=http://b:1,c=http://c:1,d=http://d:1";
    let larger = Membership::parse(larger, "t").unwrap();
    let newer = snap::create(&directory.snap_dir(), &larger).unwrap();
    assert_eq!(directory.codes(), ["snap-beyond-log"]);

    fs::write(&newer, "no snapshot").unwrap();
    assert_eq!(directory.codes(), ["snap-damaged"]);
    fs::remove_file(newer).unwrap();

    let smaller = Membership::parse("a=http://a:1,b=http://b:1", "t").unwrap();
    let own = snap::list(&directory.snap_dir()).unwrap();
    fs::remove_file(&own[0]).unwrap();
    snap::create(&directory.snap_dir(), &smaller).unwrap();
    assert_eq!(directory.codes(), ["snap-unknown"]);
}

#[test]
fn a_directory_that_others_can_enter_is_a_finding() {
    let directory = Directory::new();
    fs::set_permissions(directory.dir.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(directory.codes(), ["open-directory"]);
}

#[test]
fn an_inspection_is_one_json_document() {
    let directory = Directory::new();
    let json = serde_json::to_value(directory.inspect(&Options::default())).unwrap();
    assert_eq!(json["node_id"], directory.local().to_string());
    assert_eq!(json["log"]["last"]["index"], 3);
    assert_eq!(json["log"]["ending"], "whole");
    assert_eq!(json["findings"], serde_json::json!([]));
}
