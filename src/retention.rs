//! Which backups stay, and why: a pure function of policy, backups and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{BackupId, ClusterId};

/// How many backups each rule keeps; a rule that is zero keeps none.
///
/// The period rules keep the newest backup of each of the last N periods *that have one*, in UTC, so that
/// a pause in the backups never makes an old backup expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The newest N.
    pub keep_last: usize,
    /// One for each of the newest N hours.
    pub keep_hourly: usize,
    /// One for each of the newest N days.
    pub keep_daily: usize,
    /// One for each of the newest N ISO weeks.
    pub keep_weekly: usize,
    /// One for each of the newest N months.
    pub keep_monthly: usize,
    /// One for each of the newest N years.
    pub keep_yearly: usize,
    /// How many verified backups stay, whatever the rules say.
    pub minimum: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep_last: 0,
            keep_hourly: 0,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
            keep_yearly: 0,
            minimum: 3,
        }
    }
}

impl Policy {
    /// Whether no rule keeps anything: then nothing may be pruned by it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing = Self::default();
        *self
            == Self {
                minimum: self.minimum,
                ..nothing
            }
    }
}

/// What is known of a backup's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its stored object was read whole and had the right digests.
    Verified,
    /// Nobody has read it back yet.
    Unproven,
    /// The last verification found it damaged.
    Damaged,
}

/// A backup as retention sees it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: BackupId,
    /// When it was taken; ids tell it only to the second.
    pub started_at: DateTime<Utc>,
    /// The cluster that it was taken of.
    pub cluster_id: ClusterId,
    /// Whether it is exempt.
    pub pinned: bool,
    /// What is known of its health.
    pub health: Health,
}

/// What retention says of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The backup.
    pub id: BackupId,
    /// Why it stays; empty if it goes.
    pub reasons: Vec<String>,
}

