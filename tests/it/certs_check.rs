//! `etcdrx certs check`, `show` and `expiry`, on certificates that are broken in one way each.

use std::collections::BTreeSet;
use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SerialNumber,
};
use tempfile::TempDir;

use crate::certs_check_setup::{Pki, client, codes, etcdrx};
use crate::certs_forge::{Authority, DAY, Openssl, dns, expired, not_yet};
use crate::scratch::tools::function_name;

/// One thing done to good certificates, and all that is found then.
type Case = (&'static str, fn(&mut Pki), &'static [&'static str]);

fn assert_found(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (name, breaks, expected) in cases {
        let mut pki = Pki::good();
        breaks(&mut pki);
        let output = pki.check(&[]);
        let expected: BTreeSet<String> = expected.iter().map(|&code| code.to_owned()).collect();
        let severe = output.stdout.contains("\"severity\": \"error\"");
        if codes(&output) != expected || (output.code == 3) != severe {
            wrong.push(format!("{name}: {:?}, {}", codes(&output), output.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_certificates_have_no_findings() {
    let pki = Pki::good();
    let output = pki.check(&["--strict"]).success();
    assert!(codes(&output).is_empty(), "{output:?}");
    let config = pki.config("", "").display().to_string();
    let output = pki.check(&["--config-file", &config, "--strict"]).success();
    assert!(codes(&output).is_empty(), "{output:?}");
}

#[test]
fn files_that_etcd_cannot_use_are_found() {
    assert_found(&[
        (
            "no key",
            |pki| fs::remove_file(pki.path("m1/server.key")).unwrap(),
            &["f01-unreadable"],
        ),
        (
            "empty certificate",
            |pki| pki.write("m1/server.crt", ""),
            &["f01-no-certificate"],
        ),
        (
            "empty authority",
            |pki| pki.write("m1/ca.crt", ""),
            &[
                "f01-trusts-nobody",
                "t01-not-trusted-by-member",
                "v03-untrusted",
            ],
        ),
        (
            "authority and its key",
            |pki| pki.write("m1/ca.crt", pki.ca.pem() + &pki.ca.forged().key),
            &["f02-trust-file"],
        ),
        (
            "another key",
            |pki| pki.write("m1/server.key", pki.read("m2/server.key")),
            &["f03-key-of-another"],
        ),
        (
            "no key in the key file",
            |pki| pki.write("m1/server.key", "text"),
            &["f03-key"],
        ),
        (
            "authority first",
            |pki| pki.write("m1/server.crt", pki.ca.pem() + &pki.read("m1/server.crt")),
            &["f03-order", "v08-no-names", "v11-authority-as-leaf"],
        ),
        (
            "key for everybody",
            |pki| pki.mode("m1/server.key", 0o644),
            &["f04-key-mode"],
        ),
        (
            "key of the authority",
            |pki| pki.write("m1/ca.key", pki.ca.forged().key),
            &["f04-authority-key-on-member"],
        ),
        (
            "one certificate for two",
            |pki| {
                pki.write("m1/server.crt", pki.read("m2/server.crt"));
                pki.write("m1/server.key", pki.read("m2/server.key"));
            },
            &["f05-same-certificate"],
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn certificates_that_etcd_refuses_are_found() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    assert_found(&[
        (
            "expired",
            |pki| pki.server(expired),
            &["t01-not-trusted-by-member", "v01-expired"],
        ),
        (
            "not yet valid",
            |pki| pki.server(not_yet),
            &["t01-not-trusted-by-member", "v01-not-yet-valid"],
        ),
        (
            "ends soon",
            |pki| pki.server(|params| params.not_after = params.not_before + DAY * 3),
            &["v02-ends-soon"],
        ),
        (
            "ends in a while",
            |pki| pki.server(|params| params.not_after = params.not_before + DAY * 20),
            &["v02-ends-soon"],
        ),
        (
            "ends after its authority",
            |pki| pki.server(|params| params.not_after += DAY * 8000),
            &["v02-outlives-authority"],
        ),
        (
            "of another authority",
            |pki| pki.write_pair("m1/server", &Authority::root("x", |_| ()).leaf(|_| ())),
            &["t01-not-trusted-by-member", "v03-untrusted"],
        ),
        (
            "server for servers only",
            |pki| pki.server(|params| params.extended_key_usages = vec![ServerAuth]),
            &["v05-server-lacks-client-auth"],
        ),
        (
            "server for clients only",
            |pki| pki.server(|params| params.extended_key_usages = vec![ClientAuth]),
            &["t01-not-trusted-by-member", "v05-server-lacks-server-auth"],
        ),
        (
            "peer for servers only",
            |pki| pki.peer(|params| params.extended_key_usages = vec![ServerAuth]),
            &["t01-not-trusted-by-member", "v06-peer-lacks-client-auth"],
        ),
        (
            "peer for clients only",
            |pki| pki.peer(|params| params.extended_key_usages = vec![ClientAuth]),
            &["t01-not-trusted-by-member", "v06-peer-lacks-server-auth"],
        ),
        (
            "client for servers only",
            |pki| {
                let leaf = pki.ca.leaf(|params| {
                    client(params);
                    params.extended_key_usages = vec![ServerAuth];
                });
                pki.write_pair("clients/root", &leaf);
            },
            &["v07-client-lacks-client-auth"],
        ),
        (
            "client without a name",
            |pki| {
                let leaf = pki.ca.leaf(|params| {
                    client(params);
                    params.distinguished_name = crate::certs_forge::common_name("");
                });
                pki.write_pair("clients/root", &leaf);
            },
            &["v07-client-without-user"],
        ),
        (
            "server without names",
            |pki| pki.server(|params| params.subject_alt_names = vec![]),
            &["v08-no-names"],
        ),
        (
            "peer without names",
            |pki| pki.peer(|params| params.subject_alt_names = vec![]),
            &["v09-no-names"],
        ),
        (
            "peer without addresses",
            |pki| pki.peer(|params| params.subject_alt_names = vec![dns("*.example.com")]),
            &["v09-no-address"],
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn certificates_that_break_elsewhere_are_found() {
    assert_found(&[
        (
            "P-521",
            |pki| {
                let leaf = pki.ca.leaf_with(&rcgen::PKCS_ECDSA_P521_SHA512, |_| ());
                pki.write_pair("m1/server", &leaf);
            },
            &["v10-rare-key"],
        ),
        (
            "CA:TRUE",
            |pki| pki.server(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            &["v11-authority-as-leaf"],
        ),
        (
            "keyEncipherment only",
            |pki| pki.server(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            &["v11-key-encipherment-only"],
        ),
        (
            "short serial number",
            |pki| pki.server(|params| params.serial_number = Some(SerialNumber::from(5))),
            &["v12-short-serial"],
        ),
        (
            "serial number twice",
            |pki| {
                let number = |params: &mut CertificateParams| {
                    params.serial_number = Some(SerialNumber::from(vec![5; 16]));
                };
                pki.server(number);
                pki.write_pair("m2/server", &pki.ca.leaf(number));
            },
            &["v12-serial-twice"],
        ),
        (
            "one authority for clients and peers",
            |pki| {
                for member in ["m1", "m2", "m3"] {
                    pki.write(
                        &format!("{member}/peer-ca.crt"),
                        pki.ca.pem() + &pki.peer_ca.pem(),
                    );
                }
            },
            &["v13-shared-authority"],
        ),
        (
            "two authorities of one name",
            |pki| {
                let twin = Authority::root("etcd-ca", |_| ());
                pki.write("m1/ca.crt", pki.ca.pem() + &twin.pem());
            },
            &["v14-same-subject"],
        ),
        (
            "an expired authority in a bundle",
            |pki| {
                pki.write(
                    "m1/ca.crt",
                    pki.ca.pem() + &Authority::root("x", expired).pem(),
                );
            },
            &["v14-expired-authority"],
        ),
        (
            "half-done change of the authority",
            |pki| {
                let new = Authority::root("etcd-peer-ca-2", |_| ());
                pki.write_pair("m1/peer", &new.leaf(|_| ()));
                pki.write("m1/peer-ca.crt", pki.peer_ca.pem() + &new.pem());
            },
            &["t01-not-trusted-by-member"],
        ),
    ]);
}

#[test]
fn authorities_that_cannot_sign_are_found() {
    let member = "t01-not-trusted-by-member";
    let of = |change: fn(&mut CertificateParams)| {
        let mut pki = Pki::good();
        pki.authority(change);
        pki.codes(&[])
    };
    let set = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();

    let expected: BTreeSet<String> =
        set(&[member, "v01-authority-expired", "v01-authority-not-in-date"]);
    assert_eq!(of(expired), expected);
    let expected: BTreeSet<String> =
        set(&[member, "v04-authority-may-not-sign", "v04-no-crl-sign"]);
    let no_sign = |params: &mut CertificateParams| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    };
    assert_eq!(of(no_sign), expected);
    let expected: BTreeSet<String> =
        set(&[member, "v04-authority-may-not-sign", "v04-not-an-authority"]);
    assert_eq!(of(|params| params.is_ca = IsCa::ExplicitNoCa), expected);
    let expected: BTreeSet<String> = set(&["v04-authority-narrows-usage"]);
    let narrow = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    assert_eq!(of(narrow), expected);
    let ends_soon =
        |params: &mut CertificateParams| params.not_after = params.not_before + DAY * 60;
    let found = of(ends_soon);
    assert!(found.contains("v02-authority-ends-soon"), "{found:?}");
}

/// Extensions of a leaf that `openssl` makes.
const LEAF: &str = "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost\n";

#[test]
fn weak_signatures_and_keys_are_found() {
    let Some(openssl) = Openssl::find(&function_name!()) else {
        return;
    };
    let pki = Pki::good();
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
    let long = "-set_serial 0x0123456789abcdef01";
    let found = |key: &str, extensions: &str, more: &str| {
        let leaf = openssl.leaf(&pki.ca.forged(), key, extensions, &format!("{more} {long}"));
        pki.write_pair("m1/server", &leaf);
        pki.codes(&[])
    };

    assert!(found(p256, LEAF, "-sha1").contains("v10-weak-signature"));
    assert!(found(rsa, LEAF, "").contains("v10-weak-key"));
    assert!(found(p256, "", "").contains("v11-old-version"));
    let critical = format!("{LEAF}1.2.3.4=critical,DER:0500\n");
    assert!(found(p256, &critical, "").contains("v11-unknown-critical-extension"));
    let secp256k1 = "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1";
    assert!(found(secp256k1, LEAF, "").contains("f02-certificate"));
}

/// etcd verifies what a P-224 key signed, and this program cannot: it says so, and does not call it refused.
#[test]
fn a_signature_that_cannot_be_verified_here_is_a_warning() {
    let Some(openssl) = Openssl::find(&function_name!()) else {
        return;
    };
    let pki = Pki::good();
    let p224 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-224";
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
    let root = openssl.root("unusual", p224, authority, "");
    let long = "-set_serial 0x0123456789abcdef01";
    let leaf = openssl.leaf(&root, p256, LEAF, long);
    pki.write_pair("m1/server", &leaf);
    for member in ["m1", "m2", "m3"] {
        pki.write(&format!("{member}/ca.crt"), pki.ca.pem() + &root.cert);
    }

    let output = pki.check(&[]);

    let found = codes(&output);
    assert!(found.contains("v10-not-verifiable"), "{output:?}");
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn warnings_count_only_where_it_is_strict() {
    let pki = Pki::good();
    pki.mode("m1/server.key", 0o644);

    assert_eq!(pki.check(&[]).code, 0);
    assert_eq!(pki.check(&["--strict"]).code, 3);
    let directory = pki.folder.path().to_string_lossy();
    let output = etcdrx(pki.folder.path())
        .run(["certs", "check", &directory])
        .success();
    assert_eq!(
        output.stdout.lines().last(),
        Some("0 errors and 1 warning for 3 members, 1 client")
    );
    let nothing = TempDir::new().unwrap();
    let output = etcdrx(nothing.path()).run(["certs", "check", "."]);
    assert_eq!(output.code, 2, "{output:?}");
}

#[test]
fn certificates_are_shown_and_their_ends_told() {
    let pki = Pki::good();
    pki.server(|params| params.not_after = params.not_before + DAY * 20);
    let program = etcdrx(pki.folder.path());

    let shown = program.run([
        "--json",
        "certs",
        "show",
        "ca.crt",
        "m1/server.crt",
        "clients/root.crt",
    ]);
    let words = program.run(["certs", "show", "m1/server.crt"]).success();
    let due = program.run(["certs", "expiry", ".", "--prometheus", "certs.prom"]);
    let fine = program
        .run(["--json", "certs", "expiry", ".", "--within", "5d"])
        .success();
    let key = program.run(["certs", "show", "m1/server.key"]);

    let shown = shown.success().json();
    let roles = shown["certificates"].as_array().unwrap().iter();
    let roles: Vec<&str> = roles.map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["ca", "member", "client"]);
    assert!(
        words.stdout.contains("names        localhost, 127.0.0.1\n"),
        "{words:?}"
    );
    assert!(words.stdout.contains("(18 days left)"), "{words:?}");
    assert_eq!(due.code, 3, "{due:?}");
    let first = due.stdout.lines().nth(1).unwrap();
    assert!(
        first.starts_with("./m1/server.crt ") && first.contains("18d DUE"),
        "{first}"
    );
    let metrics = pki.read("certs.prom");
    let line = "etcdrx_cert_not_after_seconds{path=\"./m1/server.crt\",role=\"member\"} ";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(fine.json()["certificates"].as_array().unwrap().len(), 15);
    assert_eq!(key.code, 2, "{key:?}");
}
