//! A store that fails now and then, or at one step for ever: there is a whole backup afterwards, or none.

use std::thread;

use crate::scratch::flaky_http::Request;
use crate::scratch::{Cluster, Direction, Etcdrx, Fault, FlakyHttp, Output, Proxy, Store, require};
use crate::setup::{Workplace, codes};
use crate::store_setup::{backup, keep_behind, large_cluster, listed, uploads_in_minio};

/// Which requests a store fails.
type Step = fn(&Request) -> bool;

#[tokio::test]
async fn when_every_nth_request_fails_there_is_a_whole_backup_or_none() {
    require!("minio");
    let bench = Bench::start().await;

    at_once(&[1, 2, 3, 4, 5, 7], |n| {
        let workplace = Workplace::new();
        let flaky = FlakyHttp::to(bench.store.address());
        let etcdrx = bench.behind(&workplace, &flaky.url(), &format!("nth-{n}"));
        flaky.fail_every(*n);
        let output = etcdrx.run(["backup"]);
        flaky.heal();
        // object_store asks up to six times; where every answer is bad, that does not help.
        assert!(
            output.code == 0 || (output.code == 5 && *n <= 2),
            "{n}: {output:?}"
        );
        assert!(flaky.failed() > 0, "{n}: nothing went wrong");
        whole_or_none(&etcdrx, &output);
    });

    bench.assert_no_upload_is_left();
}

#[tokio::test]
async fn when_one_step_keeps_failing_nothing_is_listed_and_the_next_run_cleans_up() {
    require!("minio");
    let bench = Bench::start().await;
    let steps: [(&str, Step); 7] = [
        ("lock", |asked| {
            asked.method == "PUT" && asked.target.contains("/locks/")
        }),
        ("begin", |asked| {
            asked.method == "POST" && asked.target.contains("?uploads")
        }),
        ("part", |asked| {
            asked.method == "PUT" && asked.target.contains("partNumber=2")
        }),
        ("end", |asked| {
            asked.method == "POST" && asked.target.contains("?uploadId")
        }),
        ("read-back", |asked| {
            asked.method == "GET" && asked.target.contains("/snapshot.db")
        }),
        ("commit", |asked| {
            asked.method == "PUT" && asked.target.contains("/manifest.json")
        }),
        ("abort", |asked| {
            asked.method == "DELETE" || asked.target.contains("partNumber=2")
        }),
    ];

    at_once(&steps, |(name, step)| {
        let workplace = Workplace::new();
        let flaky = FlakyHttp::to(bench.store.address());
        let etcdrx = bench.behind(&workplace, &flaky.url(), name);
        flaky.fail_when(*step);
        let output = etcdrx.run(["backup"]);
        flaky.heal();
        println!("--- {name}\n{output:?}");
        assert_eq!(output.code, 5, "{name}: {output:?}");
        assert!(output.stderr.contains("503"), "{name}: {output:?}");
        whole_or_none(&etcdrx, &output);
    });

    bench.assert_no_upload_is_left();
}

#[tokio::test]
async fn when_connections_are_cut_there_is_a_whole_backup_or_none() {
    require!("minio");
    let bench = Bench::start().await;
    let cuts = [
        (Direction::ToServer, 500),
        (Direction::ToServer, 100_000),
        (Direction::ToServer, 6_000_000),
        (Direction::ToClient, 100),
        (Direction::ToClient, 2_000),
        (Direction::ToClient, 5_000_000),
    ];

    at_once(&cuts, |(way, bytes)| {
        let workplace = Workplace::new();
        let proxy = Proxy::to(bench.store.address());
        let etcdrx = bench.behind(
            &workplace,
            &proxy.url("http"),
            &format!("cut-{way:?}-{bytes}"),
        );
        proxy.inject(Fault::CloseAfter(*way, *bytes));
        let output = etcdrx.run(["backup"]);
        proxy.heal();
        println!("--- {way:?} {bytes}\n{output:?}");
        assert!([0, 5].contains(&output.code), "{way:?} {bytes}: {output:?}");
        whole_or_none(&etcdrx, &output);
    });

    bench.assert_no_upload_is_left();
}

/// What a run that met faults must leave, and what the next one without faults must do.
fn whole_or_none(etcdrx: &Etcdrx, output: &Output) {
    let before = listed(etcdrx).len();
    assert_eq!(before, usize::from(output.code == 0), "{output:?}");
    backup(etcdrx);
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    assert_eq!(verified["backups"].as_array().unwrap().len(), before + 1);
    assert_eq!(
        codes(&verified),
        [""; 0],
        "something is left over after {output:?}"
    );
}

/// One MinIO and one etcd, for several runs at a time.
struct Bench {
    store: Store,
    cluster: Cluster,
}

impl Bench {
    async fn start() -> Bench {
        Bench {
            store: Store::minio().await,
            cluster: large_cluster().await,
        }
    }

    /// The program, by way of a proxy, with a folder of its own in the store.
    fn behind(&self, workplace: &Workplace, origin: &str, folder: &str) -> Etcdrx {
        let etcdrx = keep_behind(workplace, &self.cluster, &self.store, origin);
        etcdrx.env("ETCDRX_CLUSTER_NAME", folder)
    }

    fn assert_no_upload_is_left(&self) {
        assert_eq!(uploads_in_minio(&self.store), [""; 0]);
    }
}

/// Does the same with each of `cases`, all at once: most of the time passes in waiting for another try.
fn at_once<C: Sync>(cases: &[C], run: impl Fn(&C) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}
