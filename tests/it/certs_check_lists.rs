//! `etcdrx certs check` with revocation lists, which etcd reads at every connection, and of which it compares serial numbers only.

use std::fs;

use rcgen::{
    CertificateRevocationList, CertificateRevocationListParams, KeyIdMethod, RevokedCertParams,
    SerialNumber,
};

use crate::certs_check_setup::{Pki, client};
use crate::certs_forge::{Authority, DAY};

/// A list of an authority: what it revokes, and its dates in days from now.
fn list(by: &Authority, revoked: &[&[u8]], (from, to): (i64, i64)) -> CertificateRevocationList {
    let yesterday = Authority::params("x").not_before;
    let day = |days: i64| match u32::try_from(days + 1) {
        Ok(days) => yesterday + DAY * days,
        Err(_) => yesterday - DAY * 30,
    };
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: yesterday,
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: day(from),
        next_update: day(to),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&by.0).unwrap()
}

/// What is found with this list, of clients or of peers.
fn found(pki: &Pki, flag: &str, content: Option<&[u8]>) -> Vec<String> {
    let path = |name: &str| pki.path(name).display().to_string();
    fs::remove_file(pki.path("crl")).ok();
    if let Some(content) = content {
        pki.write("crl", content);
    }
    let text = format!(
        "ExecStart=/usr/bin/etcd --client-cert-auth --trusted-ca-file={} --cert-file={} --key-file={} \
         --peer-trusted-ca-file={} --peer-cert-file={} --peer-key-file={} --{flag}={}\n",
        path("m1/ca.crt"),
        path("m1/server.crt"),
        path("m1/server.key"),
        path("m1/peer-ca.crt"),
        path("m1/peer.crt"),
        path("m1/peer.key"),
        path("crl")
    );
    fs::write(pki.path("etcd.service"), text).unwrap();
    let codes = pki.codes(&["--unit", &path("etcd.service")]);
    codes.into_iter().collect()
}

#[test]
fn revocation_lists_that_refuse_everybody_are_found() {
    let pki = Pki::good();
    let good = list(&pki.ca, &[], (-1, 30));
    let of = |content: Option<&[u8]>| found(&pki, "client-crl-file", content);

    assert!(of(Some(good.der())).is_empty());
    assert_eq!(of(Some(good.pem().unwrap().as_bytes())), ["v15-pem"]);
    let twice = [good.der().as_ref(), good.der()].concat();
    assert_eq!(of(Some(&twice)), ["v15-more-than-one"]);
    assert_eq!(of(Some(b"text")), ["v15-damaged"]);
    assert_eq!(of(None), ["v15-unreadable"]);
}

#[test]
fn what_etcd_does_not_look_at_in_a_list_is_found() {
    let pki = Pki::good();
    let of = |list: &CertificateRevocationList| found(&pki, "client-crl-file", Some(list.der()));
    let twin = Authority::root("etcd-ca", |_| ());

    let other = of(&list(&pki.peer_ca, &[], (-1, 30)));
    assert_eq!(other, ["v15-of-another-authority"]);
    assert_eq!(of(&list(&twin, &[], (-1, 30))), ["v15-not-signed"]);
    assert_eq!(of(&list(&pki.ca, &[], (-30, -1))), ["v15-overdue"]);
    assert_eq!(of(&list(&pki.ca, &[], (3, 30))), ["v15-not-yet-valid"]);
}

#[test]
fn a_list_that_shuts_out_a_member_is_found() {
    const SERIAL: [u8; 16] = [0x77; 16];
    let pki = Pki::good();
    let numbered = |params: &mut rcgen::CertificateParams| {
        params.serial_number = Some(SerialNumber::from_slice(&SERIAL));
    };
    pki.server(numbered);
    pki.peer(numbered);

    let of_ca = list(&pki.ca, &[&SERIAL], (-1, 30));
    let revoked = found(&pki, "client-crl-file", Some(of_ca.der()));
    let of_peers = list(&pki.peer_ca, &[&SERIAL], (-1, 30));
    let peer = found(&pki, "peer-crl-file", Some(of_peers.der()));
    let bundle = pki.ca.pem() + &pki.peer_ca.pem();
    pki.write("m1/ca.crt", bundle);
    let collides = found(&pki, "client-crl-file", Some(of_peers.der()));
    let innocent = list(&pki.ca, &[&[0x55; 16]], (-1, 30));

    assert_eq!(revoked, ["v15-revoked"]);
    assert_eq!(peer, ["v15-revoked"]);
    assert_eq!(collides, ["v13-shared-authority", "v15-serial-of-another"]);
    pki.write("m1/ca.crt", pki.ca.pem());
    assert!(found(&pki, "client-crl-file", Some(innocent.der())).is_empty());
    // A client that is revoked on purpose is nobody's fault, and is told all the same.
    let leaf = pki.ca.leaf(|params| {
        client(params);
        numbered(params);
    });
    pki.write_pair("clients/root", &leaf);
    pki.server(|_| ());
    let crl = format!("client-crl-file={}", pki.path("crl").display());
    pki.write("crl", of_ca.der());
    let unit = pki.path("etcd.service").display().to_string();
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&crl), "{text}");
    let cert = pki.path("clients/root.crt").display().to_string();
    let codes = pki.codes(&["--unit", &unit, "--client-cert", &cert]);
    assert!(codes.iter().eq(["v15-revoked"]), "{codes:?}");
}
