//! Which members a member dials, as its own metrics tell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::http::{exchange, odd};
use crate::etcd::Error;
use crate::etcd::credentials::Identity;
use crate::id::MemberId;

const ACTIVE: &str = "etcd_network_active_peers";
const DISCONNECTED: &str = "etcd_network_disconnected_peers_total";
const OWN_ID: &str = "etcd_server_id";

/// The connections that one member has to the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Who tells.
    pub member: Option<MemberId>,
    /// Each member with which it ever exchanged a message; a missing one was never connected.
    pub links: Vec<Link>,
}

/// The connection from one member to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// To whom.
    pub remote: MemberId,
    /// Whether it stands.
    ///
    /// Where certificates break one direction only, the cluster is healthy all the same, and this is the sign. On the
    /// bad member, for every peer: its certificate fails as the dialer's. On the others, for the bad one: it fails as
    /// the server's (measured on 3.5.33, 3.6.14 and 3.7.1).
    pub is_active: bool,
    /// How often it broke since the member started.
    pub disconnections: u64,
}

/// Reads the metrics of a member at its client URL (`/metrics`); `http://` goes without TLS.
///
/// # Errors
/// If it cannot be reached, or gives no metrics: `--listen-client-http-urls` moves them to another port.
pub async fn peers(
    client_url: &str,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<Links, Error> {
    let what = "GET /metrics";
    let answer = exchange(client_url, what, "", identity, patience).await?;
    let text = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200 if text.contains("etcd_") => Ok(read(&text)),
        status => Err(odd(client_url, what, status)),
    }
}

/// Reads the text format of Prometheus, as far as these three metrics go.
fn read(text: &str) -> Links {
    let mut member = None;
    let mut links: BTreeMap<MemberId, Link> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, labels, value)) = sample(line) else {
            continue;
        };
        if name == OWN_ID {
            member = id(labels, "server_id");
        }
        let Some(remote) = id(labels, "Remote").filter(|_| [ACTIVE, DISCONNECTED].contains(&name))
        else {
            continue;
        };
        member = id(labels, "Local").or(member);
        let link = links.entry(remote).or_insert(Link {
            remote,
            is_active: false,
            disconnections: 0,
        });
        match name {
            ACTIVE => link.is_active = value > 0.0,
            _ => link.disconnections = whole(value),
        }
    }
    Links {
        member,
        links: links.into_values().collect(),
    }
}

/// Name, labels and value of a line such as `name{Local="1",Remote="2"} 1`.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.split_once("} ")?;
    Some((name, labels, value.trim().parse().ok()?))
}

fn id(labels: &str, name: &str) -> Option<MemberId> {
    let label = labels.split(',').find_map(|label| {
        let (found, value) = label.trim().split_once('=')?;
        (found == name).then_some(value)
    })?;
    label.trim_matches('"').parse().ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count; a float that is none becomes the nearest one"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_of_a_member_are_read_from_its_metrics() {
        let text = "# HELP etcd_network_active_peers x\n\
            etcd_network_active_peers{Local=\"a\",Remote=\"b\"} 1\n\
            etcd_network_active_peers{Local=\"a\",Remote=\"c\"} 0\n\
            etcd_network_active_peers{Local=\"a\"\n\
            etcd_network_disconnected_peers_total{Local=\"a\",Remote=\"c\"} 3\n\
            etcd_network_peer_sent_bytes_total{To=\"c\"} 1\n";

        let links = read(text);

        assert_eq!(links.member, Some(MemberId(10)));
        let [b, c] = links.links[..] else {
            panic!("{links:?}")
        };
        assert!(b.is_active && !c.is_active);
        assert_eq!((b.remote, c.remote), (MemberId(11), MemberId(12)));
        assert_eq!((b.disconnections, c.disconnections), (0, 3));
    }

    #[test]
    fn a_member_that_never_had_a_connection_is_known_by_its_own_id() {
        let links = read("etcd_server_id{server_id=\"8e9e05c52164694d\"} 1\nnothing{} x\n");

        assert_eq!(links.member, Some(MemberId(0x8e9e_05c5_2164_694d)));
        assert_eq!(links.links, []);
    }
}
