//! The directories of real members, inspected while they run and after they were killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcdrx::datadir::inspect::{Inspection, Options, inspect};
use etcdrx::id::{ClusterId, MemberId};

use crate::scratch::{Cluster, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_seen_to_run_and_its_directory_stays_as_it_is() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let cluster = Cluster::of(&release).members(3).start().await;
        cluster.put_many("key/", 300, 100).await;
        let follower = cluster.follower().await;
        cluster.wait_until_caught_up(follower).await;
        let status = cluster.status(follower).await.unwrap();
        let header = status.header().unwrap();
        let data_dir = cluster.members[follower].data_dir();
        let options = Options {
            node_id: Some(MemberId(header.member_id())),
            cluster_id: Some(ClusterId(header.cluster_id())),
            ..Options::default()
        };

        let running = inspect_database(data_dir, &options);
        cluster.kill_all();
        let before = state(data_dir);
        let killed = inspect_database(data_dir, &options);

        assert_eq!(state(data_dir), before, "an inspection changes nothing");
        assert_eq!(
            (running.database_held, running.database),
            (Some(true), None)
        );
        assert_eq!(running.findings.len(), 1, "{:?}", running.findings);
        assert_eq!(running.findings[0].code, "in-use");
        assert_eq!(killed.findings, [], "etcd {}", release.version());
        assert_eq!(killed.database_held, Some(false));
        let db = cluster.members[follower].db();
        assert_eq!(killed.database, Some(db.clone()));
        assert!(killed.files.iter().any(|file| file.path == db));
        assert_eq!(killed.voters.unwrap().len(), 3);
        for log in [running.log.unwrap(), killed.log.unwrap()] {
            let last = log.last.unwrap();
            assert_eq!(
                (last.term, last.index),
                (status.raft_term(), status.raft_index())
            );
        }
    }
}

fn inspect_database(data_dir: &Path, options: &Options) -> Inspection<PathBuf> {
    inspect(data_dir, options, |db| Ok(db.to_owned())).unwrap()
}

/// Every file below `dir` with its time of change and a checksum.
fn state(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, u32)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            files.extend(state(&path));
            files.insert(path, (changed, 0));
        } else {
            let crc = crc32c::crc32c(&fs::read(&path).unwrap());
            files.insert(path, (changed, crc));
        }
    }
    files
}
