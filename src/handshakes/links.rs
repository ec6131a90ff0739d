//! Which members do not reach each other, and on which side the fault is: what `endpoint health` does not show.

use std::collections::{BTreeMap, BTreeSet};

use crate::etcd::probe::Links;
use crate::id::MemberId;
use crate::manifest::Finding;

/// From whom to whom, and whether the connection stands.
type Table = BTreeMap<(MemberId, MemberId), bool>;

/// When a cluster with half of its connections fails.
const LATER: &str =
    "the cluster is healthy until a member is added to it, or this one comes back empty";

/// What mends a peer certificate that fails in one direction.
const REISSUE: &str =
    "reissue its peer certificate with serverAuth, clientAuth and all its addresses (no restart)";

/// Judges the connections between the members, from what each of them tells at its endpoint.
///
/// Raft talks over whichever direction stands, so a cluster with half of its connections is healthy until a member is
/// added or comes back empty.
pub(super) fn judge(told: &[(&str, &Links)]) -> Vec<Finding> {
    let mesh = Mesh::of(told);
    let mut findings = Vec::new();
    let mut explained = BTreeSet::new();
    for &member in &mesh.members {
        if let Some((code, message)) = mesh.fault_of(member) {
            findings.push(Finding::error(code, message));
            explained.insert(member);
        }
    }
    for (&(from, to), &stands) in &mesh.table {
        let is_explained = explained.contains(&from) || explained.contains(&to);
        if !stands && !is_explained {
            findings.push(Finding::error("peer-link-down", mesh.link_down(from, to)));
        }
    }
    findings.extend(mesh.strangers().map(|member| {
        let message = format!(
            "{} has had no connection with any other member since it started: compare their --peer-trusted-ca-file and the dates of their peer certificates, and read the lines `rejected connection` in their logs",
            mesh.label(member)
        );
        Finding::error("peer-never-connected", message)
    }));
    findings
}

struct Mesh<'a> {
    members: BTreeSet<MemberId>,
    /// The members that were asked, and where.
    asked: BTreeMap<MemberId, &'a str>,
    table: Table,
}

impl<'a> Mesh<'a> {
    fn of(told: &[(&'a str, &Links)]) -> Self {
        let mut mesh = Self {
            members: BTreeSet::new(),
            asked: BTreeMap::new(),
            table: Table::new(),
        };
        for (endpoint, links) in told {
            let Some(member) = links.member else {
                continue;
            };
            mesh.asked.insert(member, endpoint);
            mesh.members.insert(member);
            for link in &links.links {
                mesh.members.insert(link.remote);
                mesh.table.insert((member, link.remote), link.is_active);
            }
        }
        mesh
    }

    /// What is wrong with all connections of a member in one direction or both, if anything is.
    fn fault_of(&self, member: MemberId) -> Option<(&'static str, String)> {
        let dials = self.states(|(from, _)| *from == member);
        let is_dialled = self.states(|(_, to)| *to == member);
        let who = self.label(member);
        let (reaches, is_reached) = (dials.contains(&true), is_dialled.contains(&true));
        let (dials_nobody, by_nobody) = (all_down(&dials), all_down(&is_dialled));
        if dials_nobody && is_reached {
            let message = format!(
                "{who} reaches no other member, though they reach it: its peer certificate fails when it dials (no clientAuth, an address in it that is not the one it dials from, or revoked); {LATER}; {REISSUE}"
            );
            return Some(("peer-dials-nobody", message));
        }
        if by_nobody && reaches {
            let message = format!(
                "no other member reaches {who}, though it reaches them: its peer certificate fails when it is dialled (no serverAuth, or its advertised peer address is not in it as an IP address); {LATER}; {REISSUE}"
            );
            return Some(("peer-dialled-by-nobody", message));
        }
        if dials_nobody || by_nobody {
            let message = format!(
                "{who} and the other members do not reach each other: one side is down, the network is cut, or a peer certificate is refused in both directions (expired, or of another authority); start what is down, then read the lines `rejected connection` in their logs"
            );
            return Some(("peer-cut-off", message));
        }
        None
    }

    fn states(&self, of: impl Fn(&(MemberId, MemberId)) -> bool) -> Vec<bool> {
        let links = self.table.iter().filter(|(link, _)| of(link));
        links.map(|(_, stands)| *stands).collect()
    }

    /// The members that were asked and have no connection, not even one that is down, while others are known.
    fn strangers(&self) -> impl Iterator<Item = MemberId> {
        let has_others = self.members.len() > 1;
        let asked = self.asked.keys().copied().filter(move |_| has_others);
        asked.filter(|member| {
            let mut links = self.table.keys();
            !links.any(|(from, to)| from == member || to == member)
        })
    }

    fn link_down(&self, from: MemberId, to: MemberId) -> String {
        format!(
            "{} does not reach {}: the peer certificate of the first fails when it dials, or that of the second when it is dialled, or the second is down; the line `rejected connection` or `failed to dial` in their logs says which",
            self.label(from),
            self.label(to)
        )
    }

    fn label(&self, member: MemberId) -> String {
        match self.asked.get(&member) {
            Some(endpoint) => format!("member {member} ({endpoint})"),
            None => format!("member {member}"),
        }
    }
}

/// Whether several connections are all down; of a single one nobody can say which end breaks it.
fn all_down(links: &[bool]) -> bool {
    links.len() > 1 && links.iter().all(|stands| !stands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::probe::Link;

    /// What a member tells: the others, and whether it reaches them.
    fn told(member: u64, links: &[(u64, bool)]) -> Links {
        let link = |(remote, is_active): &(u64, bool)| Link {
            remote: MemberId(*remote),
            is_active: *is_active,
            disconnections: 0,
        };
        Links {
            member: Some(MemberId(member)),
            links: links.iter().map(link).collect(),
        }
    }

    fn codes(told: &[Links]) -> Vec<String> {
        let told: Vec<_> = told.iter().map(|links| ("https://m:2379", links)).collect();
        let findings = judge(&told).into_iter();
        findings.map(|finding| finding.code).collect()
    }

    #[test]
    fn whole_clusters_have_no_findings() {
        assert!(codes(&[told(1, &[])]).is_empty());
        assert!(codes(&[told(1, &[(2, true)]), told(2, &[(1, true)])]).is_empty());
    }

    #[test]
    fn where_the_zeros_stand_tells_the_direction() {
        let dialer = [
            told(1, &[(2, true), (3, true)]),
            told(2, &[(1, true), (3, true)]),
            told(3, &[(1, false), (2, false)]),
        ];
        assert_eq!(codes(&dialer), ["peer-dials-nobody"]);
        let server = [
            told(1, &[(2, true), (3, false)]),
            told(2, &[(1, true), (3, false)]),
            told(3, &[(1, true), (2, true)]),
        ];
        assert_eq!(codes(&server), ["peer-dialled-by-nobody"]);
        assert_eq!(codes(&server[..2]), ["peer-cut-off"]);
        assert_eq!(codes(&dialer[1..]), ["peer-dials-nobody"]);
    }

    #[test]
    fn of_two_members_no_side_is_blamed() {
        let half = [told(1, &[(2, false)]), told(2, &[(1, true)])];
        assert_eq!(codes(&half), ["peer-link-down"]);
    }

    #[test]
    fn a_member_that_nobody_ever_saw_is_named() {
        let stranger = [told(1, &[(2, true)]), told(2, &[(1, true)]), told(3, &[])];
        assert_eq!(codes(&stranger), ["peer-never-connected"]);
    }
}
