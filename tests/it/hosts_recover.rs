//! Three hosts that are recovered over ssh: one by one, all at once, from what a survivor, a directory, or a backup has.

use crate::hosts_setup::Hosts;
use crate::recover_setup::names;
use crate::scratch::{require, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_is_lost_is_replaced_over_ssh() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 40).await;
    let lost = hosts.follower().await;
    hosts.lose(lost, true);

    let (seen, _) = hosts.diagnose();
    let report = hosts.recover(&["--scenario", "follower"]);

    assert_eq!(seen["scenario"], "follower", "{seen:#}");
    assert_eq!(report["lost_revisions"], 0, "{report:#}");
    hosts.assert_hold(&[0, 1, 2], &written).await;
    assert_eq!(names(&hosts.path(lost, "data")), ["member"]);
    hosts.until_it_is_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_is_lost_is_rebuilt_from_the_survivor_over_ssh() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 40).await;
    hosts.lose(1, true);
    hosts.lose(2, true);

    let report = hosts.recover(&["--scenario", "majority"]);

    assert_eq!(report["source"], "the running member etcd-1");
    hosts.assert_hold(&[0, 1, 2], &written).await;
    assert_ne!(report["cluster_id_before"], report["cluster_id"]);
    // The survivor's own data are kept; where there were none, nothing is left behind.
    let run = report["run"].as_str().unwrap();
    let aside = format!("member.etcdrx-{run}");
    assert_eq!(names(&hosts.path(0, "data")), ["member", aside.as_str()]);
    assert_eq!(names(&hosts.path(1, "data")), ["member"]);
}

/// The log of the only directory holds writes that its database does not: they are taken out where it lies.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_directory_that_is_left_is_salvaged_on_its_own_host() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 40).await;
    // What two others acknowledged is its own, too.
    hosts.assert_hold(&[2], &written).await;
    hosts.lose(0, true);
    hosts.lose(1, true);
    hosts.lose(2, false);

    let report = hosts.recover(&["--scenario", "majority"]);

    assert_eq!(report["source"], "the directory of etcd-3");
    hosts.assert_hold(&[0, 1, 2], &written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_is_lost_a_backup_goes_from_here_to_every_host() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 40).await;
    hosts.etcdrx().run(["backup"]).success();
    for host in 0..3 {
        hosts.lose(host, true);
    }

    let report = hosts.recover(&["--scenario", "total"]);

    assert_source(&report, "the backup ");
    hosts.assert_hold(&[0, 1, 2], &written).await;
    hosts.until_it_is_healthy();
}

fn assert_source(report: &serde_json::Value, wanted: &str) {
    let source = report["source"].as_str().unwrap();
    assert!(source.contains(wanted), "{report:#}");
}
