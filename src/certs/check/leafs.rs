//! Certificates of members and clients: what etcd would refuse, and what will break later or elsewhere.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::sources::hosts;
use super::{Client, File, Member, Options, Pair, Subject, error, files, note, warning};
use crate::certs::Certificate;
use crate::certs::certificate::{KeyKind, KeyUsage};
use crate::certs::judge::{Refusal, Role, Usage, Who, answers_to, judge};
use crate::manifest::Finding;

/// So far may the clocks of machines be apart that are kept in time.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(1);

/// Checks what a member shows.
pub(super) fn check_member(
    member: &Member,
    endpoints: &[String],
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let (trusted, peer_trusted) = (member.trusted.as_ref(), member.peer_trusted.as_ref());
    if let Some(leaf) = readable(member.server.as_ref(), options, findings) {
        judge_pair(
            &leaf,
            trusted,
            (Usage::Server, "v05-server-lacks-server-auth"),
            options,
            findings,
        );
        if member.client.is_none() && trusted.is_some() {
            check_gateway(member, &leaf, options, findings);
        }
        check_server_names(member, endpoints, &leaf, findings);
    }
    if let Some(leaf) = readable(member.client.as_ref(), options, findings) {
        judge_pair(
            &leaf,
            trusted,
            (Usage::Client, "v05-client-lacks-client-auth"),
            options,
            findings,
        );
    }
    let split = readable(member.peer_client.as_ref(), options, findings);
    if let Some(leaf) = readable(member.peer.as_ref(), options, findings) {
        judge_pair(
            &leaf,
            peer_trusted,
            (Usage::Server, "v06-peer-lacks-server-auth"),
            options,
            findings,
        );
        let dialer = split.as_ref().unwrap_or(&leaf);
        judge_pair(
            dialer,
            peer_trusted,
            (Usage::Client, "v06-peer-lacks-client-auth"),
            options,
            findings,
        );
        check_peer_names(member, &leaf, findings);
    }
}

/// Checks what a client shows.
pub(super) fn check_client(
    client: &Client,
    subject: &Subject,
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let Some(leaf) = readable(Some(&client.pair), options, findings) else {
        return;
    };
    let usage = (Usage::Client, "v07-client-lacks-client-auth");
    judge_pair(&leaf, client.trusted.as_ref(), usage, options, findings);
    let metrics = |member: &Member| {
        let mut urls = member.flags.list("listen-metrics-urls");
        urls.any(|url| url.starts_with("https://"))
    };
    let names = &leaf.certificate.names;
    if !(names.ips.is_empty() && names.dns.is_empty()) && subject.members.iter().any(metrics) {
        let words =
            "it holds names or addresses, so the https metrics port takes it only from there";
        findings.push(error("v07-client-has-names", leaf.path(), words));
    }
    check_user(client, subject, &leaf, findings);
}

/// With `--client-cert-auth` the common name is the user, which a proxy must not have: it would pass for all of its clients.
fn check_user(client: &Client, subject: &Subject, leaf: &Leaf<'_>, findings: &mut Vec<Finding>) {
    let user = leaf.certificate.subject.common_name.as_deref();
    findings.push(match user.filter(|user| !user.is_empty()) {
        Some(user) if client.is_proxy => {
            let words = format!("it has the common name `{user}`: `etcd grpc-proxy` refuses a certificate with one");
            error("v07-proxy-has-user", leaf.path(), words)
        }
        Some(user) if !subject.users.is_empty() && !subject.users.iter().any(|one| one == user) => {
            let words = format!("it logs in as `{user}`, which is none of the users that were named: with authentication on, permission is denied");
            error("v07-unknown-user", leaf.path(), words)
        }
        None if !client.is_proxy => {
            let words = "it has no common name: with authentication on, it logs nobody in";
            note("v07-client-without-user", leaf.path(), words)
        }
        _ => return,
    });
}

/// A certificate that can be looked at, and its file.
struct Leaf<'a> {
    pair: &'a Pair,
    certificate: Certificate,
    chain: Vec<Certificate>,
}

impl Leaf<'_> {
    fn path(&self) -> &std::path::Path {
        &self.pair.cert.path
    }
}

/// Checks what does not depend on who trusts it.
fn readable<'a>(
    pair: Option<&'a Pair>,
    options: &Options,
    findings: &mut Vec<Finding>,
) -> Option<Leaf<'a>> {
    let pair = pair?;
    if !files::check_pair(pair, findings) {
        return None;
    }
    let chain = pair.cert.chain();
    let certificate = chain.first()?.clone();
    let leaf = Leaf {
        pair,
        certificate,
        chain,
    };
    check_dates(&leaf, options, findings);
    check_make(&leaf, findings);
    Some(leaf)
}

