//! Files of trusted authorities: what stands in them beside what is needed.

use chrono::TimeDelta;

use super::{File, Options, error, note, warning};
use crate::certs::Certificate;
use crate::manifest::Finding;

/// Checks the authorities of one file, each by itself and all together.
pub(super) fn check(file: &File, options: &Options, findings: &mut Vec<Finding>) {
    let Some(trust) = file.trust() else {
        return;
    };
    let authorities = &trust.certificates;
    for authority in authorities {
        check_dates(file, authority, authorities.len(), options, findings);
        check_rights(file, authority, findings);
    }
    for (at, one) in authorities.iter().enumerate() {
        let is_twin = |other: &Certificate| {
            other.subject.der == one.subject.der && other.key.der != one.key.der
        };
        if authorities[..at].iter().any(is_twin) {
            let words = format!(
                "two authorities are called `{}`: etcd cannot show which of them it trusts",
                one.subject.text
            );
            findings.push(warning("v14-same-subject", &file.path, words));
        }
    }
}

fn check_dates(
    file: &File,
    authority: &Certificate,
    count: usize,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let name = &authority.subject.text;
    let left = authority.not_after - options.now;
    if left < TimeDelta::zero() {
        let words = format!("the authority `{name}` has expired");
        findings.push(match count {
            1 => error("v01-authority-expired", &file.path, words),
            _ => warning(
                "v14-expired-authority",
                &file.path,
                format!("{words}; take it out"),
            ),
        });
    } else if authority.not_before > options.now {
        let from = authority.not_before.to_rfc3339();
        let words = format!("the authority `{name}` is not valid before {from}");
        let code = "v01-authority-not-yet-valid";
        findings.push(match count {
            1 => error(code, &file.path, words),
            // Nothing that the others signed suffers.
            _ => warning(code, &file.path, words),
        });
    } else if left < TimeDelta::days(90) {
        let days = left.num_days();
        let words = format!(
            "the authority `{name}` expires in {days} days; changing it takes two rolling restarts"
        );
        findings.push(match days {
            0..30 => error("v02-authority-ends-soon", &file.path, words),
            _ => warning("v02-authority-ends-soon", &file.path, words),
        });
    }
}

/// What keeps it from signing is found with what it signed; here is what only limits it.
fn check_rights(file: &File, authority: &Certificate, findings: &mut Vec<Finding>) {
    let name = &authority.subject.text;
    if !authority.is_authority() {
        let words = format!(
            "`{name}` is not marked as an authority, and nothing that it signed is accepted"
        );
        findings.push(error("v04-not-an-authority", &file.path, words));
    }
    let usage = authority.extended_key_usage.as_ref();
    if usage.is_some_and(|usage| !usage.allows_servers() || !usage.allows_clients()) {
        let words = format!(
            "the authority `{name}` may not sign for both servers and clients: its extended key usage narrows it"
        );
        findings.push(warning("v04-authority-narrows-usage", &file.path, words));
    }
    if authority.key_usage.is_some_and(|usage| !usage.crl_sign) {
        let words = format!("the authority `{name}` may not sign revocation lists (cRLSign)");
        findings.push(note("v04-no-crl-sign", &file.path, words));
    }
}
