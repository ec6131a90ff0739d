//! Certificates that one side refuses: the message says which side, and why.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::scratch::pki::{Identity, Leaf};
use crate::scratch::{Cluster, Output, tools};
use crate::setup::{Settings, Workplace, assert_ends};

#[tokio::test]
async fn every_etcd_gets_its_refusal_explained() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).tls().start().await;
        let pki = cluster.pki().unwrap();
        let workplace = Workplace::of(&cluster);
        let good = workplace.settings(&cluster);
        let without = good.clone().without("cluster.cert").without("cluster.key");
        let foreign = pki.foreign_client("root");
        let expired = pki.expired_client("root");
        let for_servers = pki.client_for_servers_only("root");

        let none = backup_with(&workplace, &without);
        let foreign = backup_with(&workplace, &showing(&good, &foreign));
        let expired = backup_with(&workplace, &showing(&good, &expired));
        let for_servers = backup_with(&workplace, &showing(&good, &for_servers));

        let we_are_refused = "it refuses us (alert ";
        assert_ends(
            &none,
            5,
            &[
                we_are_refused,
                "it wants a client certificate, and none is configured (`cert` and `key`)",
                "hint: at least one endpoint fails for TLS, not for the network",
                "hint: Give --cert and --key (etcdctl), or `cert` and `key` (etcdrx).",
            ],
        );
        assert_ends(
            &foreign,
            5,
            &[
                we_are_refused,
                "root-foreign.crt",
                "--trusted-ca-file",
                "hint: ",
            ],
        );
        assert_ends(
            &expired,
            5,
            &[
                we_are_refused,
                "root-expired.crt expired at 20",
                "hint: Renew the certificate",
            ],
        );
        assert_ends(
            &for_servers,
            5,
            &[
                we_are_refused,
                "its extended key usage lacks clientAuth",
                "issue the certificate again with clientAuth",
            ],
        );
        workplace.assert_holds_only_whole_backups(0);
    }
}

#[tokio::test]
async fn every_etcd_is_refused_by_a_wrong_authority() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).tls().start().await;
        let workplace = Workplace::of(&cluster);
        let other_ca = text(&cluster.pki().unwrap().other_ca());
        let settings = workplace.settings(&cluster).set("cluster.ca", other_ca);

        let refused = backup_with(&workplace, &settings);

        assert_ends(
            &refused,
            5,
            &[
                "we refuse its certificate",
                "signed by an authority that is not in our CA file",
                "hint: Give the connecting side the CA file that belongs to this server",
            ],
        );
    }
}

#[tokio::test]
async fn a_server_certificate_that_we_refuse_is_explained() {
    let mut cluster = Cluster::of(&tools::newest_etcd()).tls().start().await;
    let pki = cluster.pki().unwrap();
    let elsewhere = Leaf::server("etcd-1").names(&["etcd-1.internal"]);
    let not_yet_ours = pki.directory().join("elsewhere");
    let bad = [
        (
            pki.expired_server("etcd-1"),
            "it expired at 20",
            "Renew what has expired",
        ),
        (
            pki.issue(&elsewhere, &not_yet_ours),
            "it is not valid for `127.0.0.1`",
            "Issue the certificate again with this name",
        ),
        (
            pki.client("etcd-1"),
            "it is not a server certificate: its extended key usage lacks serverAuth",
            "serverAuth and clientAuth",
        ),
    ];
    let workplace = Workplace::of(&cluster);

    for (identity, why, fix) in bad {
        // etcd reads its certificate at every handshake, from the files that it was started with.
        let flags = cluster.members[0].arguments();
        flags.push(format!("--cert-file={}", identity.cert.display()));
        flags.push(format!("--key-file={}", identity.key.display()));
        cluster.members[0].kill();
        cluster.members[0].start();
        let refused = once_it_listens(&workplace);

        assert_ends(&refused, 5, &["we refuse its certificate", why, fix]);
    }
}

#[tokio::test]
async fn unusable_files_are_named_before_anything_is_asked() {
    let cluster = Cluster::of(&tools::newest_etcd()).tls().start().await;
    let pki = cluster.pki().unwrap();
    let workplace = Workplace::of(&cluster);
    let good = workplace.settings(&cluster);
    let other_key = text(&pki.client("backup").key);
    let ca = text(&pki.ca());
    let cases = [
        (
            good.clone().set("cluster.ca", "/nowhere/ca.crt"),
            "cannot read the CA file /nowhere/ca.crt",
        ),
        (
            good.clone().set("cluster.key", other_key),
            "it is not the key of",
        ),
        (
            good.clone().set("cluster.key", ca),
            "it holds no private key in PEM",
        ),
        (
            good.clone().without("cluster.key"),
            "[cluster] key: a certificate needs its key",
        ),
    ];

    for (settings, words) in cases {
        let refused = backup_with(&workplace, &settings);

        assert_ends(&refused, 2, &[words, "hint:"]);
    }
}

fn backup_with(workplace: &Workplace, settings: &Settings) -> Output {
    workplace.configure(settings);
    workplace.etcdrx().run(["backup"])
}

/// Tries until a member that was just started takes connections.
fn once_it_listens(workplace: &Workplace) -> Output {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = workplace.etcdrx().run(["backup"]);
        if !output.stderr.contains("connection refused") || Instant::now() > deadline {
            return output;
        }
    }
}

fn showing(settings: &Settings, identity: &Identity) -> Settings {
    let settings = settings.clone().set("cluster.cert", text(&identity.cert));
    settings.set("cluster.key", text(&identity.key))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
