//! etcd is ended, kept from being started, and proven gone; and started again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::action::{Answer, Directories, Running};
use super::process::{Process, held};
use super::service::{self, State};
use super::{Error, done, own};
use crate::config::Service;
use crate::progress::{Event, Progress};

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long etcd has to end by itself: a leader that hands over takes up to 7 s, a kubelet looks every 20 s and waits 30 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long before it is killed, where that is asked for.
const SHORT_PATIENCE: Duration = Duration::from_secs(20);
/// How long one may be frozen before nothing else is expected of it; the longer where it is not to be killed.
const FROZEN_PATIENCE: Duration = Duration::from_secs(5);
/// The same where it is to be killed.
const FROZEN_SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// Ends etcd, and returns when nothing holds the member's files any more. Where a lost disk took the data directory along, there is
/// one again, that etcd may write to.
pub(super) async fn stop(
    service: &Service,
    directories: &Directories,
    kill: bool,
    run: &str,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    let (ended, mut evidence) = end(service, directories, kill, run, progress).await?;
    let furnished = own::furnish(service, directories).await?;
    let changed = ended || !furnished.is_empty();
    evidence.extend(furnished);
    Ok(done(changed, evidence))
}

/// Ends etcd, and says whether it had to, and what was seen.
async fn end(
    service: &Service,
    directories: &Directories,
    kill: bool,
    run: &str,
    progress: &dyn Progress,
) -> Result<(bool, Vec<String>), Error> {
    let begin = Instant::now();
    let before = service::state(service).await?;
    let processes = processes(&before, directories);
    let is_stopped = |state: &State| state.is_held_off && state.running != Running::Running;
    if is_stopped(&before) && is_gone(&processes, directories)? {
        return Ok((false, vec!["etcd is stopped, and stays so".to_owned()]));
    }
    progress.event(Event::Stage("stopping etcd".to_owned()));
    let mut evidence = match is_stopped(&before) {
        true => Vec::new(),
        false => service::stop(service, run).await?,
    };
    let patience = match kill {
        true => (SHORT_PATIENCE, FROZEN_SHORT_PATIENCE),
        false => (PATIENCE, FROZEN_PATIENCE),
    };
    if !is_gone_within(patience, &processes, directories).await? {
        if !kill {
            return Err(still_runs(&processes, directories, begin));
        }
        for process in &processes {
            process.kill().map_err(|source| Error::Kill {
                pid: process.pid,
                source,
            })?;
            evidence.push(format!("process {} was killed", process.pid));
        }
        if !is_gone_within((KILL_LIMIT, KILL_LIMIT), &processes, directories).await? {
            return Err(still_runs(&processes, directories, begin));
        }
    }
    wait_for_service(service, begin).await?;
    for process in &processes {
        evidence.push(format!("process {} is gone", process.pid));
    }
    let elapsed = begin.elapsed().as_millis();
    evidence.push(format!(
        "nothing holds the database or the log in {}, after {elapsed} ms",
        directories.data_dir.display()
    ));
    Ok((true, evidence))
}

/// Starts etcd and returns at once.
pub(super) async fn start(service: &Service, run: &str) -> Result<Answer, Error> {
    let state = service::state(service).await?;
    if state.running == Running::Running && !state.is_held_off {
        return Ok(done(false, vec!["etcd runs".to_owned()]));
    }
    let evidence = service::start(service, run).await?;
    Ok(match evidence.is_empty() {
        true => done(false, vec!["the manifest is in its place".to_owned()]),
        false => done(true, evidence),
    })
}

/// Those that the service and the locks name.
fn processes(state: &State, directories: &Directories) -> Vec<Process> {
    let named = state.pid.and_then(Process::of);
    let mut processes: Vec<Process> = named.into_iter().collect();
    let holder = Process::on(directories);
    processes.extend(holder.filter(|holder| Some(holder) != named.as_ref()));
    processes
}

fn is_gone(processes: &[Process], directories: &Directories) -> Result<bool, Error> {
    let ended = |process: &Process| process.state() == Running::Stopped;
    if !processes.iter().all(ended) {
        return Ok(false);
    }
    let held = held(directories).map_err(|source| Error::Read {
        path: directories.data_dir.clone(),
        source,
    })?;
    Ok(held.is_none())
}

async fn is_gone_within(
    (patience, frozen_patience): (Duration, Duration),
    processes: &[Process],
    directories: &Directories,
) -> Result<bool, Error> {
    let begin = Instant::now();
    let mut moved = begin;
    loop {
        if is_gone(processes, directories)? {
            return Ok(true);
        }
        // What is frozen takes no notice of any other signal; who waits for a disk does so for a moment only.
        let frozen = |process: &Process| process.state() == Running::Frozen;
        if !processes.iter().any(frozen) {
            moved = Instant::now();
        }
        if moved.elapsed() > frozen_patience || begin.elapsed() > patience {
            return Ok(false);
        }
        sleep(POLL).await;
    }
}

/// A unit is stopped only when all that it does afterwards is done: it could not be started before.
async fn wait_for_service(service: &Service, begin: Instant) -> Result<(), Error> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let state = service::state(service).await?;
        match state.running {
            Running::Running if Instant::now() < deadline => sleep(POLL).await,
            Running::Running => {
                return Err(Error::StillRuns {
                    pid: state.pid,
                    state: Running::Running,
                    waited: begin.elapsed(),
                });
            }
            _ => return Ok(()),
        }
    }
}

fn still_runs(processes: &[Process], directories: &Directories, begin: Instant) -> Error {
    let left = processes.iter().copied().chain(Process::on(directories));
    let left = left
        .into_iter()
        .find(|process| process.state() != Running::Stopped);
    Error::StillRuns {
        pid: left.map(|process| process.pid),
        state: left.map_or(Running::Unknown, Process::state),
        waited: begin.elapsed(),
    }
}
