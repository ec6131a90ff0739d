//! What a restore refuses, and that it leaves nothing behind when it fails, is killed, or meets a full disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt;

use crate::restore_setup::{keys_in, save_snapshot};
use crate::scratch::tools::{self, function_name};
use crate::scratch::{Cluster, Output, process, program};
use crate::setup::{Workplace, assert_ends};
use crate::store_disk::Disk;
use crate::store_setup::{medium_cluster, small_cluster};

/// Two members that nobody starts.
pub(crate) const CLUSTER: &str = "m1=http://127.0.0.1:2380,m2=http://127.0.0.1:2381";

/// A folder with `snapshot.db` in it, of a cluster with a hundred keys.
pub(crate) async fn workplace() -> Workplace {
    workplace_of(&small_cluster().await).await
}

async fn workplace_of(cluster: &Cluster) -> Workplace {
    let workplace = Workplace::new();
    let mut client = cluster.client().await;
    save_snapshot(&mut client, &workplace.path("snapshot.db")).await;
    workplace
}

/// Restores `source` for `m1` into `data`.
fn restore(workplace: &Workplace, source: &str, more: &[&str]) -> Output {
    let flags = [
        "restore",
        source,
        "--name",
        "m1",
        "--initial-cluster",
        CLUSTER,
    ];
    let flags = flags.iter().chain(&["--data-dir", "data"]).chain(more);
    workplace.etcdrx().run(flags)
}

