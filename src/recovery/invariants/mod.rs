//! What must hold after a recovery, looked at while the cluster serves; what hurts it is left to a drill.
//!
//! I7 and I8 take a record of what clients wrote, I10 a client that watched before, I15, I16, I21 and I22 restarts and faults: they are not
//! among these.

mod live;
mod nodes;
mod seen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::observation::Alarm;
use super::observe::{self, Backups, Nodes, observe};
use super::plan::PlannedMember;
use crate::config::Node;
use crate::etcd::Access;
use crate::id::{ClusterId, Revision};

/// How long nodes may take to be looked at.
const LIMIT: Duration = Duration::from_secs(20);

/// Something that must hold, and whether it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariant {
    /// Its name, such as `I5`.
    pub code: String,
    /// What must hold.
    pub title: String,
    /// Whether it does; `None` where nobody could look.
    pub ok: Option<bool>,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// What the cluster should be now.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Its members, all of them voters.
    pub members: Vec<PlannedMember>,
    /// The cluster before.
    pub old_cluster: Option<ClusterId>,
    /// Whether it began anew, and so must have another id.
    pub begins_anew: bool,
    /// The highest revision that anybody may have seen before.
    pub revision_before: Option<Revision>,
    /// Whether revisions were raised above that.
    pub is_bumped: bool,
    /// The alarms that may stand.
    pub alarms: Vec<Alarm>,
    /// The nodes whose settings were written.
    pub configured: Vec<String>,
    /// The token that was written there.
    pub token: Option<String>,
    /// The nodes whose data were set aside.
    pub set_aside: Vec<String>,
    /// The recovery that set them aside.
    pub run: String,
}

/// How the cluster is reached.
pub struct Request<'a> {
    /// The way to the members.
    pub access: &'a Access,
    /// The nodes of the configuration.
    pub nodes: &'a [Node],
    /// What the cluster should be.
    pub expected: &'a Expectation,
    /// What time it is.
    pub now: DateTime<Utc>,
}

/// Looks at everything, in the order of the names; takes three election timeouts and the life of a short lease.
///
/// A few keys below `etcdrx/check/` are written and go away again. `nodes` inspects the nodes.
pub async fn check(request: &Request<'_>, nodes: impl Future<Output = Nodes>) -> Vec<Invariant> {
    let look = observe::Request {
        access: request.access,
        nodes: request.nodes,
        now: request.now,
        limit: LIMIT,
    };
    let observation = observe(&look, nodes, async { Backups::default() }).await;
    let mut all = seen::invariants(request.expected, &observation);
    all.extend(nodes::invariants(request.expected, &observation));
    all.extend(live::invariants(request, &observation).await);
    all.sort_by_key(|invariant| number(&invariant.code));
    all
}

fn number(code: &str) -> u32 {
    code.trim_start_matches('I').parse().unwrap_or(u32::MAX)
}

/// What was found for one invariant.
#[derive(Default)]
struct Found {
    /// Why it does not hold.
    problems: Vec<String>,
    /// What could not be looked at.
    unseen: Vec<String>,
    /// What was seen that is as it should be.
    well: Vec<String>,
}

impl Found {
    fn unseen(why: impl Into<String>) -> Self {
        Self {
            unseen: vec![why.into()],
            ..Self::default()
        }
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    fn well(mut self, what: impl Into<String>) -> Self {
        self.well.push(what.into());
        self
    }

    /// One problem is enough; without one, everything must have been looked at.
    fn named(self, code: &str, title: &str) -> Invariant {
        let (ok, evidence) = match (self.problems.is_empty(), self.unseen.is_empty()) {
            (false, _) => (Some(false), self.problems),
            (true, false) => (None, self.unseen),
            (true, true) => (Some(true), self.well),
        };
        Invariant {
            code: code.to_owned(),
            title: title.to_owned(),
            ok,
            evidence,
        }
    }
}
