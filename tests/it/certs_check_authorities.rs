//! `etcdrx certs check` with authorities that limit what they sign, and with dates that clocks disagree about.

use rcgen::{BasicConstraints, CertificateParams, GeneralSubtree, IsCa, NameConstraints};

use crate::certs_check_setup::{Pki, codes};
use crate::certs_forge::{Authority, DAY, not_yet};

#[test]
fn a_path_that_is_too_long_is_found() {
    let pki = Pki::good();
    let root = Authority::root("short", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let between = root.below("between", |_| ());
    let mut pair = between.leaf(|_| ());
    pair.cert += &between.pem();
    pki.write_pair("m1/server", &pair);
    pki.write("m1/ca.crt", root.pem());

    let found = pki.codes(&[]);

    assert!(found.contains("v04-path-length"), "{found:?}");
}

#[test]
fn names_that_an_authority_may_not_sign_are_found() {
    let within = |domain: &str| {
        let mut pki = Pki::good();
        pki.authority(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
                excluded_subtrees: vec![],
            });
        });
        pki.codes(&[])
    };

    let found = within("example.com");
    assert!(found.contains("v04-name-constraints"), "{found:?}");
    assert!(within("localhost").is_empty());
}

#[test]
fn an_authority_that_is_not_valid_yet_does_harm_only_if_it_is_alone() {
    let code = "v01-authority-not-yet-valid";
    let mut pki = Pki::good();
    let bundle = pki.ca.pem() + &Authority::root("next", not_yet).pem();
    pki.write("m1/ca.crt", bundle);
    let beside = pki.check(&[]);
    pki.authority(not_yet);
    let alone = pki.check(&[]);

    assert!(codes(&beside).iter().eq([code]), "{beside:?}");
    assert_eq!(beside.code, 0);
    assert!(codes(&alone).contains(code), "{alone:?}");
    assert_eq!(alone.code, 3);
}

#[test]
fn a_certificate_that_was_made_a_moment_ago_may_be_too_new_for_others() {
    let pki = Pki::good();
    // `in_date` begins yesterday.
    let now = |params: &mut CertificateParams| params.not_before += DAY;
    pki.server(now);

    let output = pki.check(&["--strict"]).success();

    let found = codes(&output);
    assert!(found.iter().eq(["v01-only-just-valid"]), "{output:?}");
}
