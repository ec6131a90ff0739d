//! Revocation lists: a wrong one refuses everybody, and a list for the peer port then takes the quorum.

use std::path::{Path, PathBuf};

use chrono::DateTime;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{File, Member, Options, error, note, read_file, warning};
use crate::manifest::Finding;

/// Checks the lists that a member's flags name.
pub(super) fn check(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    let lists = [
        ("client-crl-file", member.trusted.as_ref()),
        ("peer-crl-file", member.peer_trusted.as_ref()),
    ];
    for (flag, trusted) in lists {
        if let Some(path) = member.flags.get(flag) {
            let file = read_file(&PathBuf::from(path));
            match &file.content {
                Err(problem) => {
                    let words = format!("{problem}; etcd refuses everybody without it");
                    findings.push(error("v15-unreadable", &file.path, words));
                }
                Ok(content) => check_list(&file.path, content, trusted, options, findings),
            }
        }
    }
}

fn check_list(
    path: &Path,
    content: &[u8],
    trusted: Option<&File>,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    if content.trim_ascii_start().starts_with(b"-----BEGIN") {
        let words = "it is in PEM: etcd 3.6 and later then refuse everybody; convert it to DER (openssl crl -outform DER)";
        findings.push(error("v15-pem", path, words));
        return;
    }
    let Ok((rest, list)) = CertificateRevocationList::from_der(content) else {
        let words = "it is no revocation list; etcd refuses everybody with it";
        findings.push(error("v15-damaged", path, words));
        return;
    };
    if !rest.is_empty() {
        let words =
            "something follows the first list: etcd 3.6 and later ignore it, 3.5 refuses everybody";
        findings.push(error("v15-more-than-one", path, words));
    }
    let next = list.next_update().map(|time| time.timestamp());
    if next
        .and_then(|next| DateTime::from_timestamp(next, 0))
        .is_some_and(|next| next < options.now)
    {
        let words = "its next update is overdue; etcd does not mind";
        findings.push(note("v15-overdue", path, words));
    }
    let issuer = list.issuer().as_raw();
    let authorities = trusted
        .and_then(File::trust)
        .map(|trust| trust.certificates);
    if authorities.is_some_and(|all| !all.iter().any(|one| one.subject.der == issuer)) {
        let words =
            "none of the trusted authorities made it; etcd compares serial numbers all the same";
        findings.push(warning("v15-of-another-authority", path, words));
    }
}
