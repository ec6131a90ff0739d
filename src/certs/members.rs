//! The members of a cluster, and by which names and addresses they are called.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// Why a text names no member or host.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// Not `NAME=HOST`.
    #[error("`{text}` is no member: expected NAME=HOST, as in m1=10.0.0.1")]
    NotAMember { text: String },

    /// No name that a file can have.
    #[error(
        "`{name}` is no name for a member: its files are named so, and it holds more than letters, digits, `.`, `_` and `-`"
    )]
    BadName { name: String },

    /// Nothing that a certificate can answer to.
    #[error("`{text}` is no host name and no address: {problem}")]
    NotAHost { text: String, problem: &'static str },

    /// Nobody is there.
    #[error("the cluster has no members")]
    NoMembers,

    /// Two members would answer to the same.
    #[error("`{host}` is of `{one}` and of `{other}`")]
    SharedHost {
        host: Host,
        one: String,
        other: String,
    },
}

/// A host name or an address, as it stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, perhaps with a wildcard as its first label.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = Error;

    /// Reads a host: a name, an address, `[::1]`, or the URL or `HOST:PORT` that it stands in.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |problem| Error::NotAHost {
            text: text.to_owned(),
            problem,
        };
        let host = bare(text);
        if let Ok(address) = host.parse::<IpAddr>() {
            return match address.is_unspecified() {
                true => Err(bad(
                    "it stands for every address; name those that clients use",
                )),
                false => Ok(Self::Address(address)),
            };
        }
        match name_flaw(&host) {
            Some(problem) => Err(bad(problem)),
            None => Ok(Self::Name(host)),
        }
    }
}

impl Host {
    /// Whether it is the machine itself, whichever that is.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// The host in a URL, in `HOST:PORT`, in brackets, or alone.
fn bare(text: &str) -> String {
    if text.contains("://")
        && let Ok(url) = Url::parse(text)
        && let Some(host) = url.host_str()
    {
        return host.trim_matches(['[', ']']).to_owned();
    }
    let text = match text.rsplit_once(':') {
        Some((host, port))
            if port.parse::<u16>().is_ok() && (host.ends_with(']') || !host.contains(':')) =>
        {
            host
        }
        _ => text,
    };
    text.trim_matches(['[', ']']).to_owned()
}

/// What keeps a text from being a host name (RFC 1123, 2.1).
fn name_flaw(name: &str) -> Option<&'static str> {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let looks_like_address = labels
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.is_empty() {
        return Some("it is empty");
    }
    if !name.is_ascii() {
        return Some("it is not ASCII; write an international name in its xn-- form");
    }
    if name.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    if looks_like_address {
        return Some("it looks like an address and is none");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (!labels.split('.').all(is_label)).then_some("only letters, digits, `-` and `.` stand in one")
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, by which its files are called.
    pub name: String,
    /// What clients call it by.
    pub client_hosts: BTreeSet<Host>,
    /// What members call it by, and where it calls them from.
    pub peer_hosts: BTreeSet<Host>,
}

impl Member {
    /// A member without hosts.
    ///
    /// # Errors
    /// If no file can have its name.
    pub fn new(name: &str) -> Result<Self, Error> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_name = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(is_plain)
            && !name.starts_with(['.', '-'])
            && !["private", "clients"].contains(&name);
        match is_name {
            true => Ok(Self {
                name: name.to_owned(),
                client_hosts: BTreeSet::new(),
                peer_hosts: BTreeSet::new(),
            }),
            false => Err(Error::BadName {
                name: name.to_owned(),
            }),
        }
    }

    /// Adds a host that clients and members call it by.
    pub fn add(&mut self, host: Host) {
        self.client_hosts.insert(host.clone());
        self.peer_hosts.insert(host);
    }
}

/// Reads `m1=10.0.0.1,m2=https://m2.example.com:2380,m1=m1.example.com`: a member may stand there several times, as in
/// etcd's `--initial-cluster`.
///
/// # Errors
/// If a part of it is none, or two members share a host.
pub fn parse_members(text: &str) -> Result<Vec<Member>, Error> {
    let mut members: Vec<Member> = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, host) = part.split_once('=').ok_or_else(|| Error::NotAMember {
            text: part.to_owned(),
        })?;
        let (name, host) = (name.trim(), host.trim().parse::<Host>()?);
        if let Some(member) = members.iter_mut().find(|member| member.name == name) {
            member.add(host);
            continue;
        }
        let mut member = Member::new(name)?;
        member.add(host);
        members.push(member);
    }
    if members.is_empty() {
        return Err(Error::NoMembers);
    }
    ensure_apart(&members)?;
    Ok(members)
}

/// Refuses members that share a host, as when one line was copied: each would then be taken for the other.
///
/// Loopback may be shared: so several members of a trial run on one machine.
///
/// # Errors
/// Names the first host that two have.
pub fn ensure_apart(members: &[Member]) -> Result<(), Error> {
    for (index, one) in members.iter().enumerate() {
        for other in &members[index + 1..] {
            let mut shared = one.peer_hosts.intersection(&other.peer_hosts);
            if let Some(host) = shared.find(|host| !host.is_loopback()) {
                return Err(Error::SharedHost {
                    host: host.clone(),
                    one: one.name.clone(),
                    other: other.name.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> String {
        match text.parse::<Host>() {
            Ok(Host::Name(name)) => format!("name {name}"),
            Ok(Host::Address(address)) => format!("address {address}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_host_is_found_in_whatever_form_it_is_written() {
        assert_eq!(host("10.0.0.1"), "address 10.0.0.1");
        assert_eq!(host("https://10.0.0.1:2380"), "address 10.0.0.1");
        assert_eq!(host("10.0.0.1:2380"), "address 10.0.0.1");
        assert_eq!(host("fd00::1"), "address fd00::1");
        assert_eq!(host("[fd00::1]:2380"), "address fd00::1");
        assert_eq!(host("https://[fd00::1]:2380"), "address fd00::1");
        assert_eq!(host("etcd-1.example.com:2379"), "name etcd-1.example.com");
        assert_eq!(host("*.etcd.example.com"), "name *.etcd.example.com");
    }

    #[test]
    fn what_no_certificate_could_answer_to_is_refused() {
        assert!(host("my host").contains("only letters"));
        assert!(host("").contains("empty"));
        assert!(host("10.0.0.300").contains("looks like an address"));
        assert!(host("0.0.0.0").contains("every address"));
        assert!(host("münchen.example").contains("xn--"));
        assert!(host("-a.example").contains("only letters"));
        assert!(host("a..b").contains("only letters"));
    }

    #[test]
    fn members_are_read_as_etcd_writes_them() {
        let members =
            parse_members("m1=10.0.0.1, m2=https://m2.example.com:2380,m1=m1.example.com").unwrap();
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["m1", "m2"]);
        assert_eq!(members[0].peer_hosts.len(), 2);
        assert!(parse_members("10.0.0.1").is_err());
        assert!(parse_members(" ,").is_err());
        assert!(parse_members("../x=10.0.0.1").is_err());
        assert!(parse_members("private=10.0.0.1").is_err());
        let shared = parse_members("m1=10.0.0.1,m2=10.0.0.1").unwrap_err();
        assert_eq!(shared.to_string(), "`10.0.0.1` is of `m1` and of `m2`");
        assert!(parse_members("m1=127.0.0.1,m2=127.0.0.1").is_ok());
    }
}
