//! `etcdrx certs gen`: what it makes, what it leaves alone, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use etcdrx::certs::pem::Pem;
use etcdrx::certs::{Certificate, Host};

use crate::scratch::Output;
use crate::setup::{Workplace, assert_ends};

pub(crate) const CLUSTER: &str = "m1=10.0.0.1,m2=10.0.0.2,m2=m2.example.com";

pub(crate) fn generate(workplace: &Workplace, more: &[&str]) -> Output {
    let arguments = [&["certs", "gen", "--cluster", CLUSTER], more].concat();
    workplace.etcdrx().run(arguments)
}

/// Every file below `pki`, with its bytes and its mode.
pub(crate) fn files(workplace: &Workplace) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![workplace.path("pki")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let bytes = fs::read(&path).unwrap();
            let name = path.strip_prefix(workplace.path("pki")).unwrap();
            found.insert(name.to_owned(), (bytes, mode));
        }
    }
    found
}

pub(crate) fn names(files: &BTreeMap<PathBuf, (Vec<u8>, u32)>) -> Vec<String> {
    files
        .keys()
        .map(|path| path.display().to_string())
        .collect()
}

pub(crate) fn certificate(path: &Path) -> Certificate {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Certificate::from_der(&Pem::read(&bytes).blocks[0].bytes).unwrap()
}

#[test]
fn a_cluster_gets_everything_it_needs_and_keys_are_nobody_elses() {
    let workplace = Workplace::new();

    let output = generate(&workplace, &["--san", "etcd.example.com,m1=192.168.7.1"]).success();

    let files = files(&workplace);
    assert_eq!(
        names(&files),
        [
            "ca.crt",
            "clients/backup.crt",
            "clients/backup.key",
            "clients/healthcheck.crt",
            "clients/healthcheck.key",
            "clients/root.crt",
            "clients/root.key",
            "m1/ca.crt",
            "m1/peer-ca.crt",
            "m1/peer.crt",
            "m1/peer.key",
            "m1/server.crt",
            "m1/server.key",
            "m2/ca.crt",
            "m2/peer-ca.crt",
            "m2/peer.crt",
            "m2/peer.key",
            "m2/server.crt",
            "m2/server.key",
            "peer-ca.crt",
            "private/ca.key",
            "private/peer-ca.key",
        ]
    );
    for (path, (_, mode)) in &files {
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        assert_eq!(*mode, if is_key { 0o600 } else { 0o644 }, "{path:?}");
    }
    let server = certificate(&workplace.path("pki/m1/server.crt")).hosts();
    for host in [
        "10.0.0.1",
        "192.168.7.1",
        "etcd.example.com",
        "localhost",
        "::1",
    ] {
        assert!(server.contains(&host.parse::<Host>().unwrap()), "{host}");
    }
    let peer = certificate(&workplace.path("pki/m2/peer.crt"));
    assert!(peer.hosts().contains(&"m2.example.com".parse().unwrap()));
    assert_eq!(peer.subject.common_name.as_deref(), Some("etcd-peer"));
    let backup = certificate(&workplace.path("pki/clients/backup.crt"));
    assert_eq!(backup.subject.common_name.as_deref(), Some("root"));
    assert!(backup.names.is_empty());
    assert!(output.stdout.contains("--peer-cert-allowed-cn=etcd-peer"));
}

#[test]
fn a_second_run_changes_nothing_and_a_new_member_gets_what_it_lacks() {
    let workplace = Workplace::new();
    generate(&workplace, &[]).success();
    let before = files(&workplace);

    let again = generate(&workplace, &[]).success();
    let after = files(&workplace);
    let grown = ["certs", "gen", "--cluster", "m1=10.0.0.1,m3=10.0.0.3"];
    workplace.etcdrx().run(grown).success();
    let with_third = files(&workplace);

    assert_eq!(before, after);
    assert!(again.stdout.contains("nothing was changed"), "{again:?}");
    assert!(before.iter().all(|(path, file)| with_third[path] == *file));
    assert_eq!(with_third.len(), before.len() + 6);
}

