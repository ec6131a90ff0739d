//! What the machine says beside the files: as whom etcd runs, from where its connections come, and where names lead.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use nix::unistd::{self, Gid, Group, Uid};

use super::{Member, Subject, sources};
use crate::config::EtcdFlags;

/// How long the DNS may take for one name.
const PATIENCE: Duration = Duration::from_secs(3);

/// The user as whom etcd runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, or the number if that is all there is.
    pub name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// From where a member's connections to another one come, as this machine routes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The other member's host.
    pub to: String,
    /// The address that it sees.
    pub from: IpAddr,
}

impl User {
    /// Finds a user of this machine by name or number, with the groups that it is in and those that are named.
    ///
    /// # Errors
    /// If there is nobody of that name; a number needs no name.
    pub fn find(name: &str, groups: &[String]) -> Result<Self, String> {
        let number = name.parse().ok();
        let known = match number {
            Some(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
            None => unistd::User::from_name(name),
        };
        let known = known.ok().flatten();
        let own = known.as_ref().map(groups_of).unwrap_or_default();
        let named = groups.iter().filter_map(|group| match group.parse() {
            Ok(gid) => Some(gid),
            Err(_) => Some(Group::from_name(group).ok()??.gid.as_raw()),
        });
        let uid = number.or(known.map(|user| user.uid.as_raw()));
        Ok(Self {
            name: name.to_owned(),
            uid: uid.ok_or_else(|| format!("this machine knows no user `{name}`"))?,
            groups: own.into_iter().chain(named).collect(),
        })
    }

    /// Who starts a member, by its flags: as whom they say, or else the owner of the data that it wrote.
    pub(super) fn of(flags: &EtcdFlags) -> Option<Result<Self, String>> {
        if let Some(name) = &flags.user {
            return Some(Self::find(name, &flags.groups));
        }
        let data = Path::new(flags.get("data-dir").filter(|_| flags.is_config_file)?);
        let owner = fs::metadata(data.join("member")).or_else(|_| fs::metadata(data));
        let uid = Uid::from_raw(owner.ok()?.uid());
        let name = unistd::User::from_uid(uid).ok().flatten();
        let name = name.map_or_else(|| uid.to_string(), |user| user.name);
        Some(Self::find(&name, &flags.groups))
    }

    /// Why it may not read a file, if modes and owners say so; access control lists are not looked at.
    pub(super) fn refused(&self, path: &Path) -> Option<String> {
        let path = path.canonicalize().ok().filter(|_| self.uid != 0)?;
        let folders: Vec<&Path> = path.ancestors().skip(1).collect();
        let closed = folders
            .into_iter()
            .rev()
            .find(|folder| !self.may(folder, 0o1));
        if let Some(folder) = closed {
            return Some(format!("may not enter {}", folder.display()));
        }
        let mode = fs::metadata(&path).ok()?.mode() & 0o777;
        let words = format!("may not read it (mode {mode:04o}, and it belongs to another user)");
        (!self.may(&path, 0o4)).then_some(words)
    }

    fn may(&self, path: &Path, bit: u32) -> bool {
        let Ok(metadata) = fs::metadata(path) else {
            return true;
        };
        let shift = match (metadata.uid(), metadata.gid()) {
            (uid, _) if uid == self.uid => 6,
            (_, gid) if self.groups.contains(&gid) => 3,
            _ => 0,
        };
        metadata.mode() >> shift & bit != 0
    }
}

/// Finds out from where the connections of a member come, if its peer URL is one of this machine.
///
/// Nothing is sent: the system is asked for the route alone.
fn routed(flags: &EtcdFlags) -> Vec<Source> {
    let own = sources::hosts(flags, &["initial-advertise-peer-urls", "listen-peer-urls"]);
    let is_here = |host: &String| {
        let ip = host.parse::<IpAddr>().ok();
        ip.is_some_and(|ip| !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
    };
    // With this, etcd 3.6 and later come from the address that they advertise.
    let is_set = flags
        .list("feature-gates")
        .any(|gate| gate == "SetMemberLocalAddr=true");
    if is_set || !own.iter().any(is_here) {
        return Vec::new();
    }
    let others = sources::initial_hosts(flags).into_iter();
    let others = others.filter(|host| !own.contains(host));
    others
        .filter_map(|to| {
            Some(Source {
                from: route(to.parse().ok()?)?,
                to,
            })
        })
        .collect()
}

fn route(to: IpAddr) -> Option<IpAddr> {
    let from: IpAddr = match to {
        IpAddr::V4(_) => [0; 4].into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // etcd's own port, for a route that depends on it; no packet goes there.
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 2380)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Looks up the names on which it depends who may connect to the members, as this machine's DNS knows them.
///
/// A name that is not found has no addresses.
pub async fn look_up(subject: &mut Subject) {
    let names: BTreeSet<String> = sources::names_to_look_up(subject).into_iter().collect();
    let found = join_all(names.iter().map(|name| addresses_of(name))).await;
    subject.addresses.extend(names.into_iter().zip(found));
}

async fn addresses_of(name: &str) -> Vec<IpAddr> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
    let Ok(Ok(found)) = found else {
        return Vec::new();
    };
    let mut found: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    found.sort();
    found.dedup();
    found
}

fn groups_of(user: &unistd::User) -> Vec<u32> {
    let name = CString::new(user.name.as_str()).unwrap_or_default();
    let groups = unistd::getgrouplist(&name, user.gid);
    let groups = groups.unwrap_or_else(|_| vec![user.gid]);
    groups.into_iter().map(Gid::as_raw).collect()
}

impl Member {
    /// Learns from this machine what the flags alone do not tell.
    pub(super) fn on_this_machine(self) -> Self {
        Self {
            user: User::of(&self.flags),
            sources: routed(&self.flags),
            ..self
        }
    }
}
