//! Runs that are stopped, killed or too slow in the middle of the stream.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scratch::program::Running;
use crate::scratch::{Cluster, Direction, Etcdrx, Fault, Proxy, tools};
use crate::setup::{Workplace, assert_ends};

const MIDDLE: u64 = 6_000_000;
const LIMIT: Duration = Duration::from_secs(30);
const A_FEW_SECONDS: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_signal_ends_a_backup_soon_and_leaves_nothing() {
    let slow = Slow::cluster().await;

    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = slow.start_and_stall();
        let signalled = Instant::now();
        running.signal(signal);
        let interrupted = running.wait(LIMIT);
        slow.proxy.heal();

        assert!(signalled.elapsed() < A_FEW_SECONDS, "{interrupted:?}");
        assert_ends(&interrupted, 130, &["interrupted: nothing was committed"]);
        assert_eq!(interrupted.stdout, "");
        slow.workplace.assert_holds_only_whole_backups(0);
    }
    slow.etcdrx.run(["backup"]).success();
    slow.workplace.assert_holds_only_whole_backups(1);
}

#[tokio::test]
async fn a_backup_that_takes_too_long_ends_and_leaves_nothing() {
    let slow = Slow::cluster().await;
    slow.proxy
        .inject(Fault::StallAfter(Direction::ToClient, MIDDLE));

    let started = Instant::now();
    let late = slow.etcdrx.run(["backup", "--timeout", "1s"]);
    slow.proxy.heal();

    assert!(started.elapsed() < A_FEW_SECONDS, "{late:?}");
    assert_ends(
        &late,
        1,
        &[
            "error: the backup was not done within 1s",
            "hint: nothing was committed; `timeout` in [backup] allows more",
        ],
    );
    slow.workplace.assert_holds_only_whole_backups(0);
}

#[tokio::test]
async fn after_a_killed_run_the_next_one_works_at_once_and_cleans_up() {
    let slow = Slow::cluster().await;
    let mut running = slow.start_and_stall();

    running.signal(Signal::SIGKILL);
    let killed = running.wait(LIMIT);
    slow.proxy.heal();
    let left = slow.workplace.stored();
    let listed = slow.workplace.backups();
    let next = slow.etcdrx.run(["backup"]);

    assert_eq!(killed.code, 128 + 9);
    assert!(
        left.iter().any(|name| name.starts_with("locks/")),
        "{left:?}"
    );
    assert!(left.iter().any(|name| name.contains(".zst#")), "{left:?}");
    assert_eq!(listed.len(), 0);
    next.success();
    slow.workplace.assert_holds_only_whole_backups(1);
}

#[tokio::test]
async fn a_second_run_is_refused_or_waits_for_the_first() {
    let slow = Slow::cluster().await;
    let first = slow.start_and_stall();

    let refused = slow.etcdrx.run(["backup"]);
    let waiting = slow.etcdrx.spawn(["backup", "--wait", "30s"]);
    slow.proxy.heal();
    let first = first.wait(LIMIT);
    let waiting = waiting.wait(LIMIT);

    assert_ends(
        &refused,
        4,
        &[
            "another run is at work in this cluster's folder: backup since 20",
            "hint:",
        ],
    );
    first.success();
    waiting.success();
    slow.workplace.assert_holds_only_whole_backups(2);
}

/// One member with some tens of MB, behind a proxy.
struct Slow {
    proxy: Proxy,
    workplace: Workplace,
    etcdrx: Etcdrx,
    _cluster: Cluster,
}

impl Slow {
    async fn cluster() -> Slow {
        let cluster = Cluster::of(&tools::newest_etcd()).start().await;
        cluster.put_many("key/", 250, 100_000).await;
        let proxy = Proxy::to(cluster.members[0].client_address());
        let workplace = Workplace::new();
        let settings = workplace.settings(&cluster);
        workplace.configure(&settings.set("cluster.endpoints", vec![proxy.url("http")]));
        Slow {
            etcdrx: workplace.etcdrx(),
            proxy,
            workplace,
            _cluster: cluster,
        }
    }

    /// A backup whose stream stands still in the middle.
    fn start_and_stall(&self) -> Running {
        let passed = || self.proxy.passed_bytes(Direction::ToClient);
        let before = passed();
        self.proxy
            .inject(Fault::StallAfter(Direction::ToClient, MIDDLE));
        let running = self.etcdrx.spawn(["backup"]);
        let deadline = Instant::now() + LIMIT;
        while passed() - before < MIDDLE {
            assert!(Instant::now() < deadline, "{}", running.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }
}
