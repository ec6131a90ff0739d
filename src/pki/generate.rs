//! What is missing is made, what is right is left alone, and what is something else stops it.

use super::Error;
use super::sign::pair_of;
use super::signing::Authorities;
use super::work::{Generated, Setting, Work};
use crate::certs::Host;
use crate::certs::members::Member;
use crate::certs::profile::Kind;

/// The kinds of clients that have profiles of their own.
const OWN: [Kind; 3] = [Kind::Backup, Kind::Healthcheck, Kind::Proxy];

/// Makes what members and clients lack, the authorities first.
///
/// Nothing is written before everything is issued and vouched for. Keys are written before their certificates, so that a
/// run that was killed leaves no certificate without its key; the next one takes up the keys that it finds. `backup`,
/// `healthcheck` and `proxy` are clients with profiles of their own, every other client is a user of etcd.
///
/// # Errors
/// If a file that is there is not what would be made and may not be replaced, and if anything cannot be issued or written.
pub fn generate(
    setting: &Setting<'_>,
    members: &[Member],
    clients: &[String],
) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    let authorities = work.authorities()?;
    if setting.single_authority && !setting.layout.has_one_authority() {
        let copy = setting.layout.authority(Kind::PeerCa).certificate;
        work.bundle(copy, &authorities.ca.text)?;
    }
    for member in members {
        of_member(&mut work, setting, &authorities, member)?;
    }
    for name in clients {
        let kind = client_kind(name);
        let pair = setting.layout.of_client(name);
        work.leaf(kind, name, [].iter(), pair, &authorities)?;
    }
    work.finish()
}

/// Makes one certificate, of a member or a client, and the authorities where there are none.
///
/// # Errors
/// As [`generate`].
pub fn issue<'h>(
    setting: &Setting<'_>,
    kind: Kind,
    name: &str,
    hosts: impl Iterator<Item = &'h Host>,
) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    let authorities = work.authorities()?;
    let pair = pair_of(setting, kind, name);
    work.leaf(kind, name, hosts, pair, &authorities)?;
    work.finish()
}

/// The kind of a client's certificate, by the client's name.
#[must_use]
pub fn client_kind(name: &str) -> Kind {
    let own = OWN.into_iter().find(|kind| kind.name() == name);
    own.unwrap_or(Kind::Client)
}

fn of_member(
    work: &mut Work<'_>,
    setting: &Setting<'_>,
    authorities: &Authorities,
    member: &Member,
) -> Result<(), Error> {
    let (layout, name) = (setting.layout, member.name.as_str());
    work.bundle(layout.bundled(Kind::Ca, name), &authorities.ca.text)?;
    if !layout.has_one_authority() {
        let path = layout.bundled(Kind::PeerCa, name);
        work.bundle(path, &authorities.of_peers()?.text)?;
    }
    for (kind, hosts) in [
        (Kind::Server, &member.client_hosts),
        (Kind::Peer, &member.peer_hosts),
    ] {
        let pair = layout.of_member(kind, name);
        work.leaf(kind, name, hosts.iter(), pair, authorities)?;
    }
    for (user, pair) in layout.bundled_clients(name) {
        work.leaf(Kind::Client, user, [].iter(), pair, authorities)?;
    }
    Ok(())
}
