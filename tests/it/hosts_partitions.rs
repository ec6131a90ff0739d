//! Hosts whose cables are pulled: nobody knows whether the members behind them live.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hosts_setup::{Hosts, LIMIT};
use crate::scratch::tools::function_name;
use crate::scratch::{require, tools};

/// How long a look may take, on a machine that has other things to do.
const A_LOOK: Duration = Duration::from_millis(6500);

#[tokio::test(flavor = "multi_thread")]
async fn a_member_behind_a_dead_link_is_unreachable_and_the_answer_comes_in_time() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    if !has_cables(&hosts, &function_name!()) {
        return;
    }
    hosts.pull(2);
    hosts.until_it_serves(0).await;

    // The others are looked at all the same.
    let looked_at = |seen: &Value, host: usize| !seen["members"][host]["node"].is_null();
    let (seen, took) = hosts.diagnose_until(|seen| looked_at(seen, 0) && looked_at(seen, 1));
    let rebuild = hosts.dry_run(&["--scenario", "majority"]);
    let replace = hosts.dry_run(&["--scenario", "follower"]);
    hosts.plug(2);
    hosts.until_all_serve().await;

    assert!(took < A_LOOK, "{took:?}");
    assert_eq!(class(&seen, 2), "UNREACHABLE", "{seen:#}");
    assert_eq!(seen["scenario"], "follower");
    assert_refused(&rebuild.json(), "the cluster has a quorum");
    assert_refused(&replace.json(), "the node of etcd-3 cannot be reached");
    hosts.until_it_is_healthy();
}

/// Two members that live behind dead links come back to a cluster that began anew without them: neither disturbs the other.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_were_fenced_and_come_back_do_not_disturb_the_new_cluster() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    if !has_cables(&hosts, &function_name!()) {
        return;
    }
    let written = hosts.write("before", 30).await;
    hosts.pull(1);
    hosts.pull(2);
    until_it_has_no_leader(&hosts);

    let refused = hosts.dry_run(&["--scenario", "majority"]);
    let one = ["--scenario", "majority", "--fenced", "etcd-2"];
    let half_refused = hosts.dry_run(&one);
    let both = [&one[..], &["--fenced", "etcd-3"]].concat();
    let report = hosts.recover(&both);
    let later = hosts.write_through(0, "later", 30).await;
    hosts.plug(1);
    hosts.plug(2);
    // The two have a quorum of the cluster that was.
    let old = hosts.until_it_serves(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (seen, _) = hosts.diagnose();

    assert_eq!(refused.code, 4, "{refused:?}");
    for name in ["etcd-2", "etcd-3"] {
        assert_refused(&refused.json(), &format!("--fenced {name}"));
    }
    assert_refused(&half_refused.json(), "--fenced etcd-3");
    assert_eq!(report["members"].as_array().unwrap().len(), 1);
    assert_eq!(old, written);
    let new: std::collections::BTreeMap<_, _> = written.into_iter().chain(later).collect();
    hosts.assert_hold(&[0], &new).await;
    assert_eq!(hosts.read(0).await.unwrap().len(), new.len());
    let verdict = seen["verdict"].as_str().unwrap();
    assert!(verdict.contains("cluster"), "{verdict}");
}

fn has_cables(hosts: &Hosts, test: &str) -> bool {
    if !hosts.has_cables() {
        tools::skip(test, "network namespaces");
    }
    hosts.has_cables()
}

fn until_it_has_no_leader(hosts: &Hosts) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (seen, _) = hosts.diagnose();
        if class(&seen, 0) == "NOLEADER" {
            return;
        }
        assert!(Instant::now() < deadline, "{seen:#}");
    }
}

fn class(seen: &Value, host: usize) -> &str {
    seen["members"][host]["class"].as_str().unwrap()
}

fn assert_refused(plan: &Value, why: &str) {
    let refused = plan["refused"].to_string();
    assert!(refused.contains(why), "no {why:?} in {refused}");
}
