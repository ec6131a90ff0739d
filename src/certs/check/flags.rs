//! Flags that undo what the certificates are for, and flags that a release does not know any more.

use std::fmt;

use super::{Member, Options, Release};
use crate::manifest::Finding;

/// Suites with the one that HTTP/2 asks for (RFC 9113, 9.2.2).
const NEEDED_SUITES: [&str; 2] = [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

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

/// Checks the flags of one member.
pub(super) fn check(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    check_access(member, findings);
    check_start(member, findings);
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
    check_release(member, options, findings);
}

/// Who gets in, and who does not, because of flags.
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
    for (auto, cert, guards) in AUTO {
        let is_guarded = guards.iter().any(|flag| flags.get(flag).is_some());
        if flags.is_on(auto) && flags.get(cert).is_none() && is_guarded {
            let [ca, auth] = guards;
            let words =
                format!("--{auto} without --{cert} drops --{ca} and --{auth}: anybody gets in");
            findings.push(error("c01-auto-tls", member, words));
        }
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

/// What keeps etcd from starting.
fn check_start(member: &Member, findings: &mut Vec<Finding>) {
    let flags = &member.flags;
    let is_set = |flag| flags.get(flag).is_some();
    if is_set("peer-cert-allowed-cn") && is_set("peer-cert-allowed-hostname") {
        let words = "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other: etcd does not start";
        findings.push(error("c01-allowed-cn-and-hostname", member, words));
    }
    if !is_set("cipher-suites") {
        return;
    }
    if !flags
        .list("cipher-suites")
        .any(|suite| NEEDED_SUITES.contains(&suite))
    {
        let suites = NEEDED_SUITES.join(" and ");
        let words = format!("--cipher-suites lacks {suites}: etcd does not start");
        findings.push(error("c01-cipher-suites", member, words));
    }
    if flags.get("tls-min-version") == Some("TLS1.3") {
        let words =
            "--cipher-suites cannot be set where only TLS 1.3 is enabled: etcd does not start";
        findings.push(error("c01-cipher-suites", member, words));
    }
}

fn error(code: &str, member: &Member, words: impl fmt::Display) -> Finding {
    Finding::error(code, format!("{}: {words}", member.name))
}

fn warning(code: &str, member: &Member, words: impl fmt::Display) -> Finding {
    Finding::warning(code, format!("{}: {words}", member.name))
}

fn check_release(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    const GONE: [&str; 2] = ["ca-file", "peer-ca-file"];
    let release = options.release;
    for flag in member.flags.values.keys() {
        let gone_in = match flag.as_str() {
            name if GONE.contains(&name) => "3.0",
            "enable-v2" if release >= Some(Release::V36) => "3.6",
            name if name.starts_with("proxy") && release >= Some(Release::V36) => "3.6",
            name if name.starts_with("experimental-") && release >= Some(Release::V37) => "3.7",
            _ => continue,
        };
        let words =
            format!("etcd {gone_in} and later do not know --{flag}, and do not start with it");
        findings.push(error("c02-flag-gone", member, words));
    }
}