#[test]
fn what_is_something_else_is_replaced_only_by_force_and_a_copy_is_kept() {
    let workplace = Workplace::new();
    generate(&workplace, &[]).success();
    let before = files(&workplace);
    let moved = [
        "certs",
        "gen",
        "--cluster",
        "m1=10.0.0.9,m2=10.0.0.2,m2=m2.example.com",
    ];

    let refused = workplace.etcdrx().run(moved);
    let unchanged = files(&workplace);
    let forced = workplace.etcdrx().run([&moved[..], &["--force"]].concat());

    assert_ends(
        &refused,
        4,
        &[
            "m1/server.crt would be replaced",
            "does not answer to 10.0.0.9",
            "--force",
        ],
    );
    assert_eq!(before, unchanged);
    forced.success();
    let after = files(&workplace);
    assert_ne!(
        after[Path::new("m1/server.crt")],
        before[Path::new("m1/server.crt")]
    );
    assert_eq!(
        after[Path::new("m2/server.crt")],
        before[Path::new("m2/server.crt")]
    );
    let kept: Vec<_> = after
        .keys()
        .filter(|path| path.starts_with("replaced"))
        .collect();
    assert_eq!(kept.len(), 4, "{kept:?}");
    let old = kept
        .iter()
        .find(|path| path.ends_with("m1/server.key"))
        .unwrap();
    assert_eq!(after[*old], before[Path::new("m1/server.key")]);
}

#[test]
fn every_layout_has_the_names_of_its_custom() {
    let workplace = Workplace::new();
    let kubeadm = [
        "--layout",
        "kubeadm",
        "--out",
        "pki/kubeadm",
        "--client",
        "root",
    ];
    let cfssl = [
        "--layout",
        "cfssl",
        "--out",
        "pki/cfssl",
        "--client",
        "root",
    ];

    generate(&workplace, &kubeadm).success();
    generate(&workplace, &cfssl).success();

    let found = names(&files(&workplace));
    for name in [
        "kubeadm/m1/etcd/ca.crt",
        "kubeadm/m1/etcd/server.key",
        "kubeadm/m1/etcd/healthcheck-client.crt",
        "kubeadm/m1/apiserver-etcd-client.key",
        "kubeadm/private/ca.key",
        "cfssl/ca.pem",
        "cfssl/private/ca-key.pem",
        "cfssl/m1/server-key.pem",
        "cfssl/m1/peer-ca.pem",
        "cfssl/clients/root.pem",
    ] {
        assert!(found.iter().any(|path| path == name), "{name} in {found:?}");
    }
    assert!(
        !found
            .iter()
            .any(|path| path.contains("kubeadm/m1/etcd/peer-ca"))
    );
    let peer = certificate(&workplace.path("pki/kubeadm/m1/etcd/peer.crt"));
    assert_eq!(peer.subject.common_name.as_deref(), Some("m1"));
}

#[test]
fn with_a_single_authority_both_files_hold_it() {
    let workplace = Workplace::new();

    generate(&workplace, &["--single-ca"]).success();

    let files = files(&workplace);
    for path in ["peer-ca.crt", "m1/ca.crt", "m1/peer-ca.crt"] {
        assert_eq!(files[Path::new(path)], files[Path::new("ca.crt")], "{path}");
    }
    assert!(!files.contains_key(Path::new("private/peer-ca.key")));
}

#[test]
fn no_certificate_outlives_its_authority() {
    let workplace = Workplace::new();

    generate(
        &workplace,
        &["--ca-validity", "90d", "--validity", "43800h"],
    )
    .success();

    let authority = certificate(&workplace.path("pki/ca.crt"));
    let leaf = certificate(&workplace.path("pki/m1/server.crt"));
    assert_eq!(leaf.not_after, authority.not_after);
}

#[test]
fn without_the_authoritys_key_nothing_new_is_made() {
    let workplace = Workplace::new();
    generate(&workplace, &[]).success();
    fs::rename(workplace.path("pki/private"), workplace.path("safe")).unwrap();
    let before = files(&workplace);

    generate(&workplace, &[]).success();
    let grown = ["certs", "gen", "--cluster", "m4=10.0.0.4"];
    let output = workplace.etcdrx().run(grown);

    assert_ends(&output, 2, &["ca.key is missing", "nothing was written"]);
    assert_eq!(files(&workplace), before);
}

