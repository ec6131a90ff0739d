//! When something is due, by the clocks of a time zone.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use thiserror::Error;

use super::Job;
use crate::config;

/// Why a schedule cannot be kept.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// An expression is none.
    #[error("`{text}` in [schedule] {job} is no cron expression")]
    Expression {
        job: Job,
        text: String,
        source: CronError,
    },

    /// It will never be due.
    #[error("`{text}` in [schedule] {job} never comes about")]
    Never { job: Job, text: String },

    /// The time zone is unknown.
    #[error("`{name}` in [schedule] timezone is no time zone such as Europe/Berlin")]
    Zone { name: String },

    /// Another scheduler cannot say the same.
    #[error("`{text}` in [schedule] {job} cannot be said to {scheduler} so that it means the same")]
    NotSaid {
        job: Job,
        text: String,
        scheduler: &'static str,
    },

    /// Nothing is to be done.
    #[error(
        "nothing is scheduled: [schedule] in etcdrx.toml says neither backup, verify, prune, drill nor certificates"
    )]
    Empty,
}

/// When everything is due.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: Tz,
    entries: BTreeMap<Job, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    cron: Cron,
    /// How much later than said it begins.
    delay: TimeDelta,
}

impl Calendar {
    /// Reads the expressions; `draw` gives a number from 0 to 1 for each, by which the jitter is shared out.
    ///
    /// # Errors
    /// If there are none, or one of them cannot be kept.
    pub fn of(
        schedule: &config::Schedule,
        now: DateTime<Utc>,
        mut draw: impl FnMut() -> f64,
    ) -> Result<Self, Error> {
        let zone = match &schedule.timezone {
            None => Tz::UTC,
            Some(name) => Tz::from_str(name).map_err(|_| Error::Zone { name: name.clone() })?,
        };
        let jitter = schedule.jitter.unwrap_or(Duration::ZERO);
        let mut calendar = Self {
            zone,
            entries: BTreeMap::new(),
        };
        for job in Job::ALL {
            let Some(text) = expression(schedule, job) else {
                continue;
            };
            let delay = TimeDelta::from_std(jitter.mul_f64(draw())).unwrap_or_default();
            let cron = parse(job, text)?;
            calendar.entries.insert(job, Entry { cron, delay });
            if calendar.next(job, now).is_none() {
                let text = text.to_owned();
                return Err(Error::Never { job, text });
            }
        }
        match calendar.entries.is_empty() {
            true => Err(Error::Empty),
            false => Ok(calendar),
        }
    }

    /// What it has expressions for.
    pub fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        self.entries.keys().copied()
    }

    /// When it is due next after `after`.
    #[must_use]
    pub fn next(&self, job: Job, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let entry = self.entries.get(&job)?;
        let said = (after - entry.delay).with_timezone(&self.zone);
        let next = entry.cron.find_next_occurrence(&said, false).ok()?;
        Some(next.with_timezone(&Utc) + entry.delay)
    }

    /// When it was due last, at `now` or before.
    #[must_use]
    pub fn last(&self, job: Job, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let entry = self.entries.get(&job)?;
        let said = (now - entry.delay).with_timezone(&self.zone);
        let last = entry.cron.find_previous_occurrence(&said, true).ok()?;
        Some(last.with_timezone(&Utc) + entry.delay)
    }
}

/// The cron expression that is configured for a job.
#[must_use]
pub fn expression(schedule: &config::Schedule, job: Job) -> Option<&str> {
    let text = match job {
        Job::Backup => &schedule.backup,
        Job::Verify => &schedule.verify,
        Job::Prune => &schedule.prune,
        Job::Drill => &schedule.drill,
        Job::Certificates => &schedule.certificates,
    };
    text.as_deref().filter(|text| !text.trim().is_empty())
}

fn parse(job: Job, text: &str) -> Result<Cron, Error> {
    // Five fields, as in a crontab: nothing here is worth a second.
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    parser.parse(text).map_err(|source| Error::Expression {
        job,
        text: text.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn calendar(backup: &str, zone: Option<&str>, jitter: Option<Duration>) -> Calendar {
        let schedule = config::Schedule {
            backup: Some(backup.to_owned()),
            timezone: zone.map(str::to_owned),
            jitter,
            ..config::Schedule::default()
        };
        Calendar::of(&schedule, at("2026-01-01T00:00:00Z"), || 0.5).unwrap()
    }

    /// When something is found to be due on a day, by who looks every ten minutes.
    fn times_on(calendar: &Calendar, day: &str) -> Vec<DateTime<Utc>> {
        let mut handled = at(&format!("{day}T00:00:00Z")) - TimeDelta::minutes(1);
        let mut due = Vec::new();
        for minute in (0..24 * 60).step_by(10) {
            let now = at(&format!("{day}T00:00:00Z")) + TimeDelta::minutes(minute);
            let last = calendar.last(Job::Backup, now).unwrap();
            if last > handled {
                due.push(now);
                handled = now;
            }
        }
        due
    }

    #[test]
    fn a_daily_backup_comes_once_on_the_days_when_clocks_are_changed() {
        let daily = calendar("30 2 * * *", Some("Europe/Berlin"), None);
        for day in ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"] {
            assert_eq!(
                times_on(&daily, day).len(),
                1,
                "{day}: {:?}",
                times_on(&daily, day)
            );
        }
    }

    #[test]
    fn what_comes_every_half_hour_goes_on_while_clocks_are_changed() {
        let often = calendar("*/30 * * * *", Some("Europe/Berlin"), None);
        for day in ["2026-03-29", "2026-10-25", "2026-11-22"] {
            let due = times_on(&often, day);
            let longest = due.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= TimeDelta::hours(1), "{day}: {longest}, {due:?}");
        }
    }

    #[test]
    fn jitter_delays_and_changes_nothing_else() {
        let exact = calendar("0 * * * *", None, None);
        let later = calendar("0 * * * *", None, Some(Duration::from_mins(20)));
        let now = at("2026-11-22T10:05:00Z");

        assert_eq!(
            exact.next(Job::Backup, now),
            Some(at("2026-11-22T11:00:00Z"))
        );
        assert_eq!(
            exact.last(Job::Backup, now),
            Some(at("2026-11-22T10:00:00Z"))
        );
        assert_eq!(
            later.next(Job::Backup, now),
            Some(at("2026-11-22T10:10:00Z"))
        );
        assert_eq!(
            later.last(Job::Backup, now),
            Some(at("2026-11-22T09:10:00Z"))
        );
        assert_eq!(exact.next(Job::Drill, now), None);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_name() {
        let refused = |backup: &str, zone: Option<&str>| {
            let schedule = config::Schedule {
                backup: Some(backup.to_owned()),
                timezone: zone.map(str::to_owned),
                ..config::Schedule::default()
            };
            let refused = Calendar::of(&schedule, at("2026-01-01T00:00:00Z"), || 0.0);
            refused.unwrap_err().to_string()
        };
        assert!(refused("whenever", None).contains("backup is no cron expression"));
        assert!(refused("* * * * * *", None).contains("no cron expression"));
        assert!(refused("0 0 30 2 *", None).contains("never comes about"));
        assert!(refused("0 0 * * *", Some("Mars/Base")).contains("no time zone"));
        assert!(refused(" ", None).contains("nothing is scheduled"));
    }
}
