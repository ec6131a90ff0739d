//! Names: what an authority may certify, which hosts a certificate answers to, and where a peer may come from.

use std::net::IpAddr;

use super::refusal::{Refusal, Role, Who};
use crate::certs::Certificate;
use crate::certs::certificate::{Constraints, Names, Subtree};

/// As many names does Go list before it only counts them.
const MOST_NAMES: usize = 100;

/// Whether etcd lets a peer with this certificate connect from an address.
///
/// It is what a member asks of those who connect to its peer port, and to `--listen-metrics-urls` with https, after the chain is
/// accepted (etcd 3.2 and later; `--peer-skip-client-san-verification` turns it off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceVerdict {
    /// It may, whatever the DNS says.
    Accepted,
    /// It may if the DNS says that the address belongs to one of these names.
    DependsOnNames(Vec<String>),
    /// It may not.
    Refused(Refusal),
}

/// Whether a client that connects to `host` is content with the names of a server's certificate.
///
/// Only the subject alternative name counts. An address, in brackets or not, must stand there as an address.
///
/// # Errors
/// If no name fits.
pub fn answers_to(leaf: &Certificate, host: &str) -> Result<(), Refusal> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        let address = address.to_canonical();
        let fits = leaf.names.ips.iter().any(|ip| ip.to_canonical() == address);
        return fits
            .then_some(())
            .ok_or_else(|| other_address(leaf, bare.unwrap_or(host)));
    }
    let fits = leaf.names.dns.iter().any(|pattern| is_match(pattern, host));
    fits.then_some(()).ok_or_else(|| other_host(leaf, host))
}

/// Whether a member accepts a peer that shows `leaf` and connects from `source`.
#[must_use]
pub fn may_come_from(leaf: &Certificate, source: IpAddr) -> SourceVerdict {
    let Names { dns, ips, .. } = &leaf.names;
    if dns.is_empty() && ips.is_empty() {
        return SourceVerdict::Accepted;
    }
    match answers_to(leaf, &source.to_canonical().to_string()) {
        Ok(()) => SourceVerdict::Accepted,
        Err(_) if !dns.is_empty() => SourceVerdict::DependsOnNames(dns.clone()),
        Err(refusal) => SourceVerdict::Refused(refusal),
    }
}

/// Whether the authorities of a path allow all names below them.
pub(super) fn ensure_allowed(path: &[(Role, &Certificate)]) -> Result<(), Refusal> {
    for (at, (role, holder)) in path.iter().enumerate() {
        for (authority_role, authority) in &path[at + 1..] {
            let Some(constraints) = &authority.name_constraints else {
                continue;
            };
            if let Err(detail) = all_allowed(&holder.names, constraints) {
                return Err(Refusal::NameNotAllowed {
                    who: Who::new(*role, holder),
                    authority: Who::new(*authority_role, authority),
                    detail,
                });
            }
        }
    }
    Ok(())
}

fn all_allowed(names: &Names, constraints: &Constraints) -> Result<(), String> {
    let uris: Vec<_> = names
        .uris
        .iter()
        .map(|uri| Ok((uri.as_str(), uri_host(uri)?)))
        .collect::<Result<_, String>>()?;
    for ip in &names.ips {
        let within = |tree: &Subtree| ip_within(*ip, tree);
        allowed("IP address", &ip.to_string(), constraints, within)?;
    }
    for name in &names.dns {
        if !is_domain(name) {
            return Err(format!("x509: cannot parse dnsName {name:?}"));
        }
        let within = |tree: &Subtree| match tree {
            Subtree::Dns(domain) => Some(is_below(name, domain)),
            _ => None,
        };
        allowed("DNS name", name, constraints, within)?;
    }
    for (uri, host) in &uris {
        let within = |tree: &Subtree| match tree {
            Subtree::Uri(domain) => Some(is_below(host, domain)),
            _ => None,
        };
        allowed("URI", uri, constraints, within)?;
    }
    for email in &names.emails {
        let Some((_, domain)) = email.rsplit_once('@') else {
            return Err(format!("cannot parse rfc822Name {email:?}"));
        };
        let within = |tree: &Subtree| match tree {
            Subtree::Email(whole) if whole.contains('@') => Some(is_same_mailbox(email, whole)),
            Subtree::Email(constraint) => Some(is_below(domain, constraint)),
            _ => None,
        };
        allowed("email address", email, constraints, within)?;
    }
    Ok(())
}

