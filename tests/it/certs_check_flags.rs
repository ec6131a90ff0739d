//! `etcdrx certs check` with flags of etcd: what they undo, and the names and lists that they tell of.

use std::fs;

use rcgen::{CertificateRevocationListParams, SanType, SerialNumber};

use crate::certs_check_setup::Pki;
use crate::certs_forge::{Authority, DAY};

#[test]
fn names_are_held_against_the_flags() {
    let pki = Pki::good();
    pki.server(|_| ());
    pki.peer(|_| ());
    let config = pki.config("", "").display().to_string();

    let found = pki.codes(&["--config-file", &config]);
    let hosts = pki.codes(&[
        "--hosts",
        "etcd.example.com",
        "--inventory",
        &pki.folder.path().to_string_lossy(),
    ]);

    let expected = ["v08-host-missing", "v09-host-missing"];
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    assert!(hosts.contains("v08-host-missing"), "{hosts:?}");
}

#[test]
fn peers_are_held_against_where_they_come_from() {
    let pki = Pki::good();
    let one = pki.config("", "").display().to_string();
    let two = pki.path("two.yml");
    fs::write(
        &two,
        fs::read_to_string(&one)
            .unwrap()
            .replace("name: m1", "name: m2"),
    )
    .unwrap();
    pki.peer(|params| {
        params.subject_alt_names = vec![SanType::IpAddress("10.0.0.9".parse().unwrap())];
    });

    let found = pki.codes(&[
        "--config-file",
        &one,
        "--config-file",
        &two.to_string_lossy(),
    ]);

    let expected = ["f05-same-certificate", "v09-host-missing", "v09-source"];
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn an_inventory_with_configurations_knows_where_its_members_are() {
    let pki = Pki::good();
    let inventory = pki.folder.path().to_string_lossy();
    for (member, address) in [("m1", "10.0.0.1"), ("m2", "10.0.0.7")] {
        let url = format!("https://{address}:2380");
        let config = format!("name: {member}\ninitial-advertise-peer-urls: {url}\n");
        fs::write(pki.path(&format!("{member}/etcd.conf.yml")), config).unwrap();
    }

    let output = pki.check(&["--inventory", &inventory]);

    let findings = output.json();
    let findings = findings["findings"].as_array().unwrap().iter();
    let messages: Vec<&str> = findings
        .map(|one| one["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    // One member cannot be reached, and is not let in by the others: both are of m2.
    assert!(
        messages
            .iter()
            .all(|words| words.contains("/m2/peer.crt: ")),
        "{messages:?}"
    );
    assert!(
        messages[1].contains("from 10.0.0.7 the other members accept it only if the DNS"),
        "{messages:?}"
    );
}

#[test]
fn flags_that_undo_the_certificates_are_found() {
    let cases = [
        (
            "",
            "  allowed-hostname: x",
            "c01-allowed-hostname-and-gateway",
        ),
        ("", "  crl-file: /x", "c01-ignored-key"),
        ("client-crl-file: /x", "", "c01-ignored-key"),
        (
            "cipher-suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]",
            "",
            "c01-cipher-suites",
        ),
    ];
    for (top, section, code) in cases {
        let pki = Pki::good();
        let config = pki.config(top, section).display().to_string();
        let found = pki.codes(&["--config-file", &config]);
        assert_eq!(found.iter().collect::<Vec<_>>(), [code], "{top}{section}");
    }
}

#[test]
fn flags_of_a_unit_are_found_wanting() {
    let pki = Pki::good();
    let found = |flags: &str, more: &[&str]| {
        let unit = pki.path("etcd.service");
        let text = format!("[Service]\nExecStart=/usr/bin/etcd --name m1 {flags}\n");
        fs::write(&unit, text).unwrap();
        let unit = unit.display().to_string();
        pki.codes(&[&["--unit", &unit], more].concat())
    };
    let ca = pki.path("m1/ca.crt").display().to_string();
    let cert = pki.path("m1/server.crt").display().to_string();
    let cases = [
        (format!("--trusted-ca-file={ca}"), "c01-no-client-cert-auth"),
        (
            format!("--auto-tls --client-cert-auth --trusted-ca-file={ca}"),
            "c01-auto-tls",
        ),
        (
            format!("--cert-file={cert} --listen-client-urls=http://10.0.0.1:2379"),
            "c01-plaintext",
        ),
        (
            "--peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b".to_owned(),
            "c01-allowed-cn-and-hostname",
        ),
        (
            "\nExecReload=/bin/kill -HUP $MAINPID".to_owned(),
            "c01-hangup",
        ),
        ("--ca-file=/x".to_owned(), "c02-flag-gone"),
    ];
    for (flags, code) in &cases {
        let found = found(flags, &[]);
        assert_eq!(found.iter().collect::<Vec<_>>(), [code], "{flags}");
    }
    let old = "--experimental-peer-skip-client-san-verification";
    assert!(found(old, &["--for-version", "3.6"]).is_empty());
    assert!(found(old, &["--for-version", "3.7"]).contains("c02-flag-gone"));
    assert!(found("--enable-v2", &["--for-version", "3.6"]).contains("c02-flag-gone"));
    let metrics = format!(
        "--listen-metrics-urls=https://10.0.0.1:2381 --client-cert-auth --trusted-ca-file={ca}"
    );
    let client = found(&metrics, &["--client-cert", &cert, "--trusted-ca", &ca]);
    assert!(client.contains("v07-client-has-names"), "{client:?}");
}

#[test]
fn revocation_lists_that_refuse_everybody_are_found() {
    let pki = Pki::good();
    let list = |by: &Authority, next: i64| {
        let mut leaf = Authority::params("x");
        leaf.not_after = leaf.not_before + DAY * u32::try_from(next.abs()).unwrap();
        let params = CertificateRevocationListParams {
            this_update: leaf.not_before - DAY,
            next_update: if next < 0 {
                leaf.not_before
            } else {
                leaf.not_after
            },
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&by.0).unwrap()
    };
    let ca = pki.path("m1/ca.crt").display().to_string();
    let found = |content: &[u8]| {
        pki.write("crl", content);
        let crl = pki.path("crl").display().to_string();
        let unit = pki.path("etcd.service");
        let flags = format!("--client-cert-auth --trusted-ca-file={ca} --client-crl-file={crl}");
        fs::write(&unit, format!("ExecStart=/usr/bin/etcd {flags}\n")).unwrap();
        let codes = pki.codes(&["--unit", &unit.to_string_lossy()]);
        codes.into_iter().collect::<Vec<_>>()
    };
    let good = list(&pki.ca, 30);

    assert!(found(good.der()).is_empty());
    assert_eq!(found(good.pem().unwrap().as_bytes()), ["v15-pem"]);
    assert_eq!(
        found(&[good.der().as_ref(), good.der()].concat()),
        ["v15-more-than-one"]
    );
    assert_eq!(found(b"text"), ["v15-damaged"]);
    assert_eq!(
        found(list(&pki.peer_ca, 30).der()),
        ["v15-of-another-authority"]
    );
    assert_eq!(found(list(&pki.ca, -1).der()), ["v15-overdue"]);
    fs::remove_file(pki.path("crl")).unwrap();
}
