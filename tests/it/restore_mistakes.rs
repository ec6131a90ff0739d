//! Flags that contradict each other or the snapshot: each is told by its name, and nothing is written.

use crate::restore_refusals::{CLUSTER, content, workplace};
use crate::setup::assert_ends;

/// Wrong flags, and what is said of them.
const MISTAKES: &[(&[&str], &[&str])] = &[
    (
        &["--name", "m9", "--initial-cluster", CLUSTER],
        &["m9", "m1, m2"],
    ),
    (
        &[
            "--name",
            "m1",
            "--initial-cluster",
            "m1=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:9",
        ],
        &["m1 advertises http://127.0.0.1:9", "http://127.0.0.1:2380"],
    ),
    (
        &["--initial-cluster", "m1=http://127.0.0.1"],
        &["`http://127.0.0.1` is not a peer URL of m1"],
    ),
    (
        &["--initial-cluster", "m1=ftp://127.0.0.1:2380"],
        &["ftp://127.0.0.1:2380", "m1"],
    ),
    (
        &["--initial-cluster", "m1=http://127.0.0.1:2380/path"],
        &["127.0.0.1:2380/path", "m1"],
    ),
    (
        &["--initial-cluster", "m1=127.0.0.1:2380"],
        &["127.0.0.1:2380", "m1"],
    ),
    (
        &["--initial-cluster", "http://127.0.0.1:2380"],
        &["`http://127.0.0.1:2380`", "name=url"],
    ),
    (&["--initial-cluster", ""], &["names no member"]),
    (
        &[
            "--initial-cluster",
            "m1=http://127.0.0.1:2380,m2=http://127.0.0.1:2380",
        ],
        &["http://127.0.0.1:2380 stands twice", "m1 and m2"],
    ),
    (&["--bump-revision", "1000"], &["--mark-compacted"]),
    (&["--mark-compacted"], &["--bump-revision"]),
    (
        &["--bump-revision", "0", "--mark-compacted"],
        &["--bump-revision", "greater than 0"],
    ),
    (
        &["--bump-revision", "many", "--mark-compacted"],
        &["--bump-revision", "auto"],
    ),
    (
        &["--bump-revision", "4611686018427387904", "--mark-compacted"],
        &["4611686018427387904", "2^62"],
    ),
    (&["--prefix", "key/"], &["--bump-revision"]),
    (&["--to-revision", "0"], &["--to-revision"]),
    (&["--to-revision", "999999"], &["999999"]),
    (
        &["--for-version", "3.3"],
        &["3.3", "expected 3.4, 3.5, 3.6 or 3.7"],
    ),
    (
        &["--all-members", "all", "--name", "m1"],
        &["--all-members", "--name"],
    ),
    (
        &["--all-members", "all", "--data-dir", "data"],
        &["--data-dir"],
    ),
];

#[tokio::test]
async fn a_mistake_is_told_by_its_name() {
    let workplace = workplace().await;
    let before = content(&workplace.path(""));
    for (flags, words) in MISTAKES {
        let output = workplace
            .etcdrx()
            .run(["restore", "./snapshot.db"].iter().chain(*flags));
        assert_ends(&output, 2, words);
        assert_eq!(content(&workplace.path("")), before, "{flags:?}");
    }
    let missing = workplace.etcdrx().run(["restore", "./missing.db"]);
    assert_ends(&missing, 2, &["./missing.db", "No such file"]);
    let folder = workplace.etcdrx().run(["restore", "./"]);
    assert_ends(&folder, 2, &["./", "is a directory"]);
    assert_eq!(content(&workplace.path("")), before);
}