fn check_dates(leaf: &Leaf<'_>, options: &Options, findings: &mut Vec<Finding>) {
    let certificate = &leaf.certificate;
    let (from, at) = (certificate.not_before, certificate.not_after);
    let left = at - options.now;
    if options.now > at {
        let words = format!("it expired on {}", at.format("%Y-%m-%d"));
        findings.push(error("v01-expired", leaf.path(), words));
    } else if options.now < from {
        let words = format!("it is not valid before {}", from.to_rfc3339());
        findings.push(error("v01-not-yet-valid", leaf.path(), words));
    } else if options.now - from < CLOCKS_APART {
        let words = "it became valid less than a minute ago: a machine whose clock is behind does not accept it yet";
        findings.push(note("v01-only-just-valid", leaf.path(), words));
    } else if left < TimeDelta::days(7) {
        let words = format!("it expires in {} hours", left.num_hours());
        findings.push(error("v02-ends-soon", leaf.path(), words));
    } else if left < TimeDelta::days(30) || left * 3 < at - from {
        let words = format!("it expires in {} days; renew it", left.num_days());
        findings.push(warning("v02-ends-soon", leaf.path(), words));
    }
}

/// What other programs than etcd refuse, and what Go still takes today.
fn check_make(leaf: &Leaf<'_>, findings: &mut Vec<Finding>) {
    let certificate = &leaf.certificate;
    let mut warn = |code, words: &str| findings.push(warning(code, leaf.path(), words));
    if certificate
        .basic_constraints
        .is_some_and(|basic| basic.is_authority)
    {
        warn(
            "v11-authority-as-leaf",
            "it is marked as an authority (CA:TRUE), which clients with rustls refuse",
        );
    }
    if certificate.version < 3 {
        warn(
            "v11-old-version",
            "it is of an old version of X.509, which can hold no names and which many clients refuse",
        );
    }
    let encipherment_only = |usage: KeyUsage| usage.key_encipherment && !usage.digital_signature;
    let is_rsa = matches!(certificate.key.kind, KeyKind::Rsa(_));
    if certificate.key_usage.is_some_and(encipherment_only) && !is_rsa {
        warn(
            "v11-key-encipherment-only",
            "its key usage lacks digitalSignature, which OpenSSL refuses with TLS 1.2",
        );
    }
    match certificate.key.kind {
        KeyKind::P521 => warn(
            "v10-rare-key",
            "clients built with rustls on ring cannot use P-521 keys",
        ),
        KeyKind::Ed25519 => warn(
            "v10-rare-key",
            "some clients, and older OpenSSL, cannot use Ed25519 keys",
        ),
        KeyKind::Rsa(bits) if (1024..2048).contains(&bits) => {
            let words =
                format!("its RSA key has {bits} bits; 2048 are the least that other clients take");
            findings.push(error("v10-weak-key", leaf.path(), words));
        }
        _ => {}
    }
}

/// Holds a certificate against those who trust, for one usage; `code` is for a leaf that lacks it.
fn judge_pair(
    leaf: &Leaf<'_>,
    trusted: Option<&File>,
    (usage, code): (Usage, &str),
    options: &Options,
    findings: &mut Vec<Finding>,
) {
    let Some((refusal, against)) = refusal(leaf, trusted, usage, options) else {
        check_outliving(leaf, trusted, findings);
        return;
    };
    let (code, is_known) = match refusal.cause() {
        Refusal::WrongUsage { who, .. } if who.role == Role::Leaf => (code, false),
        other => code_of(other),
    };
    if !is_known {
        let words = format!("{refusal} (judged by {against})");
        findings.push(match refusal.cause() {
            Refusal::NotVerifiable { .. } => warning(code, leaf.path(), words),
            _ => error(code, leaf.path(), words),
        });
    }
}

/// A leaf ends with its authority, whatever it says.
fn check_outliving(leaf: &Leaf<'_>, trusted: Option<&File>, findings: &mut Vec<Finding>) {
    let trust = trusted.and_then(File::trust);
    let issuers = trust.into_iter().flat_map(|trust| trust.certificates);
    let issuers = issuers.filter(|one| one.subject.der == leaf.certificate.issuer.der);
    if let Some(end) = issuers.map(|issuer| issuer.not_after).max()
        && end < leaf.certificate.not_after
    {
        let words = format!(
            "its authority ends before it, on {}",
            end.format("%Y-%m-%d")
        );
        findings.push(warning("v02-outlives-authority", leaf.path(), words));
    }
}

fn refusal(
    leaf: &Leaf<'_>,
    trusted: Option<&File>,
    usage: Usage,
    options: &Options,
) -> Option<(Refusal, String)> {
    let file = trusted?;
    let certificates = file.trust()?.certificates;
    let refusal = judge(&leaf.chain, &certificates, usage, options.now).err()?;
    Some((refusal, file.path.display().to_string()))
}

