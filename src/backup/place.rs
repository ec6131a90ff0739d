//! The repositories that a backup goes to: each with a lock and an upload of its own, and each may drop out.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Error, Request, Taken};
use crate::manifest::{Finding, Manifest};
use crate::progress::{Event, Progress, told};
use crate::repository::{Folder, Lock, LockRecord, Upload, together};

/// A part of an upload that is tried a second time makes a store slow, not silent.
const TRIES: u32 = 2;

/// All repositories of one backup.
pub(super) struct Places<'a> {
    pub(super) all: Vec<Place<'a>>,
    /// How long one may hold the others up.
    grace: Duration,
    progress: &'a dyn Progress,
}

/// One of them.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    pub(super) lock: Option<Lock>,
    /// What is to be aborted if the run fails; empty again once the manifest may have been written.
    pub(super) upload: Option<Upload>,
    /// How it ended here: the manifest that was committed, or why there is none.
    pub(super) outcome: Option<Result<Manifest, Error>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(request: &Request<'a>) -> Self {
        let place = |folder| Place {
            folder,
            lock: None,
            upload: None,
            outcome: None,
        };
        Self {
            all: request.folders.iter().map(place).collect(),
            grace: request.settings.stall_timeout * TRIES,
            progress: request.progress,
        }
    }

    /// Whether one is left that could still get the backup.
    pub(super) fn any_left(&self) -> bool {
        self.all.iter().any(|place| place.outcome.is_none())
    }

    /// Does the same in all that are left, at once; whoever fails drops out, and so does who is silent while another one is done: it must
    /// not take the backup from the others.
    pub(super) async fn in_all<T>(
        &mut self,
        work: impl AsyncFn(&mut Place<'a>) -> Result<T, Error>,
    ) -> Vec<T> {
        let after = self.grace;
        let left = self.all.iter_mut().enumerate();
        let (indexes, places): (Vec<usize>, Vec<_>) =
            left.filter(|(_, place)| place.outcome.is_none()).unzip();
        let ended = together(places.into_iter().map(|place| work(place)), |_| after).await;
        let mut done = Vec::new();
        for (index, ended) in indexes.into_iter().zip(ended) {
            match ended {
                Some(Ok(result)) => done.push(result),
                Some(Err(error)) => self.drop_out(index, error),
                None => self.drop_out(index, Error::Silent { after }),
            }
        }
        done
    }

    pub(super) fn drop_out(&mut self, index: usize, error: Error) {
        if self.all.len() > 1 && !matches!(error, Error::Interrupted) {
            let label = self.all[index].folder.repository().label();
            let message = format!("{label}: {}; the backup goes on without it", told(&error));
            self.progress.event(Event::Warning(message));
        }
        self.all[index].outcome = Some(Err(error));
    }

    /// What taking the locks taught about clocks and about the stores.
    pub(super) fn noticed(&self) -> Vec<Finding> {
        let several = self.all.len() > 1;
        let locks = self.all.iter().filter_map(|place| {
            let whose = match several {
                true => format!("{}: ", place.folder.repository().label()),
                false => String::new(),
            };
            Some((whose, place.lock.as_ref()?))
        });
        let mut findings = Vec::new();
        for (whose, lock) in locks {
            let ahead = lock.store_clock_ahead.num_seconds();
            if ahead.abs() > 30 {
                let way = if ahead > 0 { "ahead of" } else { "behind" };
                let message = format!(
                    "{whose}the store's clock is {} seconds {way} this machine's: backup times may be wrong",
                    ahead.abs()
                );
                findings.push(Finding::warning("clock-skew", message));
            }
            if !lock.puts_if_absent {
                let message = format!(
                    "{whose}the store cannot create an object only if absent; locks and random ids keep writers apart"
                );
                findings.push(Finding::warning("no-put-if-absent", message));
            }
        }
        findings
    }

    /// Cleans up everywhere, whatever happened.
    pub(super) async fn end(&mut self) {
        join_all(self.all.iter_mut().map(Place::end)).await;
    }

    /// What became of the backup in each, if one has it.
    pub(super) fn into_outcome(self) -> Result<Taken, Error> {
        let outcomes = self.all.into_iter().map(|place| {
            let outcome = place.outcome.expect("every repository came to an end");
            (place.folder.repository().label().to_owned(), outcome)
        });
        let mut outcomes: Vec<_> = outcomes.collect();
        if outcomes.iter().any(|(_, outcome)| outcome.is_ok()) {
            let places = outcomes.into_iter().map(|(_, outcome)| outcome);
            return Ok(Taken {
                places: places.collect(),
            });
        }
        let single = outcomes.len() == 1;
        let mut failures = outcomes
            .drain(..)
            .filter_map(|(label, outcome)| Some((label, outcome.err()?)));
        match failures.next() {
            Some((_, error)) if single || matches!(error, Error::Interrupted) => Err(error),
            first => Err(Error::Nowhere {
                failures: first.into_iter().chain(failures).collect(),
            }),
        }
    }
}

impl Place<'_> {
    pub(super) async fn lock(
        &mut self,
        record: &LockRecord,
        request: &Request<'_>,
    ) -> Result<(), Error> {
        let locking = self
            .folder
            .lock(record.clone(), rand::random(), request.now, request.wait);
        let lock = tokio::select! {
            lock = locking => lock.map_err(|source| Error::Lock { source })?,
            () = request.interrupt.cancelled() => return Err(Error::Interrupted),
        };
        self.lock = Some(lock);
        Ok(())
    }

    /// Begins the upload of an object.
    pub(super) async fn begin(&mut self, key: &str) -> Result<(), Error> {
        let upload = self.folder.upload(key).await;
        self.upload = Some(upload.map_err(|source| Error::Repository { source })?);
        Ok(())
    }

    /// Moves bytes into the store; the lock learns of an upload that would have to be aborted.
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        let upload = self.upload.as_mut().expect("it was begun");
        let written = upload.write(piece).await;
        let lock = self.lock.as_ref().expect("nothing is written without it");
        // Also where the store failed: there may be something to abort.
        let noted = lock.note(upload).await;
        noted.map_err(|source| Error::Lock { source })?;
        written.map_err(|source| Error::Repository { source })
    }

    /// Forgets what a member sent that failed.
    pub(super) async fn begin_anew(&mut self) -> Result<(), Error> {
        match self.upload.take() {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
        .map_err(|source| Error::Repository { source })
    }

    async fn end(&mut self) {
        // A store that does not answer is not asked to clean up: the next run does.
        if matches!(self.outcome, Some(Err(Error::Silent { .. }))) {
            self.upload = None;
            if let Some(lock) = self.lock.take() {
                lock.abandon();
            }
            return;
        }
        if let Some(upload) = self.upload.take() {
            upload.give_up().await;
        }
        if let Some(lock) = self.lock.take() {
            lock.let_go().await;
        }
    }
}
