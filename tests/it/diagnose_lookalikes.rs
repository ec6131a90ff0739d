//! What looks like a disaster from here and is none: TLS, the network, another cluster; and what looks healthy and is not.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::diagnose_setup::{look, look_with, name_the_nodes, rot, three, two_versions};
use crate::scratch::{Cluster, ports, tools};
use crate::setup::{Workplace, etcdrx};

#[tokio::test]
async fn a_failure_of_tls_is_no_disaster() {
    for etcd in two_versions() {
        let cluster = Cluster::of(&etcd).members(3).tls().start().await;
        let pki = cluster.pki().unwrap();
        let workplace = Workplace::new();
        let good = workplace.settings(&cluster);
        let plain: Vec<String> = cluster
            .endpoints()
            .iter()
            .map(|url| url.replace("https://", "http://"))
            .collect();
        let cases = [
            (
                good.clone()
                    .set("cluster.ca", pki.other_ca().display().to_string()),
                "signed by an authority that is not in our CA file",
            ),
            (
                good.clone().without("cluster.cert").without("cluster.key"),
                "it wants a client certificate, and none is configured",
            ),
            (
                workplace.bare_settings().set("cluster.endpoints", plain),
                "it speaks TLS: use https://",
            ),
        ];
        for (settings, words) in cases {
            workplace.configure(&settings);

            let seen = look(&workplace);

            seen.assert_is("not-a-disaster-tls", None, 5);
            assert_eq!(seen.json["confidence"], "certain");
            seen.assert_evidence(&[
                cluster.members[0].client_url().trim_start_matches("https"),
                words,
            ]);
            assert_eq!(seen.commands(), [""; 0]);
        }
        workplace.configure(&good);
        let seen = look(&workplace);
        assert_eq!(seen.conditions(), ["partly-seen"], "{:?}", seen.output);
        assert_eq!(seen.json["quorum"]["reads"], true);
    }
}

#[tokio::test]
async fn peer_ports_behind_tls_listen_also_to_those_whom_they_refuse() {
    let etcd = tools::newest_etcd();
    let mut cluster = Cluster::of(&etcd).members(3).tls().start().await;
    let workplace = Workplace::of(&cluster);
    name_the_nodes(&workplace, &cluster);
    cluster.kill_all();
    cluster.members[0].start();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let seen = look(&workplace);

    assert_eq!(seen.class("etcd-1"), "STARTING", "{:?}", seen.output);
    assert_eq!(seen.class("etcd-2"), "DEAD");
    seen.assert_is("majority-unseen", Some("majority"), 3);
    seen.assert_evidence(&["etcd-1", "the peer port listens, and does not let us in"]);
}

#[tokio::test]
async fn when_no_way_leads_anywhere_the_network_is_suspected() {
    let (one, other) = (black_hole().await, black_hole().await);
    let endpoints = format!("http://{},http://{}", one.address, other.address);

    let seen = look_with(&etcdrx(), &["--endpoints", &endpoints]);

    seen.assert_is("not-a-disaster-network", None, 5);
    assert_eq!(seen.json["confidence"], "unclear");
}

#[tokio::test]
async fn packets_that_are_dropped_cost_no_more_than_the_limit() {
    let (cluster, workplace) = three(&tools::newest_etcd()).await;
    let follower = cluster.follower().await;
    let hole = black_hole().await;
    let endpoints = [
        cluster.endpoints().join(","),
        format!("http://{}", hole.address),
    ]
    .join(",");
    cluster.members[follower].kill();

    let seen = look_with(&workplace.etcdrx(), &["--endpoints", &endpoints]);

    seen.assert_is("follower-down", Some("follower"), 3);
    seen.assert_evidence(&["no answer to a connection"]);
}

#[tokio::test]
async fn a_member_of_another_cluster_at_our_url_is_foreign() {
    for etcd in two_versions() {
        let (mut cluster, workplace) = three(&etcd).await;
        let follower = cluster.follower().await;
        let member = &mut cluster.members[follower];
        member.stop();
        fs::remove_dir_all(member.data_dir()).unwrap();
        let (name, url) = (member.name().to_owned(), member.peer_url().to_owned());
        member.arguments().extend([
            format!("--initial-cluster={name}={url}"),
            "--initial-cluster-token=another".to_owned(),
        ]);
        cluster.restart_member(follower).await;

        let seen = look(&workplace);

        seen.assert_is("foreign-member", None, 3);
        assert_eq!(seen.class(&name), "FOREIGN");
        seen.assert_evidence(&[&name, "it belongs to another cluster"]);
        assert_eq!(seen.json["quorum"]["reads"], true);
    }
}

#[tokio::test]
async fn two_clusters_of_one_member_each_are_left_to_a_person() {
    let etcd = tools::newest_etcd();
    let one = Cluster::of(&etcd).start().await;
    let other = Cluster::of(&etcd)
        .flag("--initial-cluster-token=b")
        .start()
        .await;
    let endpoints = [one.endpoints(), other.endpoints()].concat().join(",");

    let seen = look_with(&etcdrx(), &["--endpoints", &endpoints]);

    seen.assert_is("split-clusters", None, 3);
}

#[tokio::test]
async fn a_byte_that_changed_on_one_disk_is_found_and_the_odd_member_named() {
    for etcd in two_versions() {
        let (mut cluster, workplace) = three(&etcd).await;
        let mut client = cluster.client().await;
        let value = "the-value-that-will-rot";
        client.put("canary", value, None).await.unwrap();
        let follower = cluster.follower().await;
        cluster.wait_until_caught_up(follower).await;
        let member = &cluster.members[follower];
        member.stop();
        let name = member.name().to_owned();
        rot(&member.db(), value.as_bytes());
        cluster.restart_member(follower).await;
        client.put("later", "write", None).await.unwrap();
        cluster.wait_until_caught_up(follower).await;

        let seen = look(&workplace);

        seen.assert_is("silent-corruption", Some("follower"), 3);
        assert_eq!(
            seen.json["conditions"][0]["members"],
            serde_json::json!([name])
        );
        seen.assert_evidence(&["HashKV at revision", &name]);
        assert!(seen.commands()[0].ends_with(&format!("--member {name}")));
    }
}

/// An address from which no packet comes back.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

/// A listener whose queue is full: the kernel drops every further SYN.
async fn black_hole() -> BlackHole {
    let address = ports::free_address();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap();
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(200);
    while let Ok(connected) = timeout(patience, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    BlackHole {
        address,
        _listener: listener,
        _waiting: waiting,
    }
}
