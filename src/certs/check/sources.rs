//! From where members connect to each other, and whether the others let them in from there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use url::{Host, Url};

use super::{Member, Subject, note, warning};
use crate::certs::Certificate;
use crate::certs::judge::{SourceVerdict, may_come_from};
use crate::config::EtcdFlags;
use crate::manifest::Finding;

/// Checks every member that has others to connect to.
pub(super) fn check(subject: &Subject, findings: &mut Vec<Finding>) {
    for member in checked(subject) {
        if let Some((path, leaf)) = dialer(member) {
            for (from, whence) in sources(member, &subject.addresses) {
                let words = match may_come_from(&leaf, from) {
                    SourceVerdict::Accepted => continue,
                    SourceVerdict::Refused(refusal) => {
                        format!("{whence} the other members refuse it: {refusal}")
                    }
                    SourceVerdict::DependsOnNames(names) => {
                        let (words, is_so) = by_names(&names, from, &whence, &subject.addresses);
                        if is_so {
                            findings.push(note("v09-source", path, words));
                            continue;
                        }
                        words
                    }
                };
                findings.push(warning("v09-source", path, words));
            }
        }
    }
}

/// The names that decide who may connect to the members: those of certificates, and those that peer URLs hold.
pub(super) fn names_to_look_up(subject: &Subject) -> Vec<String> {
    let mut names = Vec::new();
    for member in checked(subject) {
        let Some((_, leaf)) = dialer(member) else {
            continue;
        };
        let depends = |from: &IpAddr| {
            let verdict = may_come_from(&leaf, *from);
            matches!(verdict, SourceVerdict::DependsOnNames(_))
        };
        let advertised = advertised_names(member);
        if !advertised.is_empty() || sources(member, &BTreeMap::new()).keys().any(depends) {
            let plain = leaf.names.dns.iter().filter(|name| !name.contains('*'));
            names.extend(plain.cloned());
        }
        names.extend(advertised);
    }
    names
}

/// The hosts of all members of a new cluster, by one member's flags.
pub(super) fn initial_hosts(flags: &EtcdFlags) -> Vec<String> {
    let urls = flags.list("initial-cluster");
    https_hosts(urls.filter_map(|entry| Some(entry.split_once('=')?.1.trim())))
}

/// The hosts of a member's https URLs, each once.
pub(super) fn hosts(flags: &EtcdFlags, names: &[&str]) -> Vec<String> {
    https_hosts(names.iter().flat_map(|name| flags.list(name)))
}

fn https_hosts<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let urls = urls.filter_map(|url| Url::parse(url).ok());
    let mut hosts: Vec<String> = urls
        .filter(|url| url.scheme() == "https")
        .filter_map(|url| match url.host()? {
            Host::Domain(name) => Some(name.to_owned()),
            Host::Ipv4(ip) => Some(ip.to_string()),
            Host::Ipv6(ip) => Some(ip.to_string()),
        })
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Members with others to connect to, which look where they come from.
fn checked(subject: &Subject) -> impl Iterator<Item = &Member> {
    let are_several = subject.members.len() > 1;
    subject.members.iter().filter(move |member| {
        let mut flags = member.flags.values.keys();
        let is_skipped = flags.any(|flag| flag.ends_with("peer-skip-client-san-verification"));
        let has_others = are_several || member.flags.list("initial-cluster").count() > 1;
        has_others && !is_skipped
    })
}

/// What a member shows to those it connects to.
fn dialer(member: &Member) -> Option<(&Path, Certificate)> {
    let pair = member.peer_client.as_ref().or(member.peer.as_ref())?;
    let leaf = pair.cert.chain().into_iter().next()?;
    Some((&pair.cert.path, leaf))
}

/// From where a member comes, with the beginning of a sentence that says it: as its machine routes it, where that is known, and
/// as it advertises itself otherwise.
fn sources(member: &Member, addresses: &BTreeMap<String, Vec<IpAddr>>) -> BTreeMap<IpAddr, String> {
    let routed = member.sources.iter().map(|source| {
        let whence = format!(
            "from {}, the way from this machine to {},",
            source.from, source.to
        );
        (source.from, whence)
    });
    let routed: BTreeMap<_, _> = routed.collect();
    if !routed.is_empty() {
        return routed;
    }
    let hosts = hosts(&member.flags, &["initial-advertise-peer-urls"]);
    let addresses = hosts.iter().flat_map(|host| match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => addresses.get(host).cloned().unwrap_or_default(),
    });
    addresses.map(|ip| (ip, format!("from {ip}"))).collect()
}

fn advertised_names(member: &Member) -> Vec<String> {
    let mut hosts = hosts(&member.flags, &["initial-advertise-peer-urls"]);
    hosts.retain(|host| host.parse::<IpAddr>().is_err());
    hosts
}

/// What the DNS has to say for a member to be let in, and whether it says so.
fn by_names(
    names: &[String],
    from: IpAddr,
    whence: &str,
    addresses: &BTreeMap<String, Vec<IpAddr>>,
) -> (String, bool) {
    let listed = names.join(" or ");
    let words =
        format!("{whence} the other members accept it only if the DNS says that this is {listed}");
    let known: Vec<&Vec<IpAddr>> = names
        .iter()
        .filter_map(|name| addresses.get(name))
        .collect();
    if known.iter().any(|all| all.contains(&from.to_canonical())) {
        return (format!("{words}, as it does now"), true);
    }
    let words = match known.is_empty() {
        true => words,
        false => format!("{words}; asked from here, it does not"),
    };
    (words, false)
}