#[test]
fn a_file_that_is_none_of_ours_stops_it_before_anything_is_written() {
    let workplace = Workplace::new();
    generate(&workplace, &[]).success();
    let others = Workplace::new();
    generate(&others, &[]).success();
    let other = |path: &str| others.path(&format!("pki/{path}"));
    let cases: [(&str, Vec<u8>, i32, &str); 6] = [
        (
            "m1/server.key",
            fs::read(other("m1/server.key")).unwrap(),
            4,
            "another's",
        ),
        (
            "m1/server.crt",
            fs::read(other("m1/server.crt")).unwrap(),
            4,
            "another's",
        ),
        (
            "m1/ca.crt",
            fs::read(other("m1/ca.crt")).unwrap(),
            4,
            "not the authority",
        ),
        (
            "private/ca.key",
            fs::read(other("private/ca.key")).unwrap(),
            4,
            "another certificate",
        ),
        ("ca.crt", b"nonsense".to_vec(), 2, "holds no certificate"),
        ("private/ca.key", b"nonsense".to_vec(), 2, "no private key"),
    ];

    for (path, bytes, code, word) in cases {
        let path = workplace.path(&format!("pki/{path}"));
        let own = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let before = files(&workplace);

        let output = generate(&workplace, &[]);

        assert_ends(&output, code, &[word]);
        assert_eq!(files(&workplace), before);
        fs::write(&path, own).unwrap();
    }
}

#[test]
fn what_cannot_be_a_cluster_is_told_in_words() {
    let workplace = Workplace::new();
    let cases: [(&[&str], &str); 9] = [
        (&["--cluster", "10.0.0.1"], "expected NAME=HOST"),
        (&["--cluster", "m1=my host"], "only letters"),
        (
            &["--cluster", "m1=10.0.0.1,m2=10.0.0.1"],
            "is of `m1` and of `m2`",
        ),
        (&["--cluster", "m1=0.0.0.0"], "every address"),
        (&["--cluster", "../m1=10.0.0.1"], "no name for a member"),
        (
            &["--cluster", "m1=10.0.0.1", "--san", "m9=10.0.0.3"],
            "no member",
        ),
        (
            &["--cluster", "m1=10.0.0.1", "--validity", "soon"],
            "no length of time",
        ),
        (
            &["--cluster", "m1=10.0.0.1", "--key-type", "dsa"],
            "expected one of",
        ),
        (&[], "the cluster has no members"),
    ];

    for (arguments, word) in cases {
        let output = workplace
            .etcdrx()
            .run([&["certs", "gen"], arguments].concat());
        assert_ends(&output, 2, &[word]);
    }
    assert!(!workplace.path("pki").exists());
}

#[test]
fn three_hundred_names_and_ipv6_find_room() {
    let workplace = Workplace::new();
    let names: Vec<String> = (0..300).map(|n| format!("n{n}.etcd.example.com")).collect();
    let cluster = "m1=https://[fd00::1]:2380,m2=fd00::2";
    let san = names.join(",");

    let arguments = ["certs", "gen", "--cluster", cluster, "--san", &san];
    workplace.etcdrx().run(arguments).success();

    let hosts = certificate(&workplace.path("pki/m1/server.crt")).hosts();
    assert_eq!(hosts.len(), 304);
    assert!(hosts.contains(&"fd00::1".parse().unwrap()));
}

#[test]
fn a_sites_own_profile_is_taken_and_one_that_etcd_would_refuse_is_not() {
    let workplace = Workplace::new();
    let profiles = workplace.path("profiles");
    fs::create_dir(&profiles).unwrap();
    let own = "signed_by = \"ca\"\ncommon_name = \"{name}.clients\"\norganization = \"site\"\n\
               extended_key_usage = [\"clientAuth\"]\nvalidity = \"30d\"\n";
    fs::write(profiles.join("client.toml"), own).unwrap();

    generate(&workplace, &["--profiles", "profiles"]).success();
    fs::write(profiles.join("server.toml"), own).unwrap();
    let refused = generate(&workplace, &["--profiles", "profiles", "--out", "other"]);

    let root = certificate(&workplace.path("pki/clients/root.crt"));
    assert_eq!(root.subject.common_name.as_deref(), Some("root.clients"));
    assert_ends(&refused, 2, &["the profile `server`", "lacks serverAuth"]);
    assert!(!workplace.path("other").exists());
}
