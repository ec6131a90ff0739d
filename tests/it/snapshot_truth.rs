//! What etcdrx reads from a snapshot is what the live server said, of every version.

use std::collections::BTreeMap;
use std::path::Path;

use etcd_client::{Client, CompactionOptions, Txn, TxnOp};
use serde_json::{Value, json};

use crate::restore_setup::{
    Keys, Known, bytes_of, key_of, keys_at, keys_in, save_snapshot, snapshot, snapshot_json,
};
use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, etcdrx};
use crate::snapshot_history::History;

/// Keys, values, hashes and differences at many revisions, over a random history with compactions.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_history_is_read_as_the_live_server_tells_it() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let workplace = Workplace::new();
        let (early, late) = (workplace.path("early.db"), workplace.path("late.db"));
        let cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        let mut history = History::new(client.clone());
        history.go_on(60).await;
        history.compact().await;
        history.go_on(60).await;
        save_snapshot(&mut client, &early).await;
        let (early_revision, early_compacted) = (history.revision, history.compacted);
        let early_keys = keys_at(&mut client, None).await;
        history.go_on(60).await;

        assert_hashes(&mut client, &history, &early, early_revision).await;
        history.compact().await;
        history.go_on(40).await;
        save_snapshot(&mut client, &late).await;
        let late_keys = keys_at(&mut client, None).await;
        assert_hashes(&mut client, &history, &late, history.revision).await;
        // The early one has more history than the server: it is told the server's compaction.
        for revision in history.compacted + 1..=early_revision {
            let live = client.hash_kv(revision).await.unwrap();
            let compacted = live.compact_version().to_string();
            let ours = hashkv(
                &early,
                &["--rev", &revision.to_string(), "--compact-rev", &compacted],
            );
            assert_eq!(
                ours["hash"],
                live.hash(),
                "revision {revision}, compacted to {compacted}"
            );
        }
        let revisions: Vec<i64> = (0..12).map(|_| history.some_revision()).collect();
        for revision in revisions
            .into_iter()
            .chain([history.compacted, history.revision])
        {
            assert_keys(&mut client, &late, revision).await;
        }
        assert_refused(&late, history.compacted - 1, "compacted");
        assert_refused(&late, history.revision + 1, "newest");
        assert_diff(&[&early, &late], &[], &early_keys, &late_keys);
        let (from, to) = (history.some_revision(), history.some_revision());
        let (before, after) = (
            keys_at(&mut client, Some(from)).await,
            keys_at(&mut client, Some(to)).await,
        );
        let revisions = [from.to_string(), to.to_string()];
        let flags = ["--from-rev", &revisions[0], "--to-rev", &revisions[1]];
        assert_diff(&[&late], &flags, &before, &after);
        println!(
            "revisions to {}, compacted to {early_compacted} and {}",
            history.revision, history.compacted
        );
    }
}

/// The hash is the live server's at every revision after the compaction that the file holds.
async fn assert_hashes(client: &mut Client, history: &History, path: &Path, newest: i64) {
    for revision in history.compacted + 1..=newest {
        let live = client.hash_kv(revision).await.unwrap();
        let ours = hashkv(path, &["--rev", &revision.to_string()]);
        let expected = json!({
            "hash": live.hash(),
            "hashRevision": revision,
            "compactRevision": live.compact_version(),
        });
        assert_eq!(ours, expected);
    }
    if newest == history.revision {
        let live = client.hash_kv(0).await.unwrap();
        assert_eq!(hashkv(path, &[])["hash"], live.hash());
    }
}

/// A record that is left out twice, as a tombstone at the compaction and as superseded, hides no other one.
#[tokio::test]
async fn a_transaction_at_the_compaction_that_deletes_and_puts_is_hashed_as_the_server_does() {
    for release in tools::etcd_versions() {
        let workplace = Workplace::new();
        let (before, after) = (workplace.path("before.db"), workplace.path("after.db"));
        let cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        for key in ["a", "b", "stays"] {
            client.put(key, "first", None).await.unwrap();
        }
        let both = [TxnOp::delete("a", None), TxnOp::put("b", "second", None)];
        let answer = client.txn(Txn::new().and_then(both)).await.unwrap();
        let compaction = answer.header().unwrap().revision();
        client.put("b", "third", None).await.unwrap();
        save_snapshot(&mut client, &before).await;
        let physically = CompactionOptions::new().with_physical();
        client.compact(compaction, Some(physically)).await.unwrap();
        save_snapshot(&mut client, &after).await;

        let live = client.hash_kv(0).await.unwrap();

        assert_eq!(hashkv(&after, &[])["hash"], live.hash());
        let compaction = compaction.to_string();
        assert_eq!(live.compact_version().to_string(), compaction);
        assert_eq!(
            hashkv(&before, &["--compact-rev", &compaction])["hash"],
            live.hash()
        );
    }
}

