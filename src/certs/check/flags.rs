//! Flags that undo what the certificates are for.

use std::fmt;

use super::Member;
use crate::manifest::Finding;

/// Flags that make certificates, the one that makes them idle, and those that they silence.
const AUTO: [(&str, &str, [&str; 2]); 2] = [
    (
        "auto-tls",
        "cert-file",
        ["trusted-ca-file", "client-cert-auth"],
    ),
    (
        "peer-auto-tls",
        "peer-cert-file",
        ["peer-trusted-ca-file", "peer-client-cert-auth"],
    ),
];

/// Checks who gets in, and who does not, because of one member's flags.
pub(super) fn check(member: &Member, findings: &mut Vec<Finding>) {
    check_access(member, findings);
    check_auto(member, findings);
    let flags = &member.flags;
    for key in &flags.ignored {
        let words =
            format!("etcd ignores the key `{key}` of its configuration file without a word");
        findings.push(error("c01-ignored-key", member, words));
    }
    for line in &flags.reloads {
        let words = format!(
            "`{line}` ends etcd: it does not reload on SIGHUP (certificates reload by themselves, authorities need a restart)"
        );
        findings.push(error("c01-hangup", member, words));
    }
    for path in &flags.unread {
        let words = format!(
            "it is also started with {}, which cannot be read: what that says is not checked",
            path.display()
        );
        findings.push(warning("f01-unread-settings", member, words));
    }
}

fn check_access(member: &Member, findings: &mut Vec<Finding>) {
    let flags = &member.flags;
    let gateway = flags.get("enable-grpc-gateway") != Some("false");
    if gateway && flags.get("client-cert-allowed-hostname").is_some() {
        let words = "with --client-cert-allowed-hostname etcd's HTTP gateway is refused by etcd itself: all HTTP requests fail";
        findings.push(error("c01-allowed-hostname-and-gateway", member, words));
    }
    if flags.get("trusted-ca-file").is_some() && !flags.is_on("client-cert-auth") {
        let words = "--trusted-ca-file without --client-cert-auth: clients must show a certificate, and its name logs nobody in";
        findings.push(warning("c01-no-client-cert-auth", member, words));
    }
    for (urls, cert) in [
        ("listen-client-urls", "cert-file"),
        ("listen-peer-urls", "peer-cert-file"),
    ] {
        let plain = flags.list(urls).filter(|url| url.starts_with("http://"));
        for url in plain.filter(|_| flags.get(cert).is_some()) {
            let words = format!("{url} in --{urls} is served without TLS, whatever --{cert} says");
            findings.push(error("c01-plaintext", member, words));
        }
    }
}

fn check_auto(member: &Member, findings: &mut Vec<Finding>) {
    let flags = &member.flags;
    for (auto, cert, guards) in AUTO {
        let is_guarded = guards.iter().any(|flag| flags.get(flag).is_some());
        if flags.is_on(auto) && flags.get(cert).is_none() && is_guarded {
            let [ca, auth] = guards;
            let words =
                format!("--{auto} without --{cert} drops --{ca} and --{auth}: anybody gets in");
            findings.push(error("c01-auto-tls", member, words));
        }
    }
}

pub(super) fn error(code: &str, member: &Member, words: impl fmt::Display) -> Finding {
    Finding::error(code, format!("{}: {words}", member.name))
}

pub(super) fn warning(code: &str, member: &Member, words: impl fmt::Display) -> Finding {
    Finding::warning(code, format!("{}: {words}", member.name))
}
