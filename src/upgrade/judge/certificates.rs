//! Certificates and revocation lists that the new version refuses.

use super::Upgrade;
use crate::certs::check::{Options, Release, check};
use crate::manifest::{Finding, Severity};
use crate::upgrade::{Facts, Minor};

/// Findings about flags, which are judged here by the version and the place; and what is no matter of an upgrade.
const ELSEWHERE: [&str; 3] = ["c01-ignored-key", "c01-hangup", "c02-flag-gone"];

/// Judges the certificates by the rules of the Go that the versions supported now are built with (1.26): that of 3.4.23 takes more.
pub(super) fn judge(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let options = Options {
        now: upgrade.now,
        release: match upgrade.to {
            Minor(..6) => None,
            Minor(6) => Some(Release::V36),
            Minor(7..) => Some(Release::V37),
        },
    };
    for found in check(&facts.certificates, &options) {
        let is_meant =
            found.severity == Severity::Error && !ELSEWHERE.contains(&found.code.as_str());
        // 3.5 reads lists in PEM.
        let is_of_later = found.code == "v15-pem" && upgrade.to < Minor(6);
        if is_meant && !is_of_later {
            findings.push(found);
        }
    }
}