fn hashkv(path: &Path, flags: &[&str]) -> Value {
    let arguments = ["hashkv", path.to_str().unwrap()];
    snapshot_json(&[&arguments, flags].concat())
}

/// Lists, values and ranges are those of ranged reads at that revision.
async fn assert_keys(client: &mut Client, path: &Path, revision: i64) {
    let path_text = path.to_str().unwrap();
    let rev = revision.to_string();
    let live = keys_at(client, Some(revision)).await;
    assert_eq!(
        keys_in(path, &["--rev", &rev]),
        live,
        "extract at {revision}"
    );

    let listed = snapshot_json(&["keys", path_text, "--rev", &rev]);
    assert_eq!(listed["revision"], revision);
    assert_eq!(without_values(&listed), lengths(live.iter()));
    let ranges: [(&[&str], &str, &str); 4] = [
        (&["--prefix", "k/1"], "k/1", "k/2"),
        (&["--from-key", "k/3/below"], "k/3/below", "\u{10ffff}"),
        (&["--to-key", "k/2"], "", "k/2"),
        (
            &["--from-key", "k/1", "--to-key", "k/4/below"],
            "k/1",
            "k/4/below",
        ),
    ];
    for (flags, from, to) in ranges {
        let end = match to {
            "\u{10ffff}" => vec![0xff; 8],
            to => to.as_bytes().to_vec(),
        };
        let within = live.range(from.as_bytes().to_vec()..end);
        let listed = snapshot_json(&[&["keys", path_text, "--rev", &rev], flags].concat());
        assert_eq!(
            without_values(&listed),
            lengths(within),
            "{flags:?} at {revision}"
        );
    }
    if live.keys().any(|key| key.starts_with(b"k/")) {
        let got = snapshot_json(&["get", path_text, "k/", "--prefix", "--rev", &rev]);
        let got: Keys = got["keys"].as_array().unwrap().iter().map(key_of).collect();
        let within = live.iter().filter(|(key, _)| key.starts_with(b"k/"));
        assert_eq!(
            got,
            within
                .map(|(key, known)| (key.clone(), known.clone()))
                .collect()
        );
    }
    for (key, known) in &live {
        if let Ok(key) = std::str::from_utf8(key)
            && known.modified % 5 == 0
        {
            let raw = snapshot(&["get", path_text, key, "--raw", "--rev", &rev]);
            assert_eq!(raw.stdout_bytes, known.value, "{key} at {revision}");
        }
    }
}

type Lengths = Vec<(Vec<u8>, [i64; 4], usize)>;

fn lengths<'k>(keys: impl Iterator<Item = (&'k Vec<u8>, &'k Known)>) -> Lengths {
    keys.map(|(key, known)| {
        let numbers = [known.created, known.modified, known.version, known.lease];
        (key.clone(), numbers, known.value.len())
    })
    .collect()
}

fn without_values(listed: &Value) -> Lengths {
    let keys = listed["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| {
            let number = |name: &str| key[name].as_i64().unwrap();
            let lease = key["lease"].as_str();
            let lease = lease.map_or(0, |id| i64::from_str_radix(id, 16).unwrap());
            let numbers = [
                number("create_revision"),
                number("mod_revision"),
                number("version"),
                lease,
            ];
            let length = usize::try_from(number("value_bytes")).unwrap();
            (bytes_of(key, "key"), numbers, length)
        })
        .collect()
}

fn assert_refused(path: &Path, revision: i64, word: &str) {
    for command in ["keys", "hashkv"] {
        let path = path.to_str().unwrap();
        let output = etcdrx().run(["snapshot", command, path, "--rev", &revision.to_string()]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(word), "{output:?}");
    }
}

/// How a key changed, and when it was modified before and after.
type Changed<'w> = (&'w str, Option<i64>, Option<i64>);

/// What was added, changed and deleted, as two live reads tell it.
fn assert_diff(paths: &[&Path], flags: &[&str], before: &Keys, after: &Keys) {
    let mut expected: BTreeMap<Vec<u8>, Changed> = BTreeMap::new();
    for key in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(key), after.get(key));
        let word = match (old, new) {
            (None, _) => "added",
            (_, None) => "deleted",
            _ if old == new => continue,
            _ => "changed",
        };
        let modified = |known: Option<&Known>| known.map(|known| known.modified);
        expected.insert(key.clone(), (word, modified(old), modified(new)));
    }
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    let arguments: Vec<&str> = ["diff"].into_iter().chain(paths).collect();
    let found = snapshot_json(&[&arguments, flags].concat());
    let changes = found["changes"].as_array().unwrap();
    let found: Vec<_> = changes
        .iter()
        .map(|change| {
            let side = ["after", "before"]
                .into_iter()
                .find(|side| change[*side].is_object());
            let key = bytes_of(&change[side.unwrap()], "key");
            let modified = |side: &str| change[side]["mod_revision"].as_i64();
            (
                key,
                (
                    change["change"].as_str().unwrap(),
                    modified("before"),
                    modified("after"),
                ),
            )
        })
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
}