/// Everything below a folder, sorted.
pub(crate) fn content(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Whatever the umask of the caller allows.
#[tokio::test]
async fn what_is_restored_is_for_its_owner_alone() {
    let workplace = workplace().await;
    let data = workplace.path("data");
    let sh = process::find_program("sh").unwrap();
    for flags in [&[][..], &["--defragment"]] {
        let mut restore = process::command(&sh);
        restore.args(["-c", "umask 0; exec \"$0\" restore \"$@\""]);
        restore.arg(env!("CARGO_BIN_EXE_etcdrx"));
        restore.arg(workplace.path("snapshot.db"));
        restore.arg("--data-dir").arg(&data).args(flags);
        program::run(restore, Duration::from_mins(1)).success();
        for path in content(&data).iter().chain([&data]) {
            let expected = match path.extension() {
                _ if path.is_dir() => 0o700,
                // As etcd itself writes it; the directory lets nobody in.
                Some(kind) if kind == "snap" => 0o644,
                _ => 0o600,
            };
            assert_eq!(mode(path), expected, "{flags:?}: {}", path.display());
        }
        fs::remove_dir_all(&data).unwrap();
    }
}

/// As a mount point is, that belongs to etcd's user.
#[tokio::test]
async fn a_directory_that_is_there_and_empty_keeps_its_mode_and_its_owner() {
    let workplace = workplace().await;
    let data = workplace.path("data");
    fs::create_dir_all(data.join("lost+found")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    if chown(&data, Some(12345), Some(23456)).is_err() {
        return tools::skip(&function_name!(), "root");
    }
    let inode = fs::metadata(&data).unwrap().ino();

    restore(&workplace, "./snapshot.db", &["--wal-dir", "wal"]).success();

    let metadata = fs::metadata(&data).unwrap();
    assert_eq!(mode(&data), 0o750);
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.ino()),
        (12345, 23456, inode)
    );
    let made = [
        content(&data.join("member")),
        content(&workplace.path("wal")),
    ]
    .concat();
    assert!(made.len() >= 4, "{made:?}");
    for path in made
        .iter()
        .chain([&data.join("member"), &workplace.path("wal")])
    {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (12345, 23456),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn what_is_there_already_is_never_overwritten() {
    let workplace = workplace().await;
    let (data, wal) = (workplace.path("data"), workplace.path("wal"));
    fs::create_dir_all(data.join("member/snap")).unwrap();
    fs::write(data.join("member/snap/db"), "precious").unwrap();

    let full = restore(&workplace, "./snapshot.db", &[]);
    assert_ends(
        &full,
        4,
        &["data is not empty: it holds member", "nothing overwritten"],
    );
    assert_eq!(content(&data).len(), 3);
    assert_eq!(fs::read(data.join("member/snap/db")).unwrap(), b"precious");

    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "a file").unwrap();
    let file = restore(&workplace, "./snapshot.db", &[]);
    assert_ends(&file, 4, &["data is there and is no directory"]);
    fs::remove_file(&data).unwrap();

    fs::create_dir(&wal).unwrap();
    let before = content(&workplace.path(""));
    for inside in [None, Some("0.wal")] {
        if let Some(name) = inside {
            fs::write(wal.join(name), "precious").unwrap();
        }
        let refused = restore(&workplace, "./snapshot.db", &["--wal-dir", "wal"]);
        assert_ends(&refused, 4, &["wal is not empty"]);
        assert!(!data.exists());
    }
    fs::remove_file(wal.join("0.wal")).unwrap();
    assert_eq!(content(&workplace.path("")), before);

    // One of three: the two others are not made either.
    fs::create_dir_all(workplace.path("all/m2/member")).unwrap();
    let flags = [
        "restore",
        "./snapshot.db",
        "--initial-cluster",
        CLUSTER,
        "--all-members",
        "all",
    ];
    let refused = workplace.etcdrx().run(flags);
    assert_ends(&refused, 4, &["all/m2 is not empty"]);
    assert!(!workplace.path("all/m1").exists());
}

/// It looks like nothing that a restore may tidy up, whatever has become of the run that put it there.
#[tokio::test]
async fn what_a_recovery_set_aside_is_neither_removed_nor_in_the_way() {
    let workplace = workplace().await;
    let (data, wal) = (workplace.path("data"), workplace.path("logs"));
    let aside = [
        data.join("member.etcdrx-9f3a1c/snap/db"),
        workplace.path("logs.etcdrx-9f3a1c/0.wal"),
    ];
    for path in &aside {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "precious").unwrap();
    }
    // What a restore that was killed left behind: this one goes.
    let unfinished = data.join("etcdrx-unfinished-abc123");
    fs::create_dir(&unfinished).unwrap();

    restore(&workplace, "./snapshot.db", &["--wal-dir", "logs"]).success();

    for path in &aside {
        assert_eq!(fs::read(path).unwrap(), b"precious");
    }
    assert!(data.join("member/snap/db").exists() && wal.exists());
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_leaves_nothing_behind() {
    let workplace = workplace().await;
    let bytes = fs::read(workplace.path("snapshot.db")).unwrap();
    let damaged = workplace.path("damaged.db");
    let mut cases: Vec<(Vec<u8>, i32, &str)> = Vec::new();
    for place in [0, bytes.len() / 2, bytes.len() - 33, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 0x10;
        cases.push((flipped, 6, "bytes were changed"));
    }
    cases.push((bytes[4096..].to_vec(), 6, "bytes were changed"));
    cases.push((
        bytes[..bytes.len() - 4096].to_vec(),
        6,
        "bytes were changed",
    ));
    cases.push((bytes[..bytes.len() - 100].to_vec(), 4, "no SHA-256 trailer"));
    cases.push((bytes[..bytes.len() - 32].to_vec(), 4, "--skip-hash-check"));
    cases.push((Vec::new(), 4, "no SHA-256 trailer"));
    for (content_now, code, words) in cases {
        fs::write(&damaged, content_now).unwrap();
        let before = content(&workplace.path(""));
        let all = ["restore", "./damaged.db", "--initial-cluster", CLUSTER];
        let all = workplace
            .etcdrx()
            .run(all.iter().chain(&["--all-members", "new/all"]));
        assert_ends(&all, code, &[words]);
        for flags in [&[][..], &["--defragment"], &["--wal-dir", "logs"]] {
            let output = restore(&workplace, "./damaged.db", flags);
            assert_ends(&output, code, &["damaged.db", words]);
        }
        assert_eq!(content(&workplace.path("")), before);
    }
}

/// A member's own database has no trailer; with --skip-hash-check it is checked instead.
#[tokio::test]
async fn a_file_that_nothing_proves_is_checked_before_it_is_believed() {
    let workplace = workplace().await;
    let snapshot = fs::read(workplace.path("snapshot.db")).unwrap();
    let bare = &snapshot[..snapshot.len() - 32];
    fs::write(workplace.path("bare.db"), bare).unwrap();
    let mut torn = bare.to_vec();
    // Every page but the first four: whichever is reached first is no page.
    torn[4 * 4096..].fill(0xa5);
    fs::write(workplace.path("torn.db"), torn).unwrap();
    let mut changed = snapshot.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(workplace.path("changed.db"), changed).unwrap();

    for name in ["bare", "changed"] {
        let source = format!("./{name}.db");
        restore(&workplace, &source, &["--skip-hash-check"]).success();
        let restored = workplace.path("data/member/snap/db");
        assert_eq!(
            keys_in(&restored, &[]),
            keys_in(&workplace.path("snapshot.db"), &[])
        );
        fs::remove_dir_all(workplace.path("data")).unwrap();
    }
    let torn = restore(&workplace, "./torn.db", &["--skip-hash-check"]);

    assert_ends(&torn, 6, &["no sound etcd database"]);
    assert!(!workplace.path("data").exists());
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_refused_at_once() {
    let workplace = workplace().await;
    let Some(disk) = Disk::of(&workplace, 50_000, &function_name!()) else {
        return;
    };
    let source = workplace.path("snapshot.db");
    let on_disk = ["--data-dir", "disk/new/data"];
    let output = restore(&workplace, source.to_str().unwrap(), &[]);
    output.success();
    let flags = [
        "restore",
        source.to_str().unwrap(),
        "--name",
        "m1",
        "--initial-cluster",
        CLUSTER,
    ];
    let output = workplace.etcdrx().run(flags.iter().chain(&on_disk));

    assert_ends(&output, 1, &["bytes free", "are needed", "free some space"]);
    assert_eq!(disk.content(), Vec::<PathBuf>::new());
    // The log alone does not fit either; nobody has asked for that disk's space before.
    fs::remove_dir_all(workplace.path("data")).unwrap();
    let output = restore(
        &workplace,
        source.to_str().unwrap(),
        &["--wal-dir", "disk/wal"],
    );
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(disk.content(), Vec::<PathBuf>::new());
    assert!(!workplace.path("data").exists());
}

/// One more file each time: first there is no room for the directory, then for the database, for the log, for the rest.
#[tokio::test]
async fn wherever_the_disk_gets_full_nothing_stays() {
    let workplace = workplace().await;
    let source = workplace.path("snapshot.db");
    for inodes in 2..40 {
        let Some(disk) = Disk::of(&workplace, 200_000, &function_name!()) else {
            return;
        };
        disk.remount(&format!("nr_inodes={inodes}"));
        let flags = [
            "restore",
            source.to_str().unwrap(),
            "--initial-cluster",
            CLUSTER,
            "--defragment",
        ];
        let output = workplace
            .etcdrx()
            .run(flags.iter().chain(&["--all-members", "disk/all"]));
        if output.code == 0 {
            assert!(inodes > 10, "{inodes} files are too few to prove anything");
            return;
        }
        assert_ends(&output, 1, &["No space left on device"]);
        assert_eq!(disk.content(), Vec::<PathBuf>::new(), "{output:?}");
    }
    panic!("a restore needs more than 40 files");
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_no_member_and_the_next_one_works() {
    let workplace = workplace_of(&medium_cluster().await).await;
    let keys = keys_in(&workplace.path("snapshot.db"), &[]);
    let (data, wal) = (workplace.path("data"), workplace.path("wal"));
    let flags = ["--defragment", "--wal-dir", "wal"];
    let begin = Instant::now();
    restore(&workplace, "./snapshot.db", &flags).success();
    let usual = begin.elapsed();
    let remove = || [&data, &wal].map(|path| fs::remove_dir_all(path).unwrap_or_default());
    remove();
    let (mut before, mut after) = (0, 0);
    for _ in 0..25 {
        let moment = usual.mul_f64(rand::rng().random_range(0.0..1.1));
        let spawned = [
            "restore",
            "./snapshot.db",
            "--name",
            "m1",
            "--initial-cluster",
            CLUSTER,
        ];
        let spawned = spawned.iter().chain(&["--data-dir", "data"]).chain(&flags);
        let mut run = workplace.etcdrx().spawn(spawned);
        thread::sleep(moment);
        run.signal(Signal::SIGKILL);
        drop(run);

        if data.join("member").exists() {
            after += 1;
        } else {
            before += 1;
            // Between the two renames the log is there and is whole: it has to be moved away by hand.
            fs::remove_dir_all(&wal).unwrap_or_default();
            restore(&workplace, "./snapshot.db", &flags).success();
        }
        assert_eq!(keys_in(&data.join("member/snap/db"), &[]), keys);
        let names = fs::read_dir(workplace.path("")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["data", "snapshot.db", "wal"]);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
        remove();
    }
    println!("killed {before} times before the end and {after} times after it");
    assert!(before > 0);
}

#[tokio::test]
async fn two_restores_into_one_directory_do_not_disturb_each_other() {
    let workplace = workplace_of(&medium_cluster().await).await;
    let flags = [
        "restore",
        "./snapshot.db",
        "--name",
        "m1",
        "--initial-cluster",
        CLUSTER,
    ];
    let flags: Vec<&str> = flags.into_iter().chain(["--data-dir", "data"]).collect();
    let mut running: Vec<_> = (0..3).map(|_| workplace.etcdrx().spawn(&flags)).collect();
    let outputs = running
        .drain(..)
        .map(|run| run.wait(Duration::from_mins(1)));
    let codes: Vec<i32> = outputs.map(|output| output.code).collect();

    let done = codes.iter().filter(|code| **code == 0).count();
    assert!(done <= 1, "{codes:?}");
    if done == 1 {
        let restored = workplace.path("data/member/snap/db");
        assert_eq!(
            keys_in(&restored, &[]),
            keys_in(&workplace.path("snapshot.db"), &[])
        );
    }
    let left = content(&workplace.path(""));
    let unfinished = |path: &PathBuf| path.to_string_lossy().contains("etcdrx-unfinished-");
    assert!(!left.iter().any(unfinished), "{left:?}");
}
