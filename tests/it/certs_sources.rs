//! Where `etcdrx certs gen` learns who the members are: our configuration, etcd's own, or the cluster itself.

use std::fs;

use crate::certs_generate::certificate;
use crate::scratch::{Cluster, require_etcd};
use crate::setup::{Workplace, assert_ends};

fn answers_to(workplace: &Workplace, path: &str, hosts: &[&str]) {
    let own = certificate(&workplace.path(path)).hosts();
    for host in hosts {
        assert!(
            own.contains(&host.parse().unwrap()),
            "{path}: {host} is not in {own:?}"
        );
    }
}

#[test]
fn the_nodes_of_our_configuration_are_the_members() {
    let workplace = Workplace::new();
    let nodes = "[[node]]\nname = \"m1\"\npeer_url = \"https://10.0.0.1:2380\"\nclient_url = \"https://m1.example.com:2379\"\n\
                 [[node]]\nname = \"m2\"\npeer_url = \"https://10.0.0.2:2380\"\n";
    fs::write(workplace.path("etcdrx.toml"), nodes).unwrap();

    workplace.etcdrx().run(["certs", "gen"]).success();

    answers_to(
        &workplace,
        "pki/m1/server.crt",
        &["10.0.0.1", "m1.example.com"],
    );
    answers_to(
        &workplace,
        "pki/m1/peer.crt",
        &["10.0.0.1", "m1.example.com"],
    );
    answers_to(&workplace, "pki/m2/server.crt", &["10.0.0.2"]);
}

#[test]
fn a_members_own_configuration_names_them_all() {
    let workplace = Workplace::new();
    let config = "name: m1\nlisten-client-urls: https://10.0.0.1:2379,https://0.0.0.0:2379\n\
                  advertise-client-urls: https://m1.example.com:2379\n\
                  initial-cluster: m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380\n";
    fs::write(workplace.path("etcd.yml"), config).unwrap();
    fs::write(workplace.path("other.yml"), "data-dir: /x\n").unwrap();

    workplace
        .etcdrx()
        .run(["certs", "gen", "--from-config", "etcd.yml"])
        .success();
    let other = workplace
        .etcdrx()
        .run(["certs", "gen", "--from-config", "other.yml"]);
    let missing = workplace
        .etcdrx()
        .run(["certs", "gen", "--from-config", "missing.yml"]);

    answers_to(
        &workplace,
        "pki/m1/server.crt",
        &["10.0.0.1", "m1.example.com"],
    );
    answers_to(&workplace, "pki/m2/peer.crt", &["10.0.0.2"]);
    assert_ends(&other, 2, &["other.yml", "names no member"]);
    assert_ends(&missing, 2, &["cannot read missing.yml"]);
}

#[tokio::test]
async fn a_live_cluster_names_its_members() {
    let cluster = Cluster::of(&require_etcd!("3.6")).members(3).start().await;
    let workplace = Workplace::of(&cluster);

    workplace.etcdrx().run(["certs", "gen"]).success();

    for member in &cluster.members {
        answers_to(
            &workplace,
            &format!("pki/{}/server.crt", member.name()),
            &["127.0.0.1"],
        );
    }
}

#[test]
fn files_that_cannot_be_read_or_written_are_told() {
    let workplace = Workplace::new();
    let gen_one = ["certs", "gen", "--cluster", "m1=10.0.0.1"];
    fs::create_dir_all(workplace.path("pki/ca.crt")).unwrap();

    let directory = workplace.etcdrx().run(gen_one);
    fs::remove_dir_all(workplace.path("pki")).unwrap();
    fs::write(workplace.path("pki"), "a file").unwrap();
    let file = workplace.etcdrx().run(gen_one);

    assert_ends(&directory, 2, &["cannot read pki/ca.crt"]);
    assert_ne!(file.code, 0);
    assert!(file.stderr.contains("pki"), "{file:?}");
}
