//! What is to be done next: pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Calendar, Job, Records};

/// The first pause after a failure that may pass; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(16);

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This, which was due then.
    Run(Job, DateTime<Utc>),
    /// Nothing until then.
    Wait(DateTime<Utc>),
}

/// What is to be done at `now`; of several that are due the first by their order.
#[must_use]
pub fn next(calendar: &Calendar, records: &Records, now: DateTime<Utc>) -> Next {
    let due = calendar.jobs().find_map(|job| {
        let handled = records.0.get(&job).map(|record| record.handled);
        let last = calendar.last(job, now);
        let last = last.filter(|due| handled.is_some_and(|handled| *due > handled));
        let again = retry_at(records, job, now).filter(|at| *at <= now);
        last.or(again).map(|due| Next::Run(job, due))
    });
    due.unwrap_or_else(|| {
        let times = calendar
            .jobs()
            .filter_map(|job| due_at(calendar, records, job, now));
        Next::Wait(times.min().unwrap_or(now + TimeDelta::days(1)))
    })
}

/// When a job will be begun next.
#[must_use]
pub fn due_at(
    calendar: &Calendar,
    records: &Records,
    job: Job,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let next = calendar.next(job, now);
    let again = retry_at(records, job, now);
    next.into_iter().chain(again).min()
}

/// When something that failed is tried again; not what will be due by itself before.
fn retry_at(records: &Records, job: Job, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let record = records.0.get(&job).filter(|record| record.failures > 0)?;
    let last = record.last.as_ref()?;
    let doubled = 2_u32.saturating_pow(record.failures - 1);
    let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    Some(last.ended_at.min(now) + TimeDelta::from_std(pause).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::{Ended, calendar};
    use super::*;
    use crate::config::Schedule;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-22T{text}Z").parse().unwrap()
    }

    fn hourly() -> calendar::Calendar {
        let schedule = Schedule {
            backup: Some("0 * * * *".to_owned()),
            prune: Some("0 12 * * *".to_owned()),
            ..Schedule::default()
        };
        Calendar::of(&schedule, at("00:00:00"), || 0.0).unwrap()
    }

    fn ended(from: &str, to: &str, exit_code: i32) -> Ended {
        Ended {
            started_at: at(from),
            ended_at: at(to),
            exit_code: Some(exit_code),
            message: String::new(),
        }
    }

    fn started_at(time: &str) -> Records {
        let mut records = Records::default();
        records.fit([Job::Backup, Job::Prune].into_iter(), at(time));
        records
    }

    #[test]
    fn who_begins_waits_for_the_next_time_and_then_runs_once() {
        let (calendar, mut records) = (hourly(), started_at("10:20:00"));
        assert_eq!(
            next(&calendar, &records, at("10:20:00")),
            Next::Wait(at("11:00:00"))
        );
        let due = Next::Run(Job::Backup, at("11:00:00"));
        assert_eq!(next(&calendar, &records, at("11:00:01")), due);
        records.took(Job::Backup, ended("11:00:01", "11:00:09", 0));
        assert_eq!(
            next(&calendar, &records, at("11:00:10")),
            Next::Wait(at("12:00:00"))
        );
        assert_eq!(records.0[&Job::Backup].succeeded_at, Some(at("11:00:09")));
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_and_the_most_important_comes_first() {
        let (calendar, mut records) = (hourly(), started_at("08:30:00"));
        // The machine slept.
        let now = at("15:10:00");
        assert_eq!(
            next(&calendar, &records, now),
            Next::Run(Job::Backup, at("15:00:00"))
        );
        records.took(Job::Backup, ended("15:10:00", "15:10:30", 0));
        assert_eq!(
            next(&calendar, &records, at("15:10:30")),
            Next::Run(Job::Prune, at("12:00:00"))
        );
        records.took(Job::Prune, ended("15:10:30", "15:10:31", 0));
        assert_eq!(
            next(&calendar, &records, at("15:10:32")),
            Next::Wait(at("16:00:00"))
        );
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_ever_later_and_a_finding_is_not() {
        let (calendar, mut records) = (hourly(), started_at("10:20:00"));
        records.took(Job::Backup, ended("11:00:00", "11:00:10", 5));
        assert_eq!(
            next(&calendar, &records, at("11:00:11")),
            Next::Wait(at("11:01:10"))
        );
        let again = Next::Run(Job::Backup, at("11:01:10"));
        assert_eq!(next(&calendar, &records, at("11:01:10")), again);
        records.took(Job::Backup, ended("11:01:10", "11:01:20", 5));
        assert_eq!(
            next(&calendar, &records, at("11:01:21")),
            Next::Wait(at("11:03:20"))
        );
        for _ in 0..40 {
            records.took(Job::Backup, ended("11:03:20", "11:03:30", 5));
        }
        assert_eq!(
            next(&calendar, &records, at("11:03:31")),
            Next::Wait(at("11:19:30"))
        );
        records.took(Job::Backup, ended("11:19:30", "11:19:40", 3));
        assert_eq!(
            next(&calendar, &records, at("11:19:41")),
            Next::Wait(at("12:00:00"))
        );
    }

    #[test]
    fn a_clock_that_was_put_back_silences_nothing() {
        let (calendar, mut records) = (hourly(), started_at("10:20:00"));
        records.took(Job::Backup, ended("23:00:00", "23:00:10", 0));
        records.took(Job::Prune, ended("23:00:10", "23:00:11", 0));

        records.fit(calendar.jobs(), at("13:30:00"));

        assert_eq!(
            next(&calendar, &records, at("13:30:00")),
            Next::Wait(at("14:00:00"))
        );
        assert_eq!(
            next(&calendar, &records, at("14:00:01")),
            Next::Run(Job::Backup, at("14:00:00"))
        );
    }
}
