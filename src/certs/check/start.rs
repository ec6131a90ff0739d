//! What keeps etcd from starting, now or after an upgrade, or lets it start with less than was meant.

use std::path::Path;

use chrono::TimeDelta;

use super::flags::{error, warning};
use super::{Member, Options, Pair, Release, read_file};
use crate::certs::certificate::KeyKind;
use crate::manifest::Finding;

/// Suites with the one that HTTP/2 asks for (RFC 9113, 9.2.2).
const NEEDED_SUITES: [&str; 2] = [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

/// Checks the flags of one member.
pub(super) fn check(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    let flags = &member.flags;
    let is_set = |flag| flags.get(flag).is_some();
    if is_set("peer-cert-allowed-cn") && is_set("peer-cert-allowed-hostname") {
        let words = "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other: etcd does not start";
        findings.push(error("c01-allowed-cn-and-hostname", member, words));
    }
    check_versions(member, findings);
    if is_set("cipher-suites") {
        check_suites(member, findings);
    }
    check_made(member, options, findings);
    check_release(member, options, findings);
}

/// The versions of TLS (etcd 3.4.25, 3.5.8 and later).
fn check_versions(member: &Member, findings: &mut Vec<Finding>) {
    const VERSIONS: [&str; 2] = ["TLS1.2", "TLS1.3"];
    const CODE: &str = "c01-tls-version";
    let limits = ["tls-min-version", "tls-max-version"];
    for flag in limits {
        let value = member.flags.get(flag);
        if let Some(value) = value.filter(|value| !VERSIONS.contains(value)) {
            let words = format!("--{flag} is `{value}`; etcd starts with TLS1.2 and TLS1.3 only");
            findings.push(error(CODE, member, words));
        }
    }
    if limits.map(|flag| member.flags.get(flag)) == [Some("TLS1.3"), Some("TLS1.2")] {
        let words = "--tls-min-version is above --tls-max-version: etcd does not start";
        findings.push(error(CODE, member, words));
    }
}

fn check_suites(member: &Member, findings: &mut Vec<Finding>) {
    const CODE: &str = "c01-cipher-suites";
    let flags = &member.flags;
    let suites: Vec<&str> = flags.list("cipher-suites").collect();
    if !suites.iter().any(|suite| NEEDED_SUITES.contains(suite)) {
        let needed = NEEDED_SUITES.join(" and ");
        let words = format!("--cipher-suites lacks {needed}: etcd does not start");
        findings.push(error(CODE, member, words));
    }
    if flags.get("tls-min-version") == Some("TLS1.3") {
        let words =
            "--cipher-suites cannot be set where only TLS 1.3 is enabled: etcd does not start";
        findings.push(error(CODE, member, words));
    }
    for pair in [&member.server, &member.peer].into_iter().flatten() {
        let Some(kind) = kind_of_key(pair) else {
            continue;
        };
        if suites.iter().any(|suite| suite.contains(kind)) {
            continue;
        }
        let path = pair.cert.path.display();
        let words = format!("no suite in --cipher-suites is for the key of {path} ({kind})");
        findings.push(match flags.get("tls-max-version") {
            Some("TLS1.2") => error(CODE, member, format!("{words}: nobody can connect")),
            _ => warning(
                CODE,
                member,
                format!("{words}: nobody can connect with TLS 1.2"),
            ),
        });
    }
}

/// What the suites of TLS 1.2 call the key of a certificate.
fn kind_of_key(pair: &Pair) -> Option<&'static str> {
    match pair.cert.chain().first()?.key.kind {
        KeyKind::Rsa(_) => Some("_RSA_"),
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => Some("_ECDSA_"),
        _ => None,
    }
}

/// The certificates that etcd made for itself, which it never renews.
fn check_made(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    let flags = &member.flags;
    for (auto, cert, folder) in [
        ("auto-tls", "cert-file", "client"),
        ("peer-auto-tls", "peer-cert-file", "peer"),
    ] {
        let data = flags.get("data-dir").map(Path::new);
        let (Some(data), true, None) = (data, flags.is_on(auto), flags.get(cert)) else {
            continue;
        };
        let folder = data.join("fixtures").join(folder);
        let Some(made) = read_file(&folder.join("cert.pem"))
            .chain()
            .into_iter()
            .next()
        else {
            continue;
        };
        let left = made.not_after - options.now;
        let day = made.not_after.format("%Y-%m-%d");
        let (folder, cure) = (
            folder.display(),
            "remove the directory and restart the member, or better, give it real certificates",
        );
        let words = match left < TimeDelta::zero() {
            true => {
                format!("the certificate that --{auto} made in {folder} expired on {day}: {cure}")
            }
            false => format!(
                "the certificate that --{auto} made in {folder} expires on {day}, and etcd does not renew it: {cure}"
            ),
        };
        match left.num_days() {
            ..7 => findings.push(error("c01-auto-tls-ends", member, words)),
            7..30 => findings.push(warning("c01-auto-tls-ends", member, words)),
            _ => {}
        }
    }
}

/// Flags that a release does not know any more, or values that it does not take (measured on 3.5.33, 3.6.14 and 3.7.1).
fn check_release(member: &Member, options: &Options, findings: &mut Vec<Finding>) {
    const CODE: &str = "c02-flag-gone";
    let (flags, release) = (&member.flags, options.release);
    for flag in flags.values.keys() {
        let Some(gone_in) = gone_in(flag, release) else {
            continue;
        };
        let since = format!("etcd {gone_in} and later do not know --{flag}");
        let is_variable = flags.variables.contains(flag);
        findings.push(match flags.is_config_file || is_variable {
            true => {
                let words = format!("{since}: what is set there is passed over");
                warning(CODE, member, words)
            }
            false => error(CODE, member, format!("{since}, and do not start with it")),
        });
    }
    for (flag, value, newer) in [
        ("logger", "capnslog", Release::V36),
        ("v2-deprecation", "not-yet", Release::V36),
    ] {
        if release >= Some(newer) && !flags.is_config_file && flags.get(flag) == Some(value) {
            let words = format!("etcd 3.6 and later do not start with --{flag}={value}");
            findings.push(error("c02-value-gone", member, words));
        }
    }
}

/// The release that dropped a flag, if the one asked for is as new as that.
fn gone_in(flag: &str, release: Option<Release>) -> Option<&'static str> {
    let is_at_least = |newer| release >= Some(newer);
    match flag {
        "ca-file" | "peer-ca-file" => Some("3.0"),
        "debug" | "log-package-levels" if is_at_least(Release::V36) => Some("3.5"),
        "enable-v2" | "experimental-enable-v2v3" if is_at_least(Release::V36) => Some("3.6"),
        name if name.starts_with("proxy") && is_at_least(Release::V36) => Some("3.6"),
        name if name.starts_with("experimental-") && is_at_least(Release::V37) => Some("3.7"),
        _ => None,
    }
}
