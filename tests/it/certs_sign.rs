//! `etcdrx certs issue`, `csr`, `sign` and `import`: single certificates, keys that stay elsewhere, authorities that were there.

use std::fs;
use std::process::Command;

use chrono::Utc;
use etcdrx::certs::authority::Authority;
use etcdrx::certs::pem;
use etcdrx::certs::profile::{Kind, Profile};

use crate::certs_generate::certificate;
use crate::scratch::{Etcdrx, require};
use crate::setup::{Workplace, assert_ends};

fn openssl(workplace: &Workplace, line: &str) {
    let mut command = Command::new("openssl");
    command.args(line.split_whitespace());
    command.current_dir(workplace.path("."));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

fn begin(workplace: &Workplace) -> Etcdrx {
    let etcdrx = workplace.etcdrx();
    etcdrx.run(["certs", "init"]).success();
    etcdrx
}

#[test]
fn one_certificate_is_issued_and_issued_again_it_is_left_alone() {
    let workplace = Workplace::new();
    let etcdrx = begin(&workplace);
    let server = [
        "certs",
        "issue",
        "server",
        "m1",
        "--host",
        "10.0.0.1,m1.example.com",
    ];

    etcdrx.run(server).success();
    let first = fs::read(workplace.path("pki/m1/server.crt")).unwrap();
    etcdrx.run(server).success();
    etcdrx.run(["certs", "issue", "client", "alice"]).success();

    assert_eq!(
        fs::read(workplace.path("pki/m1/server.crt")).unwrap(),
        first
    );
    let alice = certificate(&workplace.path("pki/clients/alice.crt"));
    assert_eq!(alice.subject.common_name.as_deref(), Some("alice"));
    let without = etcdrx.run(["certs", "issue", "peer", "m1"]);
    assert_ends(&without, 2, &["needs the names and addresses"]);
    let with = etcdrx.run(["certs", "issue", "client", "bob", "--host", "10.0.0.7"]);
    assert_ends(&with, 2, &["holds no names"]);
}

#[test]
fn a_key_can_stay_on_its_member() {
    let authority = Workplace::new();
    let at_authority = begin(&authority);
    let member = Workplace::new();
    let csr = ["certs", "csr", "peer", "m1", "--host", "10.0.0.1"];

    member.etcdrx().run(csr).success();
    fs::copy(member.path("pki/m1/peer.csr"), authority.path("peer.csr")).unwrap();
    let sign = [
        "certs", "sign", "peer.csr", "--kind", "peer", "--name", "m1",
    ];
    at_authority.run(sign).success();
    let again = at_authority.run(sign);
    let into = [&sign[..], &["-o", "pki/m1.crt"]].concat();
    at_authority.run(into).success();

    let signed = certificate(&authority.path("peer.crt"));
    let key = fs::read(member.path("pki/m1/peer.key")).unwrap();
    let key = etcdrx::certs::key::PrivateKey::from_pem(&key).unwrap();
    assert!(key.fits(&signed));
    assert!(signed.hosts().contains(&"10.0.0.1".parse().unwrap()));
    assert!(!authority.path("pki/m1").exists());
    assert_ends(&again, 4, &["peer.crt would be replaced"]);
}

/// openssl's habit: a P-384 key and a request signed with SHA-256, from which rcgen alone makes a broken certificate; and a
/// request that asks to become an authority.
#[test]
fn foreign_requests_get_what_the_profile_says_and_no_more() {
    require!("openssl");
    let workplace = Workplace::new();
    let etcdrx = begin(&workplace);
    openssl(
        &workplace,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout k.key -out k.csr -subj /CN=x -sha256 \
         -addext subjectAltName=IP:10.0.0.1,DNS:m1 -addext basicConstraints=critical,CA:TRUE \
         -addext keyUsage=keyCertSign -addext extendedKeyUsage=codeSigning -addext subjectKeyIdentifier=hash",
    );

    etcdrx
        .run(["certs", "sign", "k.csr", "--kind", "server", "--name", "m1"])
        .success();

    let signed = certificate(&workplace.path("k.crt"));
    assert!(!signed.is_authority());
    let usage = signed.extended_key_usage.unwrap();
    assert!(usage.server_auth && usage.client_auth && usage.others.is_empty());
    assert_eq!(signed.subject.common_name.as_deref(), Some("m1"));
    openssl(
        &workplace,
        "verify -CAfile pki/ca.crt -purpose sslserver k.crt",
    );
    openssl(
        &workplace,
        "verify -CAfile pki/ca.crt -purpose sslclient k.crt",
    );
}

/// Only the client port's authority is here: for the peer port nothing can be signed, and nobody is made to sign it.
#[test]
fn nothing_is_signed_by_an_authority_that_is_not_there() {
    require!("openssl");
    let workplace = Workplace::new();
    let etcdrx = workplace.etcdrx();
    openssl(
        &workplace,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=x -days 9",
    );
    etcdrx
        .run(["certs", "import", "--ca", "ca.crt", "--ca-key", "ca.key"])
        .success();
    etcdrx
        .run([
            "certs", "csr", "peer", "m1", "--host", "10.0.0.1", "--out", "member",
        ])
        .success();
    let sign = |kind: &str| {
        etcdrx.run([
            "certs",
            "sign",
            "member/m1/peer.csr",
            "--kind",
            kind,
            "--name",
            "m1",
            "-o",
            "out.crt",
        ])
    };

    let peer = sign("peer");
    let server = sign("server");

    assert_ends(&peer, 2, &["peer-ca.crt is not there"]);
    server.success();
    assert!(!workplace.path("pki/peer-ca.crt").exists());
}

#[test]
fn authorities_in_every_customary_form_are_taken() {
    require!("openssl");
    for (name, make) in [
        ("SEC 1", "ecparam -name prime256v1 -genkey -out ca.key"),
        (
            "SEC 1 alone",
            "ecparam -name secp384r1 -genkey -noout -out ca.key",
        ),
        ("PKCS#1", "genrsa -traditional -out ca.key 2048"),
        ("PKCS#8", "genrsa -out ca.key 3072"),
        ("Ed25519", "genpkey -algorithm ed25519 -out ca.key"),
    ] {
        let workplace = Workplace::new();
        let etcdrx = workplace.etcdrx();
        openssl(&workplace, make);
        openssl(
            &workplace,
            "req -x509 -new -key ca.key -out ca.crt -days 3650 -subj /O=Site/CN=site-ca",
        );

        let import = [
            "certs",
            "import",
            "--ca",
            "ca.crt",
            "--ca-key",
            "ca.key",
            "--single-ca",
        ];
        etcdrx.run(import).success();
        let cluster = ["certs", "gen", "--cluster", "m1=10.0.0.1", "--single-ca"];
        etcdrx.run(cluster).success();

        for purpose in ["sslserver", "sslclient"] {
            let line = format!("verify -CAfile ca.crt -purpose {purpose} pki/m1/server.crt");
            openssl(&workplace, &line);
        }
        let leaf = certificate(&workplace.path("pki/m1/peer.crt"));
        assert!(leaf.issuer.text.contains("site-ca"), "{name}");
    }
}

#[test]
fn an_authority_that_would_issue_what_etcd_refuses_is_not_taken() {
    require!("openssl");
    let key = "ecparam -name prime256v1 -genkey -noout -out ca.key";
    let twice = "/DC=com/DC=example/OU=a/OU=b/CN=ad-ca";
    let cases: [(&str, String, i32, &str); 6] = [
        (
            "a name with an attribute twice",
            format!("-days 99 -subj {twice}"),
            4,
            "byte for byte",
        ),
        (
            "no authority",
            "-days 9 -subj /CN=x -addext basicConstraints=critical,CA:FALSE".to_owned(),
            4,
            "not an authority",
        ),
        (
            "may not sign",
            "-days 9 -subj /CN=x -addext keyUsage=digitalSignature".to_owned(),
            4,
            "does not let it sign",
        ),
        (
            "narrow",
            "-days 9 -subj /CN=x -addext extendedKeyUsage=serverAuth".to_owned(),
            4,
            "narrows",
        ),
        (
            "an extension nobody knows",
            "-days 9 -subj /CN=x -addext 1.2.3.4=critical,ASN1:NULL".to_owned(),
            4,
            "critical extension",
        ),
        ("good", "-days 9 -subj /CN=x".to_owned(), 0, ""),
    ];
    for (what, arguments, code, word) in cases {
        let workplace = Workplace::new();
        openssl(&workplace, key);
        openssl(
            &workplace,
            &format!("req -x509 -new -key ca.key -out ca.crt {arguments}"),
        );

        let import = ["certs", "import", "--ca", "ca.crt", "--ca-key", "ca.key"];
        let output = workplace.etcdrx().run(import);

        assert_eq!(output.code, code, "{what}: {output:?}");
        assert!(output.stderr.contains(word), "{what}: {output:?}");
        assert_eq!(workplace.path("pki/ca.crt").exists(), code == 0, "{what}");
    }
}

#[test]
fn an_authority_that_has_ended_or_not_begun_is_not_taken() {
    let day = chrono::Duration::days(1);
    let profile = Profile::embedded(Kind::Ca);
    for (begins, word) in [
        (Utc::now() - profile.validity - day, "it expired"),
        (Utc::now() + day, "is this clock right?"),
    ] {
        let workplace = Workplace::new();
        let made = Authority::create(&profile, None, begins).unwrap();
        let text = pem::write("CERTIFICATE", made.certificate.der());
        fs::write(workplace.path("ca.crt"), text).unwrap();
        fs::write(workplace.path("ca.key"), made.key.to_pem()).unwrap();

        let import = ["certs", "import", "--ca", "ca.crt", "--ca-key", "ca.key"];
        let output = workplace.etcdrx().run(import);

        assert_ends(&output, 4, &[word]);
    }
}

/// The authority permits 10.0.0.0/8 only: what is outside is refused before it is written.
#[test]
fn names_that_the_authority_may_not_certify_are_refused() {
    require!("openssl");
    let workplace = Workplace::new();
    let etcdrx = workplace.etcdrx();
    openssl(
        &workplace,
        "ecparam -name prime256v1 -genkey -noout -out ca.key",
    );
    openssl(
        &workplace,
        "req -x509 -new -key ca.key -out ca.crt -days 9 -subj /CN=narrow \
         -addext nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0,permitted;DNS:localhost",
    );
    let import = ["certs", "import", "--ca", "ca.crt", "--ca-key", "ca.key"];
    etcdrx.run(import).success();

    let outside = etcdrx.run(["certs", "issue", "server", "m1", "--host", "192.168.0.1"]);

    assert_eq!(outside.code, 4, "{outside:?}");
    assert!(
        outside.stderr.contains("nothing was written"),
        "{outside:?}"
    );
    assert!(!workplace.path("pki/m1").exists());
}

#[test]
fn keys_and_requests_that_cannot_be_used_are_told_in_words() {
    require!("openssl");
    let workplace = Workplace::new();
    let etcdrx = workplace.etcdrx();
    openssl(
        &workplace,
        "genrsa -aes128 -passout pass:secret -out locked.key 2048",
    );
    openssl(
        &workplace,
        "genrsa -traditional -aes128 -passout pass:secret -out locked-old.key 2048",
    );
    openssl(
        &workplace,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=x -days 9",
    );
    openssl(&workplace, "genrsa -out other.key 2048");
    fs::write(workplace.path("empty.csr"), "").unwrap();
    let import = |key: &str| etcdrx.run(["certs", "import", "--ca", "ca.crt", "--ca-key", key]);

    assert_ends(&import("locked.key"), 2, &["is encrypted", "openssl pkey"]);
    assert_ends(&import("locked-old.key"), 2, &["is encrypted"]);
    assert_ends(
        &import("other.key"),
        4,
        &["the key belongs to another certificate"],
    );
    assert_ends(&import("ca.crt"), 2, &["no private key"]);
    assert_ends(&import("missing.key"), 2, &["missing.key is not there"]);
    let sign = |file: &str| etcdrx.run(["certs", "sign", file, "--kind", "client", "--name", "a"]);
    assert_ends(&sign("empty.csr"), 2, &["no certificate signing request"]);
    assert_ends(&sign("missing.csr"), 2, &["missing.csr"]);
    assert!(!workplace.path("pki").exists());
}