/// The code of a refusal, and whether it was said already by what looks at the files or at the leaf alone.
fn code_of(refusal: &Refusal) -> (&'static str, bool) {
    let of_leaf = |who: &Who| who.role == Role::Leaf;
    match refusal {
        Refusal::Unreadable { who, .. } => (
            "f02-unreadable",
            of_leaf(who) || who.role == Role::Authority,
        ),
        Refusal::Expired { who, .. } | Refusal::NotYetValid { who, .. } => {
            ("v01-authority-not-in-date", of_leaf(who))
        }
        Refusal::WrongUsage { .. } => ("v04-authority-narrows-usage", false),
        Refusal::MayNotSign { .. } => ("v04-authority-may-not-sign", false),
        Refusal::PathTooLong { .. } => ("v04-path-length", false),
        Refusal::NameNotAllowed { .. } => ("v04-name-constraints", false),
        Refusal::WeakKey { .. } | Refusal::UnusableKey { .. } => ("v10-weak-key", false),
        Refusal::WeakSignature { .. } | Refusal::UnknownSignature { .. } => {
            ("v10-weak-signature", false)
        }
        Refusal::NotVerifiable { .. } => ("v10-not-verifiable", false),
        Refusal::UnknownCriticalExtension { .. } => ("v11-unknown-critical-extension", false),
        _ => ("v03-untrusted", false),
    }
}

/// etcd's gateway shows the server's certificate to the client port, which takes it as a client's.
fn check_gateway(member: &Member, leaf: &Leaf<'_>, options: &Options, findings: &mut Vec<Finding>) {
    let refusal = refusal(leaf, member.trusted.as_ref(), Usage::Client, options);
    let Some((refusal @ Refusal::WrongUsage { .. }, _)) = refusal else {
        return;
    };
    if !matches!(&refusal, Refusal::WrongUsage { who, .. } if who.role == Role::Leaf) {
        let words =
            format!("etcd's HTTP gateway shows it to etcd itself, which refuses it: {refusal}");
        findings.push(error("v04-authority-narrows-usage", leaf.path(), words));
        return;
    }
    let code = "v05-server-lacks-client-auth";
    findings.push(match member.flags.get("enable-grpc-gateway") {
        Some("false") => warning(code, leaf.path(), "its extended key usage lacks clientAuth; with the gateway on, HTTP requests would fail"),
        _ => error(code, leaf.path(), "its extended key usage lacks clientAuth: etcd's HTTP gateway shows it to etcd itself, so all HTTP requests (/v3/...) fail"),
    });
}

fn check_server_names(
    member: &Member,
    endpoints: &[String],
    leaf: &Leaf<'_>,
    findings: &mut Vec<Finding>,
) {
    let mut hosts = hosts(
        &member.flags,
        &["advertise-client-urls", "listen-client-urls"],
    );
    hosts.retain(|host| !matches!(host.parse::<IpAddr>(), Ok(ip) if ip.is_unspecified()));
    hosts.extend_from_slice(endpoints);
    check_names("v08-host-missing", &hosts, leaf, findings);
    let names = &leaf.certificate.names;
    if hosts.is_empty() && names.dns.is_empty() && names.ips.is_empty() {
        let words = "it holds neither names nor addresses, so no client accepts it";
        findings.push(error("v08-no-names", leaf.path(), words));
    }
}

fn check_peer_names(member: &Member, leaf: &Leaf<'_>, findings: &mut Vec<Finding>) {
    let hosts = hosts(&member.flags, &["initial-advertise-peer-urls"]);
    check_names("v09-host-missing", &hosts, leaf, findings);
    let names = &leaf.certificate.names;
    if names.dns.is_empty() && names.ips.is_empty() {
        let words = "it holds neither names nor addresses, so no peer can connect to its member";
        findings.push(error("v09-no-names", leaf.path(), words));
    } else if names.ips.is_empty() {
        let is_wildcard = |name: &String| name.starts_with('*');
        let words = match names.dns.iter().all(is_wildcard) {
            true => {
                "it holds wildcards only: every peer connection needs a reverse entry in the DNS"
            }
            false => "it holds no address: every peer connection depends on the DNS",
        };
        findings.push(warning("v09-no-address", leaf.path(), words));
    }
}

fn check_names(code: &str, hosts: &[String], leaf: &Leaf<'_>, findings: &mut Vec<Finding>) {
    for host in hosts {
        if let Err(refusal) = answers_to(&leaf.certificate, host) {
            findings.push(error(code, leaf.path(), refusal));
        }
    }
}
