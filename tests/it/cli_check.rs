//! `etcdrx init` and `etcdrx check`: a setup that works, and setups that do not.

use std::fs;
use std::path::Path;

use etcd_client::AlarmType;

use crate::scratch::pki::Leaf;
use crate::scratch::{Cluster, ports, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test]
async fn what_init_writes_passes_the_check_and_takes_a_backup() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).tls().auth();
    let cluster = cluster.start().await;
    let workplace = Workplace::new();
    let endpoints = cluster.endpoints().join(",");
    let root = cluster.root_identity().unwrap();
    let ca = text(&cluster.pki().unwrap().ca());
    let (cert, key) = (text(&root.cert), text(&root.key));
    let url = format!("file://{}", workplace.repository().display());
    let mut arguments = vec!["init", "--endpoints", &endpoints, "--cacert", &ca];
    arguments.extend(["--cert", &cert, "--key", &key]);
    arguments.extend(["--repository", &url, "--cluster", "scratch"]);

    let written = workplace.etcdrx().run(&arguments).success();
    let before = fs::read(workplace.path("etcdrx.toml")).unwrap();
    let again = workplace.etcdrx().run(&arguments);
    let checked = workplace.etcdrx().run(["check"]).success();
    let as_json = workplace.etcdrx().run(["check", "--json"]).success();

    assert!(written.stdout.contains("etcdrx check"), "{written:?}");
    assert_ends(&again, 4, &["etcdrx.toml exists already", "hint:"]);
    assert_eq!(fs::read(workplace.path("etcdrx.toml")).unwrap(), before);
    for words in [
        "ok https://",
        "(leader)",
        "would be backed up from, and gives a snapshot",
        "the store puts only if absent",
        "an object was written, read, listed and removed",
        "everything works",
    ] {
        assert!(checked.stdout.contains(words), "{words}: {checked:?}");
    }
    let report = as_json.json();
    assert_eq!(codes(&report), [""; 0]);
    assert_eq!(report["passed"].as_array().unwrap().len(), 7);
    assert_eq!(workplace.stored(), [""; 0], "the check leaves nothing");
    workplace.etcdrx().run(["backup"]).success();
    workplace.assert_holds_only_whole_backups(1);
}

#[tokio::test]
async fn what_is_wrong_with_the_cluster_is_found() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).tls();
    let cluster = cluster.start().await;
    let pki = cluster.pki().unwrap();
    let soon = Leaf::client("root").ends_in_days(5);
    let soon = pki.issue(&soon, &pki.directory().join("soon"));
    let dead = format!("https://{}", ports::free_address());
    let mut endpoints = cluster.endpoints();
    endpoints.push(dead.clone());
    let workplace = Workplace::of(&cluster);
    let settings = workplace.settings(&cluster);
    let settings = settings
        .set("cluster.cert", text(&soon.cert))
        .set("cluster.key", text(&soon.key));
    workplace.configure(&settings);

    let only_warned = workplace.etcdrx().run(["check", "--json"]);
    workplace.configure(&settings.set("cluster.endpoints", endpoints));
    cluster.raise_alarm(0, AlarmType::Corrupt).await;
    cluster.raise_alarm(1, AlarmType::Nospace).await;
    let checked = workplace.etcdrx().run(["check"]);

    let report = only_warned.success().json();
    assert_eq!(codes(&report), ["client-certificate-expires"]);
    assert_eq!(checked.code, 3, "{checked:?}");
    for words in [
        "warning [client-certificate-expires]",
        "error [alarm-corrupt]",
        "warning [alarm-nospace]",
        &format!("error [endpoint-unreachable] {dead}: connection refused"),
        "warning [member-unfit]",
        "would be backed up from",
        "findings",
    ] {
        assert!(checked.stdout.contains(words), "{words}: {checked:?}");
    }
}

#[tokio::test]
async fn a_lost_quorum_is_found() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.members[1].kill();
    cluster.members[2].kill();
    while cluster
        .status(0)
        .await
        .is_none_or(|status| status.leader() != 0)
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let checked = workplace.etcdrx().run(["check"]);

    assert_eq!(checked.code, 3, "{checked:?}");
    for words in [
        "error [no-leader]",
        "the cluster has no quorum",
        "error [endpoint-unreachable]",
        "an object was written, read, listed and removed",
    ] {
        assert!(checked.stdout.contains(words), "{words}: {checked:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_repository_does_not_hide_the_cluster() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::of(&cluster);
    let settings = workplace.settings(&cluster);
    workplace.configure(&settings.set("repository.url", "file:///nowhere/at/all"));

    let checked = workplace.etcdrx().run(["check"]);

    assert_eq!(checked.code, 3, "{checked:?}");
    for words in [
        "gives a snapshot",
        "error [repository]",
        "/nowhere/at/all",
        "1 finding",
    ] {
        assert!(checked.stdout.contains(words), "{words}: {checked:?}");
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
