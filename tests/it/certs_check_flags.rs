//! `etcdrx certs check` with flags of etcd: what they undo, and the names and lists that they tell of.

use std::fs;

use rcgen::SanType;

use crate::certs_check_setup::{Pki, codes};
use crate::certs_forge::{DAY, Forged, expired};

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
fn what_keeps_etcd_from_starting_is_found() {
    const NEEDED: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    let pki = Pki::good();
    let cert = pki.path("m1/server.crt").display().to_string();
    let of_rsa = format!("--cert-file={cert} --cipher-suites={NEEDED}");
    let cases = [
        ("--tls-min-version=TLS1.1", "c01-tls-version", "error"),
        (
            "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2",
            "c01-tls-version",
            "error",
        ),
        (
            &format!("--tls-min-version=TLS1.3 --cipher-suites={NEEDED}"),
            "c01-cipher-suites",
            "error",
        ),
        (&of_rsa, "c01-cipher-suites", "warning"),
        (
            &format!("{of_rsa} --tls-max-version=TLS1.2"),
            "c01-cipher-suites",
            "error",
        ),
    ];
    for (flags, code, severity) in cases {
        let unit = pki.path("etcd.service");
        fs::write(&unit, format!("ExecStart=/usr/bin/etcd {flags}\n")).unwrap();

        let output = pki.check(&["--unit", &unit.to_string_lossy()]);

        let found = codes(&output);
        assert!(found.iter().eq([code]), "{flags}: {output:?}");
        let severity = format!("\"severity\": \"{severity}\"");
        assert!(output.stdout.contains(&severity), "{flags}: {output:?}");
    }
}

#[test]
fn certificates_that_etcd_made_for_itself_end_unnoticed_but_here() {
    let pki = Pki::good();
    let config = format!(
        "client-transport-security: {{auto-tls: true}}\ndata-dir: {}\n",
        pki.folder.path().display()
    );
    fs::write(pki.path("auto.yml"), config).unwrap();
    let found = |made: &Forged| {
        pki.write("fixtures/client/cert.pem", &made.cert);
        let config = pki.path("auto.yml").display().to_string();
        let output = pki.check(&["--config-file", &config]);
        (output.code, codes(&output).into_iter().next())
    };
    let code = Some("c01-auto-tls-ends".to_owned());

    assert_eq!(found(&pki.ca.leaf(|_| ())), (0, None));
    let soon = pki
        .ca
        .leaf(|params| params.not_after = params.not_before + DAY * 20);
    assert_eq!(found(&soon), (0, code.clone()));
    assert_eq!(found(&pki.ca.leaf(expired)), (3, code));
}

/// A flag that is gone ends etcd; in a variable or in the configuration file it is passed over.
#[test]
fn what_a_release_does_not_know_is_found_wherever_it_stands() {
    let pki = Pki::good();
    let unit = pki.path("etcd.service").display().to_string();
    let of_unit = |lines: &str| {
        fs::write(&unit, lines).unwrap();
        let output = pki.check(&["--unit", &unit, "--for-version", "3.7"]);
        (output.code, codes(&output).into_iter().next())
    };
    let flag = Some("c02-flag-gone".to_owned());

    let gone = "--experimental-memory-mlock";
    assert_eq!(
        of_unit(&format!("ExecStart=etcd {gone}")),
        (3, flag.clone())
    );
    let variable = "Environment=ETCD_EXPERIMENTAL_MEMORY_MLOCK=true\nExecStart=etcd";
    assert_eq!(of_unit(variable), (0, flag.clone()));
    assert_eq!(of_unit("ExecStart=etcd --debug"), (3, flag.clone()));
    let value = Some("c02-value-gone".to_owned());
    assert_eq!(
        of_unit("ExecStart=etcd --logger=capnslog"),
        (3, value.clone())
    );
    assert_eq!(
        of_unit("ExecStart=etcd --v2-deprecation=not-yet"),
        (3, value)
    );
    let config = pki.config("enable-v2: true", "").display().to_string();
    let output = pki.check(&["--config-file", &config, "--for-version", "3.6"]);
    assert_eq!((output.code, codes(&output).into_iter().next()), (0, flag));
}

#[test]
fn one_key_for_two_ports_is_noted() {
    let pki = Pki::good();
    let path = |name: &str| pki.path(name).display().to_string();
    for kind in ["crt", "key"] {
        pki.write(
            &format!("copy.{kind}"),
            pki.read(&format!("m1/server.{kind}")),
        );
    }
    let text = format!(
        "ExecStart=etcd --cert-file={} --key-file={} --peer-cert-file={} --peer-key-file={}\n",
        path("m1/server.crt"),
        path("m1/server.key"),
        path("copy.crt"),
        path("copy.key")
    );
    fs::write(pki.path("etcd.service"), text).unwrap();

    let found = pki.codes(&["--unit", &path("etcd.service")]);

    assert!(found.iter().eq(["f05-same-key"]), "{found:?}");
}

/// With `--client-cert-file` the gateway shows that, so it is that which must be good for a client.
#[test]
fn what_the_gateway_shows_instead_must_be_good_for_a_client() {
    let pki = Pki::good();
    let servers = pki.ca.leaf(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    pki.write_pair("m1/server", &servers);
    let found = |client: &str| {
        let path = |name: &str| pki.path(name).display().to_string();
        let text = format!(
            "ExecStart=etcd --client-cert-auth --cert-file={} --key-file={} --trusted-ca-file={} \
             --client-cert-file={} --client-key-file={}\n",
            path("m1/server.crt"),
            path("m1/server.key"),
            path("m1/ca.crt"),
            path(&format!("{client}.crt")),
            path(&format!("{client}.key"))
        );
        fs::write(pki.path("etcd.service"), text).unwrap();
        pki.codes(&["--unit", &path("etcd.service")])
    };

    assert!(found("clients/root").is_empty());
    pki.write_pair("m1/gateway", &servers);
    assert!(
        found("m1/gateway")
            .iter()
            .eq(["v05-client-lacks-client-auth"])
    );
}
