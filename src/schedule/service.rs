//! The service: waits until something is due, has it done, and takes down how it ended.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::agenda::{self, Next};
use super::lead::{Candidate, RENEWAL, Standing};
use super::pages::Board;
use super::records::Error;
use super::{Calendar, Ended, Job, Records};

/// The longest sleep: a clock that jumps is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// What somebody asks of a service at work.
#[derive(Debug)]
pub enum Word {
    /// Keep this calendar from now on.
    Keep(Box<Calendar>),
    /// End.
    Stop,
}

/// What a service tells.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Told {
    /// It is at work, or stands by.
    Standing {
        /// Which.
        #[serde(flatten)]
        standing: Standing,
    },
    /// Something is begun.
    Began {
        /// What.
        job: Job,
        /// When it was due.
        due: DateTime<Utc>,
    },
    /// Something ended.
    Ended {
        /// What.
        job: Job,
        /// How.
        #[serde(flatten)]
        ended: Ended,
    },
    /// Another calendar is kept.
    Reloaded,
    /// What was done cannot be taken down: after a restart it may be done again.
    Forgetful {
        /// Why.
        why: String,
    },
}

/// A service.
pub struct Service<'a> {
    /// When everything is due.
    pub calendar: Calendar,
    /// What was done.
    pub records: Records,
    /// Where that is kept.
    pub path: PathBuf,
    /// Who else may be at work.
    pub candidate: Option<Candidate>,
    /// What is shown.
    pub board: Board,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Hears what happens.
    pub tell: &'a dyn Fn(&Told),
}

impl Service<'_> {
    /// Works until it is told to stop; `work` does one thing, and ends it soon and cleanly when it is cancelled.
    ///
    /// # Errors
    /// If the records cannot be written at the beginning.
    pub async fn run(
        mut self,
        words: &mut Receiver<Word>,
        work: &impl AsyncFn(Job, CancellationToken) -> Ended,
    ) -> Result<(), Error> {
        let now = (self.now)();
        self.records.fit(self.calendar.jobs(), now);
        self.records.write(&self.path)?;
        let mut stood: Option<Instant> = None;
        loop {
            if stood.is_none_or(|at| at.elapsed() >= RENEWAL) {
                self.stand().await;
                stood = Some(Instant::now());
            }
            let goes_on = match self.look() {
                Next::Run(job, due) => self.carry_out(job, due, words, work).await,
                Next::Wait(until) => self.rest(until, words).await,
            };
            if !goes_on {
                break;
            }
        }
        if let Some(candidate) = self.candidate.take() {
            candidate.resign().await;
        }
        Ok(())
    }

    async fn stand(&mut self) {
        let standing = match &mut self.candidate {
            Some(candidate) => candidate.stand().await,
            None => Standing::Leads,
        };
        let changed = {
            let mut status = self.board.status();
            let before = status.standing.replace(standing.clone());
            before.is_none_or(|before| {
                std::mem::discriminant(&before) != std::mem::discriminant(&standing)
            })
        };
        if changed {
            (self.tell)(&Told::Standing { standing });
        }
    }

    /// What is to be done next; what is due while another service is at work is passed over.
    fn look(&mut self) -> Next {
        let now = (self.now)();
        self.records.fit(self.calendar.jobs(), now);
        self.show(now);
        let works = self
            .board
            .status()
            .standing
            .as_ref()
            .is_some_and(Standing::works);
        match agenda::next(&self.calendar, &self.records, now) {
            Next::Run(job, _) if !works => {
                self.records.pass(job, now);
                Next::Wait(now)
            }
            next => next,
        }
    }

    fn show(&self, now: DateTime<Utc>) {
        let jobs = self.calendar.jobs();
        let jobs = jobs.map(|job| (job, agenda::due_at(&self.calendar, &self.records, job, now)));
        let mut status = self.board.status();
        status.looked_at = now;
        status.take(jobs, &self.records);
    }

    /// Sleeps until then, or until a word comes; says whether to go on.
    async fn rest(&mut self, until: DateTime<Utc>, words: &mut Receiver<Word>) -> bool {
        let pause = (until - (self.now)()).to_std().unwrap_or_default();
        tokio::select! {
            () = sleep(pause.min(LONGEST_SLEEP)) => true,
            word = words.recv() => self.obey(word),
        }
    }

    fn obey(&mut self, word: Option<Word>) -> bool {
        match word {
            Some(Word::Keep(calendar)) => {
                self.calendar = *calendar;
                (self.tell)(&Told::Reloaded);
                true
            }
            Some(Word::Stop) | None => false,
        }
    }

    /// Has one thing done; says whether to go on. Who is told to stop meanwhile ends it first.
    async fn carry_out(
        &mut self,
        job: Job,
        due: DateTime<Utc>,
        words: &mut Receiver<Word>,
        work: &impl AsyncFn(Job, CancellationToken) -> Ended,
    ) -> bool {
        (self.tell)(&Told::Began { job, due });
        self.board.status().running = Some(job);
        let cancelled = CancellationToken::new();
        let mut at_work = std::pin::pin!(work(job, cancelled.clone()));
        let mut goes_on = true;
        let ended = loop {
            tokio::select! {
                ended = &mut at_work => break ended,
                word = words.recv(), if goes_on => {
                    goes_on = self.obey(word);
                    if !goes_on {
                        cancelled.cancel();
                    }
                }
                () = sleep(RENEWAL) => self.stand().await,
            }
        };
        self.board.status().running = None;
        (self.tell)(&Told::Ended {
            job,
            ended: ended.clone(),
        });
        // What was broken off is due again after the next start.
        if goes_on {
            self.records.took(job, ended);
        }
        if let Err(error) = self.records.write(&self.path) {
            let why = crate::progress::told(&error);
            (self.tell)(&Told::Forgetful { why });
        }
        goes_on
    }
}
