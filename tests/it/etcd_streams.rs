//! Snapshots that break off or stall in the middle: another member is used, and nothing is spliced.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scratch::program::Running;
use crate::scratch::{Cluster, Direction, Fault, Proxy, tools};
use crate::setup::{Workplace, assert_ends, codes};

/// Far into the stream and far from its end.
const MIDDLE: u64 = 6_000_000;
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn another_member_takes_over_where_a_stream_fails() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    cluster.put_many("key/", 250, 100_000).await;
    let scene = Scene::of(&cluster);
    let whole = scene.workplace.etcdrx().run(["backup", "--json"]);
    let whole = whole.success().json();

    let (running, cut) = scene.stop_in_the_middle();
    scene.proxies[cut].cut();
    let after_a_cut = running.wait(LIMIT).success().json();
    let (running, stalled) = scene.stop_in_the_middle();
    let after_a_stall = running.wait(LIMIT).success().json();
    scene.proxies[stalled].heal();

    for (manifest, failed, words) in [
        (&after_a_cut, cut, " bytes: the connection was lost"),
        (&after_a_stall, stalled, " bytes: nothing came for 2s"),
    ] {
        assert_ne!(scene.index_of(manifest), failed);
        assert_eq!(codes(manifest), ["attempt-failed"]);
        let told = manifest["findings"][0]["message"].as_str().unwrap();
        assert!(told.contains(&scene.proxies[failed].url("http")), "{told}");
        assert!(told.contains(words), "{told}");
        assert_eq!(manifest["hashkv"], whole["hashkv"]);
        assert_eq!(manifest["keys"], 250);
    }
    scene.workplace.assert_holds_only_whole_backups(3);
    let verified = scene.workplace.etcdrx().run(["verify", "--all"]);
    verified.success();
}

#[tokio::test]
async fn another_member_takes_over_where_one_freezes_or_dies() {
    let mut cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    cluster.put_many("key/", 250, 100_000).await;
    let scene = Scene::of(&cluster);

    // Frozen in the middle.
    let (running, chosen) = scene.stop_in_the_middle();
    cluster.members[chosen].pause();
    scene.proxies[chosen].heal();
    let after_a_freeze = running.wait(LIMIT).success().json();
    cluster.members[chosen].resume();
    cluster.wait_until_healthy().await;
    // Killed in the middle.
    let (running, killed) = scene.stop_in_the_middle();
    cluster.members[killed].kill();
    scene.proxies[killed].heal();
    let after_a_death = running.wait(LIMIT).success().json();
    cluster.restart_member(killed).await;

    println!(
        "K {} {}",
        after_a_freeze["findings"], after_a_death["findings"]
    );
    for (manifest, failed) in [(after_a_freeze, chosen), (after_a_death, killed)] {
        assert_ne!(scene.index_of(&manifest), failed);
        assert_eq!(codes(&manifest), ["attempt-failed"]);
        assert_eq!(manifest["quorum"], true);
    }
    scene.workplace.assert_holds_only_whole_backups(2);
}

#[tokio::test]
async fn where_every_stream_breaks_nothing_is_listed_or_left() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    cluster.put_many("key/", 250, 100_000).await;
    let scene = Scene::of(&cluster);
    for proxy in &scene.proxies {
        proxy.inject(Fault::CloseAfter(Direction::ToClient, MIDDLE));
    }

    let broken = scene.workplace.etcdrx().run(["backup"]);
    println!("BROKEN {broken:?}");

    assert_ends(
        &broken,
        5,
        &[
            "error: no member gave a usable snapshot",
            "the snapshot broke off after ",
            "hint: nothing was committed",
        ],
    );
    let attempts = broken.stderr.matches("streaming a snapshot from").count();
    assert_eq!(attempts, 3, "{broken:?}");
    scene.workplace.assert_holds_only_whole_backups(0);
}

#[tokio::test]
async fn a_single_member_is_tried_twice() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 250, 100_000).await;
    let scene = Scene::of(&cluster);

    let (running, only) = scene.stop_in_the_middle();
    scene.proxies[only].cut();
    scene.proxies[only].heal();
    let o = running.wait(LIMIT);
    println!("CUT {o:?}");
    let manifest = o.success().json();

    assert_eq!(codes(&manifest), ["attempt-failed"]);
    scene.workplace.assert_holds_only_whole_backups(1);

    // Frozen for good: it is not waited for much longer than it may stall.
    let (running, only) = scene.stop_in_the_middle();
    cluster.members[only].pause();
    scene.proxies[only].heal();
    let frozen = running.wait(LIMIT);

    assert_eq!(frozen.code, 5, "{frozen:?}");
    let error = &frozen.error_json()["error"];
    assert!(
        error.to_string().contains("no answer to a snapshot"),
        "{error}"
    );
    scene.workplace.assert_holds_only_whole_backups(1);
}

/// A cluster of some tens of MB, reached by way of a proxy before each member.
struct Scene {
    workplace: Workplace,
    proxies: Vec<Proxy>,
}

impl Scene {
    fn of(cluster: &Cluster) -> Scene {
        let members = cluster.members.iter();
        let proxies: Vec<_> = members.map(|m| Proxy::to(m.client_address())).collect();
        let urls: Vec<_> = proxies.iter().map(|proxy| proxy.url("http")).collect();
        let workplace = Workplace::new();
        let settings = workplace.settings(cluster);
        let settings = settings.set("cluster.endpoints", urls);
        workplace.configure(&settings.set("backup.stall_timeout", "2s"));
        Scene { workplace, proxies }
    }

    /// The member whose snapshot a backup holds.
    fn index_of(&self, manifest: &Value) -> usize {
        let endpoint = manifest["endpoint"].as_str().unwrap();
        let mut proxies = self.proxies.iter();
        proxies
            .position(|proxy| proxy.url("http") == endpoint)
            .unwrap()
    }

    /// A backup whose stream stands still in the middle, and the member that it comes from.
    fn stop_in_the_middle(&self) -> (Running, usize) {
        let before: Vec<u64> = self.proxies.iter().map(to_client).collect();
        for proxy in &self.proxies {
            proxy.inject(Fault::StallAfter(Direction::ToClient, MIDDLE));
        }
        let running = self.workplace.etcdrx().spawn(["backup", "--json"]);
        let deadline = Instant::now() + LIMIT;
        let chosen = loop {
            let mut proxies = self.proxies.iter().zip(&before);
            let stopped = proxies.position(|(proxy, before)| to_client(proxy) - before >= MIDDLE);
            if let Some(chosen) = stopped {
                break chosen;
            }
            assert!(Instant::now() < deadline, "{}", running.stderr());
            std::thread::sleep(Duration::from_millis(5));
        };
        for (index, proxy) in self.proxies.iter().enumerate() {
            if index != chosen {
                proxy.heal();
            }
        }
        (running, chosen)
    }
}

fn to_client(proxy: &Proxy) -> u64 {
    proxy.passed_bytes(Direction::ToClient)
}
