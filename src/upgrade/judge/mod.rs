//! Judges what is known of a cluster by the rules of the version that is to come. Nothing here looks anywhere.

mod certificates;
mod data;
mod members;
mod names;
mod steps;
#[cfg(test)]
mod tests;
mod values;

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::{Facts, Minor};
use crate::manifest::Finding;

/// From where to where, and when.
#[derive(Debug, Clone, Copy)]
struct Upgrade {
    from: Option<Minor>,
    to: Minor,
    now: DateTime<Utc>,
}

impl Upgrade {
    /// Whether it leads from a version before `first` to that one or a later one; where it begins is not always known.
    fn crosses(self, first: Minor) -> bool {
        self.to >= first && self.from.is_none_or(|from| from < first)
    }
}

/// Finds what keeps `to` from starting on the cluster, or switches protection off; the worst first.
///
/// `from` is the version that the cluster runs, where that is known. Errors are what must be changed before the upgrade.
#[must_use]
pub fn judge(facts: &Facts, from: Option<Minor>, to: Minor, now: DateTime<Utc>) -> Vec<Finding> {
    let upgrade = Upgrade { from, to, now };
    let mut findings = facts.findings.clone();
    steps::judge(facts, upgrade, &mut findings);
    members::judge(facts, upgrade, &mut findings);
    data::judge(facts, upgrade, &mut findings);
    for settings in &facts.settings {
        names::judge(settings, upgrade, &mut findings);
        values::judge(settings, upgrade, &mut findings);
    }
    values::defaults(facts, upgrade, &mut findings);
    certificates::judge(facts, upgrade, &mut findings);
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once.sort_by_key(|finding| Reverse(finding.severity));
    once
}
