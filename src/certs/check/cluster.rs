//! Members against each other: what each trusts of the others, and what must not be the same twice.

use std::collections::BTreeMap;

use super::{File, Member, Options, Pair, Subject, error, note, warning};
use crate::certs::Certificate;
use crate::certs::judge::{Refusal, Usage, judge};
use crate::manifest::Finding;

/// Serial numbers of at least so many bytes are random enough not to meet.
const RANDOM_BYTES: usize = 8;

/// Checks what only shows where several certificates are seen together.
pub(super) fn check(subject: &Subject, options: &Options, findings: &mut Vec<Finding>) {
    let members = &subject.members;
    for (at, member) in members.iter().enumerate() {
        check_shared_authority(member, findings);
        check_own_pairs(member, findings);
        for (other_at, other) in members.iter().enumerate() {
            if at != other_at {
                check_trust(member, other, options, findings);
            }
            if other_at < at {
                check_copies(member, other, findings);
            }
        }
    }
    check_serials(subject, findings);
}

/// Whether the member `by` accepts what `shown` shows: half-done changes of the authority are found here.
fn check_trust(shown: &Member, by: &Member, options: &Options, findings: &mut Vec<Finding>) {
    let dialer = shown.peer_client.as_ref().or(shown.peer.as_ref());
    let cases = [
        (shown.server.as_ref(), by.trusted.as_ref(), Usage::Server),
        (shown.peer.as_ref(), by.peer_trusted.as_ref(), Usage::Server),
        (dialer, by.peer_trusted.as_ref(), Usage::Client),
    ];
    for (pair, trusted, usage) in cases {
        let (Some(pair), Some(file)) = (pair, trusted) else {
            continue;
        };
        let chain = pair.cert.chain();
        let Some(trust) = file.trust().filter(|_| !chain.is_empty()) else {
            continue;
        };
        if let Err(refusal) = judge(&chain, &trust.certificates, usage, options.now)
            && !matches!(refusal.cause(), Refusal::NotVerifiable { .. })
        {
            let words = format!(
                "the member {} does not accept it: {refusal} ({})",
                by.name,
                file.path.display()
            );
            findings.push(error("t01-not-trusted-by-member", &pair.cert.path, words));
        }
    }
}

/// A peer port that trusts the authority of clients takes every client for a peer.
fn check_shared_authority(member: &Member, findings: &mut Vec<Finding>) {
    let is_limited = ["peer-cert-allowed-cn", "peer-cert-allowed-hostname"]
        .iter()
        .any(|flag| member.flags.get(flag).is_some());
    let (Some(clients), Some(peers), Some(_)) =
        (&member.trusted, &member.peer_trusted, &member.peer)
    else {
        return;
    };
    let keys = |file: &File| -> Vec<Vec<u8>> {
        let trust = file.trust().map(|trust| trust.certificates);
        trust.into_iter().flatten().map(|one| one.key.der).collect()
    };
    let peer_keys = keys(peers);
    if !is_limited && keys(clients).iter().any(|key| peer_keys.contains(key)) {
        let words = "the peer port trusts the authority of clients: every client's certificate passes for a member's; set --peer-cert-allowed-cn, or use an authority for peers alone";
        findings.push(warning("v13-shared-authority", &peers.path, words));
    }
}

fn check_own_pairs(member: &Member, findings: &mut Vec<Finding>) {
    if let (Some(server), Some(peer)) = (&member.server, &member.peer)
        && server.cert.path != peer.cert.path
        && let (Some(one), Some(other)) = (leaf(server), leaf(peer))
        && one.key.der == other.key.der
    {
        let words = format!("it has the same key as {}", server.cert.path.display());
        findings.push(note("f05-same-key", &peer.cert.path, words));
    }
}

fn check_copies(member: &Member, other: &Member, findings: &mut Vec<Finding>) {
    for (one, two) in [(&member.server, &other.server), (&member.peer, &other.peer)] {
        let (Some(one), Some(two)) = (one, two) else {
            continue;
        };
        if let (Some(leaf), Some(twin)) = (leaf(one), leaf(two))
            && leaf.key.der == twin.key.der
        {
            let words = format!(
                "it is, or has the same key as, {} of another member",
                two.cert.path.display()
            );
            findings.push(warning("f05-same-certificate", &one.cert.path, words));
        }
    }
}

fn check_serials(subject: &Subject, findings: &mut Vec<Finding>) {
    let of_members = subject.members.iter().flat_map(Member::pairs);
    let pairs = of_members.chain(subject.clients.iter().map(|client| &client.pair));
    let mut seen: BTreeMap<_, (Certificate, &Pair)> = BTreeMap::new();
    for pair in pairs {
        let Some(leaf) = leaf(pair) else {
            continue;
        };
        if leaf.serial.len() < RANDOM_BYTES {
            let words = format!(
                "its serial number {} is short, and may be given twice",
                leaf.serial_hex()
            );
            findings.push(warning("v12-short-serial", &pair.cert.path, words));
        }
        let number = (leaf.issuer.der.clone(), leaf.serial.clone());
        match seen.get(&number) {
            Some((other, twin)) if other.der() != leaf.der() => {
                let words = format!(
                    "it has the same serial number as {}: to revoke one is to revoke both",
                    twin.cert.path.display()
                );
                findings.push(warning("v12-serial-twice", &pair.cert.path, words));
            }
            Some(_) => {}
            None => {
                seen.insert(number, (leaf, pair));
            }
        }
    }
}

fn leaf(pair: &Pair) -> Option<Certificate> {
    pair.cert.chain().into_iter().next()
}
