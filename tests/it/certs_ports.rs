//! `etcdrx certs check` on running members: what their ports show and trust, held against the files.

use crate::certs_boot::replace_certificates;
use crate::scratch::cluster::Member;
use crate::scratch::{Cluster, Output, require_etcd};
use crate::setup::{Workplace, assert_ends};

struct Bench {
    cluster: Cluster,
    workplace: Workplace,
}

impl Bench {
    fn certs(&self, arguments: &[&str]) -> Output {
        self.workplace
            .etcdrx()
            .run([&["certs"], arguments].concat())
    }

    fn out(&self) -> String {
        self.cluster
            .pki()
            .unwrap()
            .directory()
            .display()
            .to_string()
    }

    /// Checks the files and every port.
    fn check(&self) -> Output {
        let peers: Vec<&str> = self.cluster.members.iter().map(Member::peer_url).collect();
        let (endpoints, peers) = (self.cluster.endpoints().join(","), peers.join(","));
        let out = self.out();
        let peer_ca = format!("{out}/peer-ca.crt");
        self.certs(&[
            "check",
            &out,
            "--endpoints",
            &endpoints,
            "--peer-endpoints",
            &peers,
            "--peer-cacert",
            &peer_ca,
        ])
    }
}

#[tokio::test]
async fn a_check_sees_what_members_run_with_and_not_only_what_lies_on_their_disks() {
    let cluster = Cluster::of(&require_etcd!("3.6"))
        .members(3)
        .tls()
        .start_after(|cluster| replace_certificates(cluster, &[]))
        .await;
    let workplace = Workplace::of(&cluster);
    let bench = Bench { cluster, workplace };

    let good = bench.check();
    bench
        .certs(&["renew", "--all", "--out", &bench.out()])
        .success();
    let renewed = bench.check();
    bench
        .certs(&["rotate-ca", "begin", "--out", &bench.out()])
        .success();
    let begun = bench.check();
    bench.cluster.kill_all();
    let dead = bench.check();

    for good in [good, renewed] {
        let good = good.success();
        assert!(
            good.stdout
                .contains("nothing is wrong with 3 members, 4 clients, 6 running ports"),
            "{good:?}"
        );
    }
    assert_eq!(
        begun.stdout.matches("[restart-needed]").count(),
        6,
        "{begun:?}"
    );
    assert_ends(&begun, 3, &[]);
    assert_eq!(
        dead.stdout.matches("[endpoint-unreachable]").count(),
        6,
        "{dead:?}"
    );
    assert_ends(&dead, 5, &[]);
}
