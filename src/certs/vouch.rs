//! The last look at a certificate before anybody else sees it: it is what was wanted, and etcd accepts it.

use chrono::{DateTime, Utc};

use super::Certificate;
use super::authority::Request;
use super::certificate::{BasicConstraints, KeyKind, KeyUsage};
use super::judge::{Usage, judge};

/// Fewer bits of randomness in a serial number let two certificates share one (CA/Browser Forum, 7.1).
const SERIAL_BYTES: usize = 8;

/// What a certificate was to be.
pub(super) struct Wanted<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) common_name: &'a str,
    pub(super) public_key: &'a [u8],
    pub(super) authority: &'a Certificate,
}

/// Says what is wrong with `certificate`, if anything is.
pub(super) fn vouch(
    certificate: &Certificate,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    is_below(certificate, wanted.authority)?;
    is_as_wanted(certificate, wanted)?;
    let trusted = std::slice::from_ref(wanted.authority);
    for usage in &wanted.request.profile.extended_key_usage {
        let chain = std::slice::from_ref(certificate);
        judge(chain, trusted, *usage, now).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

fn is_below(certificate: &Certificate, authority: &Certificate) -> Result<(), String> {
    if certificate.issuer.der != authority.subject.der {
        return Err(format!(
            "the authority's name `{}` cannot be repeated byte for byte (an attribute stands in it twice, or in an unusual form); \
             use an authority with a plain name",
            authority.subject.text
        ));
    }
    if certificate.not_after > authority.not_after {
        return Err("it would outlive its authority".to_owned());
    }
    let is_linked = match (&certificate.authority_key_id, &authority.subject_key_id) {
        (Some(of_leaf), Some(of_authority)) => of_leaf == of_authority,
        _ => true,
    };
    if !is_linked {
        return Err("it names another key than its authority's".to_owned());
    }
    Ok(())
}

fn is_as_wanted(certificate: &Certificate, wanted: &Wanted<'_>) -> Result<(), String> {
    let profile = wanted.request.profile;
    let is_rsa = matches!(certificate.key.kind, KeyKind::Rsa(_));
    let usage = KeyUsage {
        digital_signature: true,
        key_encipherment: is_rsa,
        cert_sign: false,
        crl_sign: false,
    };
    let has = |usage| profile.extended_key_usage.contains(&usage);
    let extended = certificate.extended_key_usage.clone().unwrap_or_default();
    let is_of_nobody = BasicConstraints {
        is_authority: false,
        path_length: None,
    };
    let checks = [
        (certificate.key.der == wanted.public_key, "its public key"),
        (
            certificate
                .subject
                .common_name
                .as_deref()
                .unwrap_or_default()
                == wanted.common_name,
            "its common name",
        ),
        (certificate.key_usage == Some(usage), "its key usage"),
        (
            (extended.server_auth, extended.client_auth)
                == (has(Usage::Server), has(Usage::Client))
                && !extended.any
                && extended.others.is_empty(),
            "its extended key usage",
        ),
        (
            certificate.basic_constraints == Some(is_of_nobody),
            "its basic constraints",
        ),
        (
            certificate.hosts() == wanted.request.hosts.iter().cloned().collect(),
            "its names",
        ),
        (
            certificate.serial.len() > SERIAL_BYTES && certificate.unreadable_for_go.is_empty(),
            "its serial number or encoding",
        ),
    ];
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(format!("{what} did not come out as wanted")),
        None => Ok(()),
    }
}
