//! A store that gives back other bytes than it was given.

use crate::scratch::{Cluster, Etcdrx, FlakyHttp, Store, require};
use crate::setup::{Workplace, assert_ends, codes};
use crate::store_setup::{backup, keep_behind, listed, small_cluster};

#[tokio::test]
async fn data_that_reads_back_differently_is_not_committed() {
    require!("minio");
    let bench = Bench::start().await;

    bench.forge("GET", "/snapshot.db.zst");
    let output = bench.etcdrx.run(["backup"]);
    bench.flaky.heal();

    assert_ends(
        &output,
        6,
        &[
            "the stored object is not what was sent",
            "the store changes what it is given",
        ],
    );
    bench.nothing_is_there_and_the_next_run_works();
}

#[tokio::test]
async fn a_manifest_that_reads_back_differently_is_not_committed() {
    require!("minio");
    let bench = Bench::start().await;

    bench.forge("GET", "/manifest.json");
    let output = bench.etcdrx.run(["backup"]);
    bench.flaky.heal();

    let words = [
        "reads back differently",
        "the store changes what it is given",
    ];
    assert_ends(&output, 6, &words);
    bench.nothing_is_there_and_the_next_run_works();
}

/// The store has written the object, and what it answers cannot be understood: that is no reason to fail.
#[tokio::test]
async fn an_answer_that_is_lost_after_the_object_was_written_is_no_failure() {
    require!("minio");
    for name in ["/manifest.json", "/locks/"] {
        let bench = Bench::start().await;

        bench.forge("PUT", name);
        let output = bench.etcdrx.run(["backup"]);
        bench.flaky.heal();

        assert_eq!(output.code, 0, "{name}: {output:?}");
        assert_eq!(listed(&bench.etcdrx).len(), 1);
        bench.etcdrx.run(["verify"]).success();
    }
}

#[tokio::test]
async fn check_notices_a_store_that_changes_bytes() {
    require!("minio");
    let bench = Bench::start().await;

    bench.forge("GET", "/locks/check-");
    let checked = bench.etcdrx.run(["check", "--json"]);

    assert_eq!(checked.code, 3, "{checked:?}");
    assert_eq!(codes(&checked.json()), ["read-back"]);
}

/// Without the proof the backup exists and counts as unproven; `verify` then finds out.
#[tokio::test]
async fn without_read_back_the_damage_waits_for_verify() {
    require!("minio");
    let bench = Bench::start().await;
    let etcdrx = &bench.etcdrx;

    bench.forge("GET", "/snapshot.db.zst");
    let taken = etcdrx.run(["backup", "--no-read-back"]).success();
    let list = etcdrx.run(["list"]).success();
    let verified = etcdrx.run(["verify"]);

    assert!(taken.stdout.contains("not read back"), "{taken:?}");
    assert!(list.stdout.contains("unproven"), "{list:?}");
    assert_eq!(verified.code, 6, "{verified:?}");
    assert!(verified.stdout.contains("stored-sha256"), "{verified:?}");
    let list = etcdrx.run(["list"]).success();
    assert!(list.stdout.contains("DAMAGED"), "{list:?}");
    // It was the way to the store: the next look finds the backup whole.
    bench.flaky.heal();
    etcdrx.run(["verify"]).success();
    let list = etcdrx.run(["list"]).success();
    assert!(list.stdout.contains("verified"), "{list:?}");
}

struct Bench {
    flaky: FlakyHttp,
    etcdrx: Etcdrx,
    _store: Store,
    _cluster: Cluster,
    _workplace: Workplace,
}

impl Bench {
    async fn start() -> Bench {
        let (store, cluster) = (Store::minio().await, small_cluster().await);
        let workplace = Workplace::new();
        let flaky = FlakyHttp::to(store.address());
        Bench {
            etcdrx: keep_behind(&workplace, &cluster, &store, &flaky.url()),
            flaky,
            _store: store,
            _cluster: cluster,
            _workplace: workplace,
        }
    }

    /// Changes the answers to requests for objects with `name` in their keys.
    fn forge(&self, method: &'static str, name: &'static str) {
        self.flaky
            .forge_when(move |asked| asked.method == method && asked.target.contains(name));
    }

    fn nothing_is_there_and_the_next_run_works(&self) {
        assert_eq!(listed(&self.etcdrx), [""; 0]);
        let verified = self.etcdrx.run(["verify", "--all", "--json"]);
        assert_eq!(
            codes(&verified.success().json()),
            [""; 0],
            "something is left over"
        );
        backup(&self.etcdrx);
        assert_eq!(listed(&self.etcdrx).len(), 1);
    }
}
