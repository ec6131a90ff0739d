//! Revocation lists: a wrong one refuses everybody, and a list for the peer port then takes the quorum.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{File, Member, Options, Pair, Subject, error, note, read_file, warning};
use crate::certs::Certificate;
use crate::certs::revocation::is_signed_by;
use crate::manifest::Finding;

/// Checks the lists that a member's flags name.
pub(super) fn check(
    member: &Member,
    subject: &Subject,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    // The gateway shows one certificate to the client port, and members show the other to each other.
    let own = member.client.as_ref().or(member.server.as_ref());
    let clients = subject.clients.iter().map(|client| &client.pair);
    let shown: Vec<&Pair> = own.into_iter().chain(clients).collect();
    let members = subject.members.iter();
    let peers = members.filter_map(|one| one.peer_client.as_ref().or(one.peer.as_ref()));
    let lists = [
        ("client-crl-file", member.trusted.as_ref(), shown),
        (
            "peer-crl-file",
            member.peer_trusted.as_ref(),
            peers.collect(),
        ),
    ];
    for (flag, trusted, shown) in lists {
        if let Some(path) = member.flags.get(flag) {
            let file = read_file(&PathBuf::from(path));
            match &file.content {
                Err(problem) => {
                    let words = format!("{problem}; etcd refuses everybody without it");
                    findings.push(error("v15-unreadable", &file.path, words));
                }
                Ok(content) => {
                    let Some(list) = check_form(&file.path, content, findings) else {
                        continue;
                    };
                    check_dates(&file.path, &list, options, findings);
                    check_maker(&file.path, &list, trusted, findings);
                    for pair in shown {
                        check_shown(&file.path, &list, pair, findings);
                    }
                }
            }
        }
    }
}

fn check_form<'a>(
    path: &Path,
    content: &'a [u8],
    findings: &mut Vec<Finding>,
) -> Option<CertificateRevocationList<'a>> {
    if content.trim_ascii_start().starts_with(b"-----BEGIN") {
        let words = "it is in PEM: etcd 3.6 and later then refuse everybody; convert it to DER (openssl crl -outform DER)";
        findings.push(error("v15-pem", path, words));
        return None;
    }
    let Ok((rest, list)) = CertificateRevocationList::from_der(content) else {
        let words = "it is no revocation list; etcd refuses everybody with it";
        findings.push(error("v15-damaged", path, words));
        return None;
    };
    if !rest.is_empty() {
        let words =
            "something follows the first list: etcd 3.6 and later ignore it, 3.5 refuses everybody";
        findings.push(error("v15-more-than-one", path, words));
    }
    Some(list)
}

fn check_dates(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let time = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0);
    let next = list.next_update().and_then(|next| time(next.timestamp()));
    if next.is_some_and(|next| next < options.now) {
        let words = "its next update is overdue; etcd does not mind";
        findings.push(note("v15-overdue", path, words));
    }
    if time(list.last_update().timestamp()).is_some_and(|made| made > options.now) {
        let words = "it was made in the future, by its date; etcd does not mind";
        findings.push(note("v15-not-yet-valid", path, words));
    }
}

/// etcd looks neither at who made a list nor at the signature: what somebody else put there counts all the same.
fn check_maker(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    trusted: Option<&File>,
    findings: &mut Vec<Finding>,
) {
    let Some(trust) = trusted.and_then(File::trust) else {
        return;
    };
    let issuer = list.issuer().as_raw();
    let is_maker = |one: &&Certificate| one.subject.der == issuer;
    let mut makers = trust.certificates.iter().filter(is_maker).peekable();
    if makers.peek().is_none() {
        let words =
            "none of the trusted authorities made it; etcd compares serial numbers all the same";
        findings.push(warning("v15-of-another-authority", path, words));
        return;
    }
    if !makers.any(|maker| is_signed_by(list, maker)) {
        let words = "it is not signed by the authority that it names; etcd compares serial numbers all the same";
        findings.push(warning("v15-not-signed", path, words));
    }
}

/// etcd compares serial numbers only, so a list may shut out what it does not mean.
fn check_shown(
    path: &Path,
    list: &CertificateRevocationList<'_>,
    pair: &Pair,
    findings: &mut Vec<Finding>,
) {
    let Some(leaf) = pair.cert.chain().into_iter().next() else {
        return;
    };
    let number = |bytes: &[u8]| -> Vec<u8> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let serial = number(&leaf.serial);
    let mut revoked = list.iter_revoked_certificates();
    if !revoked.any(|entry| number(entry.raw_serial()) == serial) {
        return;
    }
    let is_meant = leaf.issuer.der == list.issuer().as_raw();
    let list = path.display();
    findings.push(if is_meant {
        let words = format!("it is revoked by {list}: etcd refuses it");
        warning("v15-revoked", &pair.cert.path, words)
    } else {
        let words = format!(
            "another authority issued it, but {list} holds its serial number: etcd refuses it"
        );
        error("v15-serial-of-another", &pair.cert.path, words)
    });
}
