//! The judge of certificates, held against tables of what etcd accepts and refuses.

use chrono::Utc;
use etcdrx::certs::Certificate;
use etcdrx::certs::judge::{
    Refusal, SourceVerdict, TrustOutcome, Usage, answers_to, judge, may_come_from, read_trust,
};
use etcdrx::certs::pem::Pem;

use crate::certs_forge::{Authority, Openssl, dns, uri};
use crate::certs_rows::{Row, rows};
use crate::scratch::tools::function_name;

#[test]
fn the_judge_says_what_was_measured_on_etcd() {
    let Some(rows) = rows(&function_name!()) else {
        return;
    };
    let mut wrong = Vec::new();

    for row in rows {
        for (usage, expected) in row.expected() {
            let found = variant(&verdict(row, usage));
            if found != expected {
                wrong.push(format!("{}, {usage}: {found}, not {expected}", row.name));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn openssl_agrees_but_where_it_is_known_not_to() {
    let test = function_name!();
    let (Some(openssl), Some(rows)) = (Openssl::find(&test), rows(&test)) else {
        return;
    };
    let mut wrong = Vec::new();

    for row in rows.iter().filter(|row| !row.openssl_differs) {
        for (usage, expected) in row.expected() {
            let purpose = format!("ssl{usage}");
            let accepts = openssl.verifies(&row.chain, &row.trusted, &purpose);
            if accepts != expected.is_empty() {
                wrong.push(format!("{}, {purpose}: {accepts}", row.name));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_names_the_certificate_and_speaks_plainly() {
    let root = Authority::root("etcd-ca", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let other = Authority::root("another-ca", |_| ());
    let leaf = root.leaf(|_| ());
    let chain = certificates(&leaf.cert);
    let trusts = |pem: &str, usage| judge(&chain, &certificates(pem), usage, Utc::now());

    let narrowed = trusts(&root.pem(), Usage::Client).unwrap_err();
    let foreign = trusts(&other.pem(), Usage::Server).unwrap_err();

    assert_eq!(
        narrowed.to_string(),
        "the authority `CN=etcd-ca` may not sign certificates of clients: its extended key usage lacks clientAuth"
    );
    assert_eq!(
        foreign.to_string(),
        "the certificate `CN=leaf` was issued by `CN=etcd-ca`, which is not a trusted authority"
    );
    assert_eq!(
        judge(&[], &[], Usage::Client, Utc::now()),
        Err(Refusal::NoCertificate)
    );
}

#[test]
fn a_server_answers_to_its_alternative_names_only() {
    let root = Authority::root("names", |_| ());
    let leaf = root.leaf(|params| {
        params.distinguished_name = crate::certs_forge::common_name("m1");
        params.subject_alt_names = vec![
            dns("Etcd.Example.com"),
            dns("*.wild.example.com"),
            dns("10.0.0.9"),
            rcgen::SanType::IpAddress("10.0.0.1".parse().unwrap()),
            rcgen::SanType::IpAddress("fd00::1".parse().unwrap()),
        ];
    });
    let leaf = &certificates(&leaf.cert)[0];
    let good = [
        "etcd.example.com",
        "ETCD.EXAMPLE.COM.",
        "a.wild.example.com",
        "10.0.0.1",
        "[fd00::1]",
        "::ffff:10.0.0.1",
    ];
    let bad = [
        "m1",
        "example.com",
        "a.b.wild.example.com",
        "wild.example.com",
        "10.0.0.9",
        "10.0.0.2",
        "",
        "*",
    ];

    for host in good {
        assert_eq!(answers_to(leaf, host), Ok(()), "{host}");
    }
    for host in bad {
        let refusal = answers_to(leaf, host).unwrap_err();
        assert!(matches!(refusal, Refusal::OtherNames { .. }), "{host}");
    }
    assert_eq!(
        answers_to(leaf, "10.0.0.2").unwrap_err().to_string(),
        "the certificate `CN=m1` is not valid for `10.0.0.2`: it holds 10.0.0.1, fd00::1"
    );
}

#[test]
fn a_peer_may_come_from_its_addresses_or_wherever_the_dns_says() {
    let root = Authority::root("sources", |_| ());
    let of = |names: Vec<rcgen::SanType>| {
        let leaf = root.leaf(|params| params.subject_alt_names = names);
        certificates(&leaf.cert).remove(0)
    };
    let ip = |ip: &str| rcgen::SanType::IpAddress(ip.parse().unwrap());
    let source = "127.0.0.1".parse().unwrap();
    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    let depends = SourceVerdict::DependsOnNames(vec!["m1".to_owned()]);

    let names = of(vec![ip("127.0.0.1"), dns("m1")]);
    assert_eq!(may_come_from(&names, source), SourceVerdict::Accepted);
    assert_eq!(may_come_from(&names, mapped), SourceVerdict::Accepted);
    assert_eq!(may_come_from(&of(vec![]), source), SourceVerdict::Accepted);
    let only_uri = of(vec![uri("spiffe://x/y")]);
    assert_eq!(may_come_from(&only_uri, source), SourceVerdict::Accepted);
    assert_eq!(may_come_from(&of(vec![dns("m1")]), source), depends);
    let both = of(vec![ip("127.0.0.3"), dns("m1")]);
    assert_eq!(may_come_from(&both, source), depends);
    let SourceVerdict::Refused(refusal) = may_come_from(&of(vec![ip("127.0.0.3")]), source) else {
        panic!("another address is accepted");
    };
    let go = "x509: certificate is valid for 127.0.0.3, not 127.0.0.1";
    assert_eq!(refusal.go_text(), go);
}

#[test]
fn a_trust_file_says_what_etcd_would_make_of_it() {
    let (one, two) = (
        Authority::root("one", |_| ()),
        Authority::root("two", |_| ()),
    );
    let (pem, other) = (one.pem(), two.pem());
    let der = one.0.der().to_vec();
    let glued = format!("{}{}", pem.trim_end(), other.trim_end());
    let half = format!("{pem}{glued}\n");
    let labelled = pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let key = format!("{pem}{}", two.forged().key);
    let garbage = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    let outcome = |bytes: &[u8]| read_trust(bytes).outcome();

    for good in [
        pem.clone(),
        format!("{pem}{other}"),
        format!("text\n{pem}"),
        labelled,
    ] {
        assert_eq!(outcome(good.as_bytes()), TrustOutcome::Trusts, "{good}");
    }
    for nobody in ["", " \n", "text", &glued, &format!("\u{feff}{pem}")] {
        assert_eq!(
            outcome(nobody.as_bytes()),
            TrustOutcome::TrustsNobody,
            "{nobody}"
        );
    }
    assert_eq!(outcome(&der), TrustOutcome::TrustsNobody);
    assert_eq!(outcome(half.as_bytes()), TrustOutcome::TrustsPart);
    for fatal in [key.as_str(), garbage] {
        assert_eq!(
            outcome(fatal.as_bytes()),
            TrustOutcome::DoesNotStart,
            "{fatal}"
        );
    }
    let words: Vec<String> = read_trust(half.as_bytes())
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        words,
        [
            "3 certificates begin in it, and etcd finds 1: the others are damaged, or glued together without a newline"
        ]
    );
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> Vec<Certificate> {
    let blocks = Pem::read(pem.as_bytes()).blocks;
    let read = blocks
        .iter()
        .map(|block| Certificate::from_der(&block.bytes));
    read.map(|certificate| certificate.unwrap()).collect()
}

pub(crate) fn verdict(row: &Row, usage: Usage) -> Result<(), Refusal> {
    let (chain, trusted) = (certificates(&row.chain), certificates(&row.trusted));
    judge(&chain, &trusted, usage, Utc::now())
}

/// The name of a refusal's cause; nothing for none.
fn variant(verdict: &Result<(), Refusal>) -> String {
    let refusal = verdict
        .as_ref()
        .err()
        .map(|refusal| format!("{:?}", refusal.cause()));
    let words = refusal.unwrap_or_default();
    words
        .split([' ', '{'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
