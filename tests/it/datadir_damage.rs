//! What is torn and what is damaged is judged as etcd judges it when it starts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcdrx::datadir::wal::{self, Damage, Ending};

use crate::datadir_logs::copy_folder;
use crate::scratch::{Cluster, tools};

/// How a log is changed, from the offset of its end on, and what that is.
type Case = (&'static str, fn(&mut Vec<u8>, usize), Ending);

const CASES: [Case; 5] = [
    (
        "cut in the last record",
        |log, end| log.truncate(end - 5),
        Ending::Torn,
    ),
    (
        "cut in a length",
        |log, end| {
            log.truncate(end + 3);
            log[end] = 1;
        },
        Ending::Torn,
    ),
    (
        "a sector was never written",
        |log, end| {
            let sector = (end - 1500).next_multiple_of(512);
            log[sector..sector + 512].fill(0);
        },
        Ending::Torn,
    ),
    (
        "a byte changed",
        |log, end| log[end - 1500] ^= 1,
        Ending::Damaged(Damage::Checksum),
    ),
    (
        "an early byte changed",
        |log, _| log[40] ^= 1,
        Ending::Damaged(Damage::Checksum),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn etcd_cuts_off_what_is_torn_and_refuses_what_is_damaged() {
    for release in tools::etcd_versions() {
        let mut cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        client.put("long", "x".repeat(3000), None).await.unwrap();
        cluster.kill_all();
        let original = cluster.members[0].data_dir().to_owned();
        for (number, (name, change, ending)) in CASES.into_iter().enumerate() {
            let copy = cluster.directory().join(format!("copy-{number}"));
            copy_folder(&original, &copy);
            let before = change_log(&copy, change);

            let judged = wal::read(&copy.join("member/wal")).unwrap().end;

            println!("etcd {}: {name}: {judged:?}", release.version());
            assert_eq!(judged.ending, ending, "{name}");
            assert!(judged.offset < before.end.offset || name == "cut in a length");
            let said = said_on_start(&mut cluster, &copy);
            let expected = match ending {
                Ending::Torn => "repaired",
                _ => "crc mismatch",
            };
            assert!(said.contains(expected), "{name}: {said}");
        }
    }
}

/// Changes the only file of a log around its end, and gives the facts before.
fn change_log(data_dir: &Path, change: fn(&mut Vec<u8>, usize)) -> wal::Facts {
    let dir = data_dir.join("member/wal");
    let facts = wal::read(&dir).unwrap();
    let mut bytes = fs::read(&facts.end.file).unwrap();
    let end = usize::try_from(facts.end.offset).unwrap();
    change(&mut bytes, end);
    fs::write(&facts.end.file, bytes).unwrap();
    facts
}

/// Starts the member on a copy of its data until it says how it likes the log.
fn said_on_start(cluster: &mut Cluster, data_dir: &Path) -> String {
    let member = &mut cluster.members[0];
    let before = member.log().len();
    let flag = format!("--data-dir={}", data_dir.display());
    member.arguments().push(flag);
    member.start();
    for _ in 0..100 {
        let said = member.log().split_off(before);
        let ended = member.wait_for_end(Duration::from_millis(50)).is_some();
        if ended || said.contains("repaired") {
            break;
        }
    }
    member.kill();
    member.log().split_off(before)
}
