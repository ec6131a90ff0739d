//! What is wrong with the certificates of a cluster, or will be: found in files alone, before etcd meets them.
//!
//! The codes of the findings begin with the family: `f` files, `v` certificates, `c` flags, `t` members against each other.

mod authorities;
mod cluster;
mod files;
mod flags;
mod layout;
mod leafs;
mod machine;
mod revocation;
mod sources;
mod start;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Certificate;
use super::judge::{TrustFile, read_trust};
use super::pem::Pem;
use crate::config::EtcdFlags;
use crate::manifest::{Finding, Severity};

pub use layout::{
    Error, add_started, find_certificates, key_beside, read_directory, read_file, read_inventory,
};
pub use machine::{Source, User, look_up};

/// A file as it was found.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds, or why it cannot be read.
    pub content: Result<Vec<u8>, String>,
    /// Its permissions.
    pub mode: u32,
}

/// A certificate with what is sent along, and the key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate first.
    pub cert: File,
    /// The key, where it is known.
    pub key: Option<File>,
}

/// What one member is given.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// What it is called.
    pub name: String,
    /// How it is started, as far as that is known.
    pub flags: EtcdFlags,
    /// What it shows on its client port (`--cert-file`).
    pub server: Option<Pair>,
    /// What it shows on its peer port, and to its peers (`--peer-cert-file`).
    pub peer: Option<Pair>,
    /// What it shows to itself instead (`--client-cert-file`).
    pub client: Option<Pair>,
    /// What it shows to its peers instead (`--peer-client-cert-file`).
    pub peer_client: Option<Pair>,
    /// Who may connect to its client port (`--trusted-ca-file`).
    pub trusted: Option<File>,
    /// Who may connect to its peer port (`--peer-trusted-ca-file`).
    pub peer_trusted: Option<File>,
    /// Keys of authorities that lie with it.
    pub authority_keys: Vec<PathBuf>,
    /// As whom etcd runs, where that is known, or why it cannot be told.
    pub user: Option<Result<User, String>>,
    /// From where it connects to the others, if it is a member of this machine.
    pub sources: Vec<Source>,
}

/// A client's certificate.
#[derive(Debug, Clone)]
pub struct Client {
    /// The certificate and the key.
    pub pair: Pair,
    /// Who trusts it.
    pub trusted: Option<File>,
    /// Whether `etcd grpc-proxy` shows it.
    pub is_proxy: bool,
}

/// Everything that is checked together.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The members.
    pub members: Vec<Member>,
    /// Those who connect to them.
    pub clients: Vec<Client>,
    /// Names and addresses by which clients reach the members, beside those that flags tell.
    pub hosts: Vec<String>,
    /// The users of etcd that clients log in as; all, if none is named.
    pub users: Vec<String>,
    /// What the DNS says of names, as far as it was asked ([`look_up`]).
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// An etcd to which an upgrade is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// etcd 3.6
    V36,
    /// etcd 3.7
    V37,
}

/// What is known of all files, and what is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The time by which certificates are judged.
    pub now: DateTime<Utc>,
    /// The etcd whose rules count; those that are supported now, if none is named.
    pub release: Option<Release>,
}

/// Finds what is wrong, the worst first.
#[must_use]
pub fn check(subject: &Subject, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &subject.members {
        flags::check(member, &mut findings);
        start::check(member, options, &mut findings);
        revocation::check(member, subject, options, &mut findings);
        files::check_access(member, &mut findings);
        for (file, _) in member.trust_files() {
            files::check_trust(file, &mut findings);
            authorities::check(file, options, &mut findings);
        }
        for key in &member.authority_keys {
            let words =
                "the key of an authority lies with a member; keep it where certificates are issued";
            findings.push(warning("f04-authority-key-on-member", key, words));
        }
        leafs::check_member(member, &subject.hosts, options, &mut findings);
    }
    for client in &subject.clients {
        leafs::check_client(client, subject, options, &mut findings);
    }
    cluster::check(subject, options, &mut findings);
    sources::check(subject, &mut findings);
    without_repetition(findings)
}

impl File {
    /// Its certificates, as etcd finds them in a certificate file: other blocks are passed over.
    #[must_use]
    pub fn chain(&self) -> Vec<Certificate> {
        let Ok(content) = &self.content else {
            return Vec::new();
        };
        Pem::read(content)
            .certificates()
            .filter_map(Result::ok)
            .collect()
    }

    /// What etcd makes of it as a file of trusted authorities; nothing if it cannot be read.
    #[must_use]
    pub fn trust(&self) -> Option<TrustFile> {
        self.content.as_deref().ok().map(read_trust)
    }
}

impl Member {
    /// What it shows, in every role.
    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        [&self.server, &self.peer, &self.client, &self.peer_client]
            .into_iter()
            .flatten()
    }

    /// The files of trusted authorities, each once, and whether it is that of the peer port.
    fn trust_files(&self) -> Vec<(&File, bool)> {
        let peer = self.peer_trusted.as_ref().map(|file| (file, true));
        let client = self.trusted.as_ref().map(|file| (file, false));
        let mut files: Vec<_> = client.into_iter().chain(peer).collect();
        files.dedup_by(|one, other| one.0.path == other.0.path);
        files
    }
}

fn error(code: &str, path: &Path, words: impl std::fmt::Display) -> Finding {
    Finding::error(code, format!("{}: {words}", path.display()))
}

fn warning(code: &str, path: &Path, words: impl std::fmt::Display) -> Finding {
    Finding::warning(code, format!("{}: {words}", path.display()))
}

fn note(code: &str, path: &Path, words: impl std::fmt::Display) -> Finding {
    Finding::note(code, format!("{}: {words}", path.display()))
}

/// Several members may share a file, and one fault may be met in several ways.
fn without_repetition(findings: Vec<Finding>) -> Vec<Finding> {
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        let known =
            |other: &&mut Finding| other.code == finding.code && other.message == finding.message;
        match once.iter_mut().find(known) {
            Some(other) => other.severity = other.severity.max(finding.severity),
            None => once.push(finding),
        }
    }
    let rank = |severity: Severity| std::cmp::Reverse(severity);
    once.sort_by_key(|finding| rank(finding.severity));
    once
}
