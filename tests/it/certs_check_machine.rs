//! `etcdrx certs check` with what the machine says: units and manifests that lead on, etcd's user, routes, and the DNS.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use rcgen::SanType;

use crate::certs_check_setup::{Pki, codes, etcdrx};
use crate::certs_forge::{Authority, dns};
use crate::scratch::Output;

/// A user that is nobody's here, so that all rights are those of strangers.
const STRANGER: &str = "54321";

/// A check of one unit of the given lines.
fn check_unit(pki: &Pki, lines: &str, more: &[&str]) -> Output {
    let unit = pki.path("etcd.service");
    fs::write(&unit, format!("[Service]\n{lines}\n")).unwrap();
    let unit = unit.display().to_string();
    pki.check(&[&["--unit", &unit], more].concat())
}

fn messages(output: &Output, code: &str) -> Vec<String> {
    let document = output.json();
    let findings = document["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["code"] == code);
    findings
        .map(|finding| finding["message"].as_str().unwrap().to_owned())
        .collect()
}

fn server_flags(pki: &Pki) -> String {
    let path = |name: &str| pki.path(name).display().to_string();
    format!(
        "--name m1 --client-cert-auth --cert-file={} --key-file={} --trusted-ca-file={}",
        path("m1/server.crt"),
        path("m1/server.key"),
        path("m1/ca.crt")
    )
}

fn address(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

#[test]
fn files_that_etcds_user_cannot_read_are_found() {
    let pki = Pki::good();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(pki.folder.path(), open).unwrap();
    for name in ["m1/server.crt", "m1/ca.crt"] {
        pki.mode(name, 0o644);
    }
    let run = |lines: &str, more: &[&str]| {
        let flags = server_flags(&pki);
        check_unit(
            &pki,
            &format!("{lines}\nExecStart=/usr/bin/etcd {flags}"),
            more,
        )
    };

    let root = run("", &[]);
    let stranger = run(&format!("User={STRANGER}"), &[]);
    let named = run("", &["--as-user", STRANGER]);
    let unknown = run("User=no-such-user", &[]);
    let refused = run("", &["--as-user", "no-such-user"]);
    pki.mode("m1/server.key", 0o640);
    let in_group = run(&format!("User={STRANGER}\nGroup=0"), &[]);
    fs::set_permissions(pki.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let closed = run(&format!("User={STRANGER}"), &[]);

    assert!(codes(&root).is_empty(), "{root:?}");
    let found = messages(&stranger, "f01-unreadable-for-etcd");
    assert_eq!(found.len(), 1, "{stranger:?}");
    let words = "server.key: etcd runs as `54321`, which may not read it (mode 0600, and it belongs to another user)";
    assert!(found[0].ends_with(words), "{found:?}");
    assert_eq!(stranger.code, 3);
    assert_eq!(messages(&named, "f01-unreadable-for-etcd"), found);
    assert!(codes(&unknown).contains("f01-unknown-user"), "{unknown:?}");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(codes(&in_group).is_empty(), "{in_group:?}");
    let found = messages(&closed, "f01-unreadable-for-etcd");
    assert_eq!(found.len(), 3, "{closed:?}");
    assert!(found[0].contains("may not enter /"), "{found:?}");
}

/// Without a word about the user, the data that etcd wrote tells whose it is.
#[test]
fn the_owner_of_the_data_is_etcds_user() {
    let pki = Pki::good();
    if chown(pki.path("m2"), Some(54321), None).is_err() {
        println!("{STRANGER} cannot be given a file: not run as root");
        return;
    }
    let data = format!("data-dir: {}", pki.path("m2").display());
    let config = pki.config(&data, "").display().to_string();

    let output = pki.check(&["--config-file", &config]);

    let found = messages(&output, "f01-unreadable-for-etcd");
    assert_eq!(found.len(), 6, "{output:?}");
}

#[test]
fn a_unit_is_followed_to_the_files_that_it_names() {
    let pki = Pki::good();
    pki.write("etcd.env", format!("OPTS='{}'\n", server_flags(&pki)));
    let env = pki.path("etcd.env").display().to_string();
    pki.mode("m1/server.key", 0o644);
    let lines = |file: &str| format!("EnvironmentFile={file}\nExecStart=/usr/bin/etcd $OPTS");

    let followed = check_unit(&pki, &lines(&env), &[]);
    let lost = check_unit(&pki, &lines("/nowhere/etcd.env"), &[]);
    let config = pki.config("", "").display().to_string();
    let config = check_unit(&pki, &format!("ExecStart=etcd --config-file {config}"), &[]);

    let key_mode = ["f04-key-mode"];
    assert!(codes(&followed).iter().eq(key_mode), "{followed:?}");
    assert!(codes(&config).iter().eq(key_mode), "{config:?}");
    assert!(codes(&lost).iter().eq(["f01-unread-settings"]), "{lost:?}");
}

#[test]
fn a_manifest_is_followed_through_its_volumes() {
    let pki = Pki::good();
    pki.mode("m1/server.key", 0o644);
    let manifest = format!(
        "spec:
  containers:
  - command: [etcd, --cert-file=/pki/server.crt, --key-file=/pki/server.key]
    volumeMounts: [{{name: certs, mountPath: /pki}}]
  volumes: [{{name: certs, hostPath: {{path: {}}}}}]
",
        pki.path("m1").display()
    );
    fs::write(pki.path("etcd.yaml"), manifest).unwrap();

    let found = pki.codes(&["--manifest", &pki.path("etcd.yaml").to_string_lossy()]);

    assert!(found.iter().eq(["f04-key-mode"]), "{found:?}");
}

/// The certificate is for the address that m1 advertises; its way to m2 begins at another.
#[test]
fn the_way_from_this_machine_is_what_the_others_see() {
    let pki = Pki::good();
    let check = || {
        let path = |name: &str| pki.path(name).display().to_string();
        let flags = format!(
            "--name m1 --peer-cert-file={} --peer-key-file={} --initial-advertise-peer-urls=https://127.0.0.3:2380 \
             --initial-cluster=m1=https://127.0.0.3:2380,m2=https://127.0.0.1:2380",
            path("m1/peer.crt"),
            path("m1/peer.key")
        );
        check_unit(&pki, &format!("ExecStart=etcd {flags}"), &[])
    };

    pki.peer(|params| params.subject_alt_names = vec![address("127.0.0.3")]);
    let refused = check();
    pki.peer(|params| params.subject_alt_names = vec![address("127.0.0.3"), dns("localhost")]);
    let by_name = check();
    pki.peer(|params| params.subject_alt_names = vec![address("127.0.0.3"), address("127.0.0.1")]);
    let good = check();

    let found = messages(&refused, "v09-source");
    let words =
        "from 127.0.0.1, the way from this machine to 127.0.0.1, the other members refuse it";
    assert!(found[0].contains(words), "{refused:?}");
    // This machine says that localhost is 127.0.0.1, so it is only a note.
    assert!(codes(&by_name).iter().eq(["v09-source"]), "{by_name:?}");
    assert!(by_name.stdout.contains("as it does now"), "{by_name:?}");
    assert!(
        by_name.stdout.contains("\"severity\": \"info\""),
        "{by_name:?}"
    );
    assert!(codes(&good).is_empty(), "{good:?}");
}

#[test]
fn names_of_peers_are_looked_up() {
    let pki = Pki::good();
    let inventory = pki.folder.path().to_string_lossy().into_owned();
    let config = "name: m1\ninitial-advertise-peer-urls: https://10.0.0.7:2380\n";
    fs::write(pki.path("m1/etcd.conf.yml"), config).unwrap();
    let names = |names: Vec<SanType>| {
        pki.peer(|params| params.subject_alt_names = names);
        pki.check(&["--inventory", &inventory])
    };

    let elsewhere = names(vec![address("10.0.0.8"), dns("localhost")]);
    let wildcard = names(vec![address("10.0.0.8"), dns("*.example.com")]);

    let found = messages(&elsewhere, "v09-source");
    assert!(
        found[0].ends_with("localhost; asked from here, it does not"),
        "{found:?}"
    );
    let found = messages(&wildcard, "v09-source");
    assert!(
        found[0].ends_with("that this is *.example.com"),
        "{found:?}"
    );
}

#[test]
fn users_of_clients_and_of_proxies_are_held_against_what_they_must_be() {
    let pki = Pki::good();
    let (cert, key) = (pki.path("clients/root.crt"), pki.path("clients/root.key"));
    let proxy = format!(
        "ExecStart=etcd grpc-proxy start --endpoints=https://10.0.0.1:2379 --cert={} --key={}",
        cert.display(),
        key.display()
    );
    let cert = cert.display().to_string();

    let known = pki.codes(&["--client-cert", &cert, "--users", "backup,leaf"]);
    let unknown = pki.codes(&["--client-cert", &cert, "--users", "root"]);
    let of_proxy = codes(&check_unit(&pki, &proxy, &[]));

    assert!(known.is_empty(), "{known:?}");
    assert!(unknown.iter().eq(["v07-unknown-user"]), "{unknown:?}");
    assert!(of_proxy.iter().eq(["v07-proxy-has-user"]), "{of_proxy:?}");
}

#[test]
fn every_layout_that_is_written_is_read() {
    for (layout, clients) in [("etcdrx", 3), ("cfssl", 3), ("kubeadm", 7)] {
        let pki = Pki::good();
        let program = etcdrx(pki.folder.path());
        let cluster = "m1=10.0.0.1,m2=10.0.0.2";
        let make = ["certs", "gen", "--cluster", cluster, "--layout", layout];
        program.run(make).success();

        let output = program.run(["--json", "certs", "check"]).success();

        let found = output.json();
        assert_eq!(found["members"], 2, "{layout}: {output:?}");
        assert_eq!(found["clients"], clients, "{layout}: {output:?}");
        let expected: &[&str] = match layout {
            "kubeadm" => &["v13-shared-authority"],
            _ => &[],
        };
        assert!(codes(&output).iter().eq(expected), "{layout}: {output:?}");
        let broken = match layout {
            "cfssl" => "pki/m1/server-key.pem",
            "kubeadm" => "pki/m1/etcd/server.key",
            _ => "pki/m1/server.key",
        };
        pki.write(broken, Authority::root("x", |_| ()).forged().key);
        let output = program.run(["--json", "certs", "check"]);
        assert!(
            codes(&output).contains("f03-key-of-another"),
            "{layout}: {output:?}"
        );
    }
}