/// Holds one name against the subtrees of its kind: `within` gives nothing for those of another kind.
fn allowed(
    kind: &str,
    name: &str,
    constraints: &Constraints,
    within: impl Fn(&Subtree) -> Option<bool>,
) -> Result<(), String> {
    let permitted: Vec<bool> = constraints.permitted.iter().filter_map(&within).collect();
    if !permitted.is_empty() && !permitted.contains(&true) {
        return Err(format!(
            "{kind} {name:?} is not permitted by any constraint"
        ));
    }
    let is_within = |tree: &&Subtree| within(tree) == Some(true);
    let covered = |tree: &&Subtree| wildcard_covers(name, tree);
    let excluded = &constraints.excluded;
    let found = excluded.iter().find(is_within).map(ToString::to_string);
    let found = found.or_else(|| {
        let tree = excluded.iter().find(covered)?;
        Some(tree.to_string().to_ascii_lowercase())
    });
    match found {
        Some(tree) => Err(format!(
            "{kind} {name:?} is excluded by constraint \"{tree}\""
        )),
        None => Ok(()),
    }
}

fn ip_within(ip: IpAddr, tree: &Subtree) -> Option<bool> {
    let Subtree::Ip { network, mask } = tree else {
        return None;
    };
    // One of the other family is of the same kind, and the address is not within it.
    Some(match (ip, network, mask) {
        (IpAddr::V4(ip), IpAddr::V4(network), IpAddr::V4(mask)) => {
            ip.to_bits() & mask.to_bits() == network.to_bits() & mask.to_bits()
        }
        (IpAddr::V6(ip), IpAddr::V6(network), IpAddr::V6(mask)) => {
            ip.to_bits() & mask.to_bits() == network.to_bits() & mask.to_bits()
        }
        _ => false,
    })
}

/// Whether a name is a domain or below it; a leading dot asks for below, an empty domain is all.
fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    match name.strip_suffix(&domain) {
        None => false,
        Some("") => true,
        Some(rest) => domain.is_empty() || domain.starts_with('.') || rest.ends_with('.'),
    }
}

/// Whether a wildcard stands for an excluded name among others: `*.example.com` for `a.example.com`.
fn wildcard_covers(name: &str, tree: &Subtree) -> bool {
    match (name.strip_prefix('*'), tree) {
        (Some(rest), Subtree::Dns(domain)) => domain
            .find('.')
            .is_some_and(|dot| !rest.is_empty() && rest.eq_ignore_ascii_case(&domain[dot..])),
        _ => false,
    }
}

fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((one, one_domain)), Some((other, other_domain))) => {
            one == other && one_domain.eq_ignore_ascii_case(other_domain)
        }
        _ => false,
    }
}

/// The host of a URI; one without, or with an address, cannot be held against constraints.
fn uri_host(uri: &str) -> Result<String, String> {
    let after = uri.split_once("://").map_or("", |(_, after)| after);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_literal = host.starts_with('[');
    let host = match host.rsplit_once(':') {
        Some((host, _)) if !is_literal => host,
        _ => host,
    };
    if host.is_empty() {
        return Err(format!(
            "URI with empty host ({uri:?}) cannot be matched against constraints"
        ));
    }
    if is_literal || host.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "URI with IP ({uri:?}) cannot be matched against constraints"
        ));
    }
    Ok(host.to_ascii_lowercase())
}

/// Whether Go takes it for a domain where constraints are in force: no blanks, no empty label but for an empty name.
fn is_domain(name: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| (33..=126).contains(&byte));
    name.is_empty() || name.split('.').all(is_label)
}

