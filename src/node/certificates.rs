//! The certificates that a member shows: whether they are still valid.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::certs::Certificate;
use crate::certs::pem::Pem;
use crate::manifest::Finding;

/// The code of the finding that a certificate of a member has ended.
pub const CERTIFICATE_ENDED: &str = "certificate-ended";

/// What etcd's settings call the files, and who refuses what is in them.
const FILES: [(&str, &str); 2] = [
    ("cert-file", "clients refuse it"),
    ("peer-cert-file", "the other members refuse it"),
];

/// A member whose certificate has ended runs, and nobody takes it in: from outside it only looks alone.
pub(super) fn ended(
    told: &BTreeMap<String, String>,
    now: DateTime<Utc>,
    findings: &mut Vec<Finding>,
) {
    for (flag, who) in FILES {
        let Some(path) = told.get(flag) else { continue };
        if let Some(certificate) = leaf(Path::new(path))
            && certificate.not_after < now
        {
            let since = certificate.not_after;
            let message = format!("{path} ended at {since}: {who} (--{flag})");
            findings.push(Finding::error(CERTIFICATE_ENDED, message));
        }
    }
}

/// What etcd shows first; what cannot be read is for `etcdrx certs check` to say.
fn leaf(path: &Path) -> Option<Certificate> {
    let bytes = fs::read(path).ok()?;
    Pem::read(&bytes).certificates().next()?.ok()
}
