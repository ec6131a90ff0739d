//! What clients and operators find after a rebuild: watches that end with a word, certificates that hold, passwords that count, no alarm
//! of members that are gone.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmMember, AlarmType, Certificate, Client, ConnectOptions, Identity, TlsOptions,
    WatchOptions, WatchStream,
};

use crate::recover_setup::Scene;
use crate::scratch::tools;

const PASSWORD: &str = "the word of before";
const LIMIT: Duration = Duration::from_secs(10);

/// How a client shows its certificate, that of the user `root`.
fn shown(scene: &Scene) -> ConnectOptions {
    let cluster = &scene.site.config().cluster;
    let read = |path: &Option<std::path::PathBuf>| std::fs::read(path.as_ref().unwrap()).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read(&cluster.ca)))
        .identity(Identity::from_pem(read(&cluster.cert), read(&cluster.key)));
    ConnectOptions::new().with_tls(tls).with_timeout(LIMIT)
}

async fn client(scene: &Scene, index: usize) -> Client {
    let url = &scene.site.members[index].client_url;
    Client::connect([url], Some(shown(scene))).await.unwrap()
}

/// Logs in by password, which counts only where auth is on.
async fn log_in(scene: &Scene, index: usize, password: &str) -> Result<Client, etcd_client::Error> {
    let url = &scene.site.members[index].client_url;
    let options = shown(scene).with_user("root", password);
    Client::connect([url], Some(options)).await
}

async fn watch(scene: &Scene, index: usize, from: i64) -> WatchStream {
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut client = client(scene, index).await;
    client.watch("k", Some(options)).await.unwrap()
}

/// How a watch goes on: its events, and the compaction that ends it, if it is told one.
async fn ending(mut stream: WatchStream) -> (usize, Option<i64>) {
    let mut events = 0;
    let told = async {
        loop {
            match stream.message().await {
                Ok(Some(message)) if message.canceled() => return Some(message.compact_revision()),
                Ok(Some(message)) => events += message.events().len(),
                Ok(None) | Err(_) => return None,
            }
        }
    };
    let compacted = tokio::time::timeout(LIMIT, told).await;
    let compacted = compacted.expect("a watch never waits without a word");
    (events, compacted)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rebuild_watches_end_certificates_hold_passwords_count_and_no_alarm_is_left() {
    let scene = Scene::of(&tools::newest_etcd(), 3, true).await;
    let written = scene.write("k", 30).await;
    let mut root = client(&scene, 2).await;
    root.user_add("root", PASSWORD, None).await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.auth_enable().await.unwrap();
    let own = root.status().await.unwrap();
    let header = own.header().unwrap();
    let (old_id, old_revision) = (header.member_id(), header.revision());
    let (raise, kind) = (AlarmAction::Activate, AlarmType::Nospace);
    root.alarm(raise, kind, None).await.unwrap();
    let watched_before = watch(&scene, 2, old_revision + 1).await;
    scene.lose(&[0, 1], true).await;

    let rebuilt = scene.recover(&["--scenario", "majority"]);

    let raised = rebuilt["revision_after"].as_i64().unwrap();
    assert!(raised >= old_revision + 1_000_000, "{rebuilt:#}");
    // Nobody hears anything that is not so, or waits for ever: each comes back to where it was, through whichever member.
    assert_eq!(ending(watched_before).await.0, 0);
    for index in 0..3 {
        for from in [1, old_revision, old_revision + 1] {
            let stream = watch(&scene, index, from).await;
            assert_eq!(ending(stream).await, (0, Some(raised)), "from {from}");
        }
        log_in(&scene, index, PASSWORD).await.unwrap();
        assert!(log_in(&scene, index, "another").await.is_err());
        let mut alarms = client(&scene, index).await;
        let alarms = alarms.alarm(AlarmAction::Get, AlarmType::None, None).await;
        let alarms = alarms.unwrap();
        let of: Vec<u64> = alarms.alarms().iter().map(AlarmMember::member_id).collect();
        assert_eq!(of, [0; 0], "{old_id} is gone, and so is its alarm");
    }
    scene.assert_holds(&written).await;
    assert_certificates_hold(&scene);
}

/// Every port, and every member's way to every other, held against the files; a certificate that ends within a week is a finding.
fn assert_certificates_hold(scene: &Scene) {
    let pki = scene.site.directory().join("pki").display().to_string();
    let members = &scene.site.members;
    let clients: Vec<&str> = members.iter().map(|one| one.client_url.as_str()).collect();
    let peers: Vec<&str> = members.iter().map(|one| one.peer_url.as_str()).collect();
    let (clients, peers) = (clients.join(","), peers.join(","));
    let authority = format!("{pki}/peer-ca.crt");
    let words = [
        ["--endpoints", &clients],
        ["--peer-endpoints", &peers],
        ["--peer-cacert", &authority],
    ];
    let check = ["certs", "check", &pki];
    scene
        .etcdrx()
        .run(check.iter().chain(words.as_flattened()))
        .success();
}