/// Whether a client that asks for `host` takes `pattern`: a wildcard is one whole label, the first.
fn is_match(pattern: &str, host: &str) -> bool {
    if !is_hostname(host.strip_suffix('.').unwrap_or(host), false) || !is_hostname(pattern, true) {
        return !["", "."].contains(&pattern) && pattern.eq_ignore_ascii_case(host);
    }
    has_labels(pattern, host)
}

/// Whether the labels are the same, or the first of the pattern is a wildcard; a dot at the end of a host says nothing.
fn has_labels(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (mut patterns, mut labels) = (pattern.split('.'), host.split('.'));
    let first = match (patterns.next(), labels.next()) {
        (Some("*"), Some(_)) => true,
        (Some(pattern), Some(label)) => pattern.eq_ignore_ascii_case(label),
        _ => false,
    };
    first
        && !pattern.is_empty()
        && patterns
            .map(str::to_ascii_lowercase)
            .eq(labels.map(str::to_ascii_lowercase))
}

fn is_hostname(name: &str, is_pattern: bool) -> bool {
    let is_label = |(at, label): (usize, &str)| {
        let allowed = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'_' | b'-');
        let is_wildcard = is_pattern && at == 0 && label == "*";
        is_wildcard || !label.is_empty() && !label.starts_with('-') && label.bytes().all(allowed)
    };
    name != "*" && name.split('.').enumerate().all(is_label)
}

fn other_address(leaf: &Certificate, address: &str) -> Refusal {
    let ips: Vec<String> = leaf.names.ips.iter().map(ToString::to_string).collect();
    let is_named = leaf.names.dns.iter().any(|name| name == address);
    let (problem, go) = match ips.len() {
        0 if is_relying_on_common_name(leaf, address) => only_common_name(),
        0 => {
            let problem = match is_named {
                true => "the address stands there as a host name, which does not count",
                false => "it holds no addresses",
            };
            let go = format!(
                "x509: cannot validate certificate for {address} because it doesn't contain any IP SANs"
            );
            (problem.to_owned(), go)
        }
        count @ MOST_NAMES.. => (
            format!("it holds {count} other addresses"),
            format!("x509: certificate is valid for {count} IP SANs, but none matched {address}"),
        ),
        _ => (
            format!("it holds {}", ips.join(", ")),
            format!(
                "x509: certificate is valid for {}, not {address}",
                ips.join(", ")
            ),
        ),
    };
    other_names(leaf, address, problem, go)
}

fn other_host(leaf: &Certificate, host: &str) -> Refusal {
    let names = &leaf.names.dns;
    let (problem, go) = match names.len() {
        _ if is_relying_on_common_name(leaf, host) => only_common_name(),
        _ if names.join(", ").is_empty() => (
            "it holds no host names".to_owned(),
            format!("x509: certificate is not valid for any names, but wanted to match {host}"),
        ),
        count @ MOST_NAMES.. => (
            format!("it holds {count} other host names"),
            format!("x509: certificate is valid for {count} names, but none matched {host}"),
        ),
        _ => (
            format!("it holds {}", names.join(", ")),
            format!(
                "x509: certificate is valid for {}, not {host}",
                names.join(", ")
            ),
        ),
    };
    other_names(leaf, host, problem, go)
}

fn is_relying_on_common_name(leaf: &Certificate, host: &str) -> bool {
    let name = leaf.subject.common_name.as_deref().unwrap_or_default();
    leaf.names.is_empty() && has_labels(name, host)
}

fn only_common_name() -> (String, String) {
    (
        "it holds the name as its common name only, which does not count any more".to_owned(),
        "x509: certificate relies on legacy Common Name field, use SANs instead".to_owned(),
    )
}

fn other_names(leaf: &Certificate, host: &str, problem: String, go: String) -> Refusal {
    Refusal::OtherNames {
        who: Who::new(Role::Leaf, leaf),
        host: host.to_owned(),
        problem,
        go,
    }
}