impl Decision {
    /// Whether the backup stays.
    #[must_use]
    pub fn keeps(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Decides for every candidate, newest first.
///
/// Only backups of `cluster_id` can go. Damaged backups take no good one's place under a rule. The newest
/// backup that is not damaged always stays, and so do the newest verified ones up to the policy's minimum.
#[must_use]
pub fn decide(
    policy: &Policy,
    candidates: &[Candidate],
    cluster_id: ClusterId,
    now: DateTime<Utc>,
) -> Vec<Decision> {
    let mut newest_first: Vec<&Candidate> = candidates.iter().collect();
    newest_first.sort_by_key(|candidate| Reverse((candidate.started_at, &candidate.id)));
    let mut reasons: BTreeMap<&BackupId, Vec<String>> = BTreeMap::new();

    keep_what_no_rule_may_touch(&newest_first, cluster_id, now, &mut reasons);
    let mut ours = newest_first.clone();
    ours.retain(|one| one.cluster_id == cluster_id && !is_of_the_future(one, now));
    let mut good = ours.clone();
    good.retain(|one| one.health != Health::Damaged);
    apply_rules(policy, &good, &mut reasons);
    keep_damaged_like_good(policy, &ours, &mut reasons);
    if let Some(newest) = good.first() {
        add(&mut reasons, newest, "newest good backup");
    }
    keep_minimum(policy.minimum, &good, &mut reasons);

    newest_first
        .into_iter()
        .map(|candidate| Decision {
            id: candidate.id.clone(),
            reasons: reasons.remove(&candidate.id).unwrap_or_default(),
        })
        .collect()
}

fn add<'a>(
    reasons: &mut BTreeMap<&'a BackupId, Vec<String>>,
    candidate: &'a Candidate,
    why: impl Into<String>,
) {
    reasons.entry(&candidate.id).or_default().push(why.into());
}

fn keep_what_no_rule_may_touch<'a>(
    candidates: &[&'a Candidate],
    cluster_id: ClusterId,
    now: DateTime<Utc>,
    reasons: &mut BTreeMap<&'a BackupId, Vec<String>>,
) {
    for candidate in candidates {
        if candidate.pinned {
            add(reasons, candidate, "pinned");
        }
        if candidate.cluster_id != cluster_id {
            let why = format!("of another cluster id ({})", candidate.cluster_id);
            add(reasons, candidate, why);
        }
        if is_of_the_future(candidate, now) {
            add(reasons, candidate, "dated in the future");
        }
    }
}

/// A clock that ran ahead must not make a backup look like the newest of its day for years: it takes nobody's place.
fn is_of_the_future(candidate: &Candidate, now: DateTime<Utc>) -> bool {
    candidate.started_at > now + Duration::minutes(5)
}

/// Names the period that a time lies in, for one rule.
type Period = fn(DateTime<Utc>) -> String;

fn apply_rules<'a>(
    policy: &Policy,
    newest_first: &[&'a Candidate],
    reasons: &mut BTreeMap<&'a BackupId, Vec<String>>,
) {
    for candidate in newest_first.iter().take(policy.keep_last) {
        add(reasons, candidate, "keep_last");
    }
    let rules: [(&str, usize, Period); 5] = [
        ("keep_hourly", policy.keep_hourly, |t| {
            t.format("%Y-%m-%d %H").to_string()
        }),
        ("keep_daily", policy.keep_daily, |t| {
            t.format("%Y-%m-%d").to_string()
        }),
        ("keep_weekly", policy.keep_weekly, |t| {
            let week = t.iso_week();
            format!("{}-{}", week.year(), week.week())
        }),
        ("keep_monthly", policy.keep_monthly, |t| {
            t.format("%Y-%m").to_string()
        }),
        ("keep_yearly", policy.keep_yearly, |t| t.year().to_string()),
    ];
    for (name, count, period) in rules {
        let mut seen = BTreeSet::new();
        for candidate in newest_first {
            let fresh = seen.insert(period(candidate.started_at));
            if seen.len() > count {
                break;
            }
            if fresh {
                add(reasons, candidate, name);
            }
        }
    }
}

/// Keeps a damaged backup for as long as the rules would have kept it whole: it is evidence, and may hold data.
fn keep_damaged_like_good<'a>(
    policy: &Policy,
    newest_first: &[&'a Candidate],
    reasons: &mut BTreeMap<&'a BackupId, Vec<String>>,
) {
    let mut as_if_good = BTreeMap::new();
    apply_rules(policy, newest_first, &mut as_if_good);
    for candidate in newest_first {
        if candidate.health == Health::Damaged && as_if_good.contains_key(&candidate.id) {
            add(reasons, candidate, "damaged, kept as evidence");
        }
    }
}

fn keep_minimum<'a>(
    minimum: usize,
    good: &[&'a Candidate],
    reasons: &mut BTreeMap<&'a BackupId, Vec<String>>,
) {
    let verified = || good.iter().filter(|c| c.health == Health::Verified);
    let kept = verified()
        .filter(|candidate| reasons.contains_key(&candidate.id))
        .count();
    let gone = verified().filter(|candidate| !reasons.contains_key(&candidate.id));
    let missing: Vec<&&Candidate> = gone.take(minimum.saturating_sub(kept)).collect();
    for candidate in missing {
        add(reasons, candidate, "minimum of verified backups");
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    const OURS: ClusterId = ClusterId(1);

    fn at(hours_ago: i64) -> Candidate {
        Candidate {
            id: BackupId::new(now() - Duration::hours(hours_ago), 0),
            started_at: now() - Duration::hours(hours_ago),
            cluster_id: OURS,
            pinned: false,
            health: Health::Verified,
        }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 21, 12, 30, 0).unwrap()
    }

    fn policy(keep_last: usize) -> Policy {
        Policy {
            keep_last,
            minimum: 0,
            ..Policy::default()
        }
    }

    fn kept(policy: &Policy, candidates: &[Candidate]) -> Vec<bool> {
        let decisions = decide(policy, candidates, OURS, now());
        let stays = |one: &Candidate| decisions.iter().any(|d| d.id == one.id && d.keeps());
        candidates.iter().map(stays).collect()
    }

    #[test]
    fn the_newest_n_stay() {
        let all = [at(1), at(2), at(3)];
        assert_eq!(kept(&policy(2), &all), [true, true, false]);
    }

    #[test]
    fn of_two_backups_in_one_second_the_later_one_is_the_newest() {
        let mut all = [at(1), at(1)];
        all[0].id = BackupId::new(all[0].started_at, 0xff_ffff);
        all[1].started_at += Duration::milliseconds(400);
        assert_eq!(kept(&policy(1), &all), [false, true]);
    }

    #[test]
    fn a_period_rule_keeps_the_newest_of_each_period_that_has_one() {
        let all = [at(0), at(1), at(30), at(31), at(24 * 40)];
        let daily = Policy {
            keep_daily: 3,
            ..policy(0)
        };
        assert_eq!(kept(&daily, &all), [true, false, true, false, true]);
    }

    #[test]
    fn pinned_foreign_and_future_backups_are_not_touched() {
        let mut all = [at(1), at(2), at(3), at(4), at(-2)];
        all[1].pinned = true;
        all[2].cluster_id = ClusterId(2);
        assert_eq!(kept(&policy(1), &all[..4]), [true, true, true, false]);
        assert_eq!(kept(&policy(1), &all), [true, true, true, false, true]);
    }

    #[test]
    fn a_damaged_backup_takes_no_good_ones_place() {
        let mut all = [at(1), at(2), at(3), at(4)];
        all[0].health = Health::Damaged;
        assert_eq!(kept(&policy(2), &all), [true, true, true, false]);
    }

    #[test]
    fn a_minimum_of_verified_backups_stays_whatever_the_rules_say() {
        let mut all = [at(1), at(2), at(3), at(4), at(5)];
        all[0].health = Health::Unproven;
        all[2].health = Health::Unproven;
        let minimum = Policy {
            minimum: 2,
            ..policy(1)
        };
        assert_eq!(kept(&minimum, &all), [true, true, false, true, false]);
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        let health = [Health::Verified, Health::Unproven, Health::Damaged];
        (
            0_i64..5000,
            0_u64..3,
            prop::sample::select(health.to_vec()),
            0_u32..1000,
        )
            .prop_map(|(hours, cluster, health, tail)| Candidate {
                id: BackupId::new(at(hours).started_at, tail),
                cluster_id: ClusterId(cluster),
                pinned: hours % 7 == 0,
                health,
                ..at(hours)
            })
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        prop::array::uniform5(0_usize..4).prop_map(|[last, hourly, daily, monthly, minimum]| {
            Policy {
                keep_last: last,
                keep_hourly: hourly,
                keep_daily: daily,
                keep_monthly: monthly,
                minimum,
                ..Policy::default()
            }
        })
    }

    proptest! {
        #[test]
        fn no_policy_removes_the_newest_good_one_or_goes_below_the_minimum(
            policy in any_policy(),
            all in prop::collection::vec(any_candidate(), 0..40),
        ) {
            let decisions = decide(&policy, &all, OURS, now());
            let stays = |id: &BackupId| decisions.iter().any(|d| d.id == *id && d.keeps());
            let good = all.iter().filter(|c| c.cluster_id == OURS && c.health != Health::Damaged);
            if let Some(newest) = good.map(|c| &c.id).max() {
                prop_assert!(stays(newest));
            }
            let verified: BTreeSet<_> = all
                .iter()
                .filter(|c| c.cluster_id == OURS && c.health == Health::Verified)
                .map(|c| c.id.clone())
                .collect();
            let left = verified.iter().filter(|id| stays(id)).count();
            prop_assert!(left >= policy.minimum.min(verified.len()));
        }

        #[test]
        fn what_was_pruned_once_is_all_that_the_same_policy_prunes(
            policy in any_policy(),
            all in prop::collection::vec(any_candidate(), 0..40),
        ) {
            let left: Vec<_> = decide(&policy, &all, OURS, now())
                .into_iter()
                .filter(Decision::keeps)
                .map(|d| d.id)
                .collect();
            let rest: Vec<_> = all.iter().filter(|c| left.contains(&c.id)).cloned().collect();
            prop_assert!(decide(&policy, &rest, OURS, now()).iter().all(Decision::keeps));
        }
    }
}
