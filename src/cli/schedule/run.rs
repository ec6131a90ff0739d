//! `etcdrx schedule run`

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcdrx::config::Config;
use etcdrx::id::ClusterName;
use etcdrx::schedule::lead::Candidate;
use etcdrx::schedule::pages::{Board, serve};
use etcdrx::schedule::service::{Service, Told, Word};
use etcdrx::schedule::{Calendar, Records};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::RunArgs;
use super::work::{Work, name_of_this_service};
use crate::cli::Outcome;
use crate::cli::args::RepositoryArgs;
use crate::cli::context::{Context, now, open_access, state_dir};
use crate::cli::failure::{Exit, Failure};
use crate::cli::look;
use crate::cli::screen::Screen;

pub(super) async fn run(context: &Context<'_>, args: &RunArgs) -> Outcome {
    let config = configured(context)?;
    let calendar = calendar_of(&config)?;
    let cluster = config.cluster.folder()?;
    let state_dir = args.state_dir.clone().unwrap_or_else(state_dir);
    let state = State::open(&state_dir, &cluster)?;
    let metrics = config.notify.metrics_file.clone();
    let work = Work::new(context, &config, metrics.is_none().then(|| state.metrics()))?;
    let board = Board::new(
        cluster.clone(),
        now,
        Some(metrics.unwrap_or_else(|| state.metrics())),
    );
    let end = CancellationToken::new();
    let pages = listen(&config, &board, &end).await?;
    let candidate = match args.alone {
        true => None,
        false => Some(Candidate::new(
            open_access(&config)?,
            &cluster,
            name_of_this_service(),
        )),
    };
    let service = Service {
        calendar,
        records: Records::read(&state.records())?,
        path: state.records(),
        candidate,
        board,
        now,
        tell: &|told| tell(context.screen, told),
    };
    let (sender, mut words) = mpsc::channel(4);
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let carry_out = async |job, cancelled| work.carry_out(job, cancelled).await;
    let served = tokio::select! {
        served = service.run(&mut words, &carry_out) => served,
        failed = pass_on(context, sender) => return Err(failed),
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    end.cancel();
    if let Some(pages) = pages {
        // Whoever still reads a page is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), pages).await;
    }
    served?;
    Ok(Exit::Done)
}

fn configured(context: &Context<'_>) -> Result<Config, Failure> {
    let config = context.configure(&RepositoryArgs::default())?;
    Ok(look::with_node_endpoints(config))
}

/// What would fail every night is refused at once.
fn calendar_of(config: &Config) -> Result<Calendar, Failure> {
    let mut repositories = config.repositories.all().iter();
    let is_without = repositories.any(|one| config.retention_of(one).is_empty());
    if config.schedule.prune.is_some() && is_without {
        return Err(etcdrx::prune::Error::NoPolicy.into());
    }
    Ok(Calendar::of(&config.schedule, now(), rand::random)?)
}

/// Where the service keeps what it knows; held as long as it lives.
struct State {
    directory: PathBuf,
    cluster: ClusterName,
    _lock: File,
}

impl State {
    fn open(directory: &Path, cluster: &ClusterName) -> Result<Self, Failure> {
        let path = directory.join(format!("schedule-{cluster}.lock"));
        let opened = fs::create_dir_all(directory).and_then(|()| File::create(&path));
        let lock = opened.map_err(|source| Failure::cannot_write(&path, &source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                cluster: cluster.clone(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Failure::schedule_runs(&path)),
            Err(TryLockError::Error(source)) => Err(Failure::cannot_write(&path, &source)),
        }
    }

    fn records(&self) -> PathBuf {
        let name = format!("schedule-{}.json", self.cluster);
        self.directory.join(name)
    }

    /// What the commands measure, where the configuration names no other place.
    fn metrics(&self) -> PathBuf {
        let name = format!("schedule-{}.prom", self.cluster);
        self.directory.join(name)
    }
}

/// Serves the pages, if somebody wants them.
async fn listen(
    config: &Config,
    board: &Board,
    end: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<std::io::Result<()>>>, Failure> {
    let Some(address) = &config.schedule.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| Failure::cannot_listen(address, &source))?;
    Ok(Some(tokio::spawn(serve(
        listener,
        board.clone(),
        end.clone(),
    ))))
}

/// Turns signals into words: SIGHUP reads the configuration again, SIGTERM and Ctrl-C end the service. Keeps systemd's watchdog quiet, too.
async fn pass_on(context: &Context<'_>, words: Sender<Word>) -> Failure {
    let mut reload = match signal(SignalKind::hangup()) {
        Ok(reload) => reload,
        Err(source) => return Failure::no_runtime(source),
    };
    let watchdog = sd_notify::watchdog_enabled().unwrap_or(Duration::from_mins(1));
    let mut alive = interval(watchdog / 2);
    let mut is_told = false;
    loop {
        tokio::select! {
            _ = alive.tick() => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            () = reloaded(context, &mut reload, &words) => {}
            () = context.interrupt.cancelled(), if !is_told => {
                is_told = true;
                let _ = words.send(Word::Stop).await;
            }
        }
    }
}

async fn reloaded(context: &Context<'_>, reload: &mut Signal, words: &Sender<Word>) {
    reload.recv().await;
    let calendar = configured(context).and_then(|config| calendar_of(&config));
    match calendar {
        Ok(calendar) => {
            let _ = words.send(Word::Keep(Box::new(calendar))).await;
        }
        Err(failure) => {
            let line = failure.one_line();
            context
                .screen
                .warn(&format!("the schedule stays as it was: {line}"));
        }
    }
}

fn tell(screen: &Screen, told: &Told) {
    if screen.json {
        screen.answer_json_line(told);
        return;
    }
    match told {
        Told::Standing { standing } => screen.note(&words_of(standing)),
        Told::Began { job, due } => {
            screen.note(&format!(
                "{job}: begins; due {}",
                due.format("%Y-%m-%d %H:%M:%S UTC")
            ));
        }
        Told::Ended { job, ended } => {
            let took = (ended.ended_at - ended.started_at)
                .to_std()
                .unwrap_or_default();
            let took = format!("{:.1} s", took.as_secs_f64());
            match ended.is_success() {
                true => screen.note(&format!("{job}: done in {took}: {}", ended.message)),
                false => screen.warn(&format!(
                    "{job}: {} after {took}: {}",
                    how(ended.exit_code),
                    ended.message
                )),
            }
        }
        Told::Reloaded => screen.note("the configuration was read again"),
        Told::Forgetful { why } => screen.warn(&format!(
            "what was done cannot be taken down, and is done again after a restart: {why}"
        )),
    }
}

fn words_of(standing: &etcdrx::schedule::lead::Standing) -> String {
    use etcdrx::schedule::lead::Standing;
    match standing {
        Standing::Leads => "at work".to_owned(),
        Standing::StandsBy { leader } => format!("standing by: {leader} keeps the schedule"),
        Standing::Alone { why } => {
            format!("at work without asking who else is: etcd cannot be asked ({why})")
        }
    }
}

fn how(exit_code: Option<i32>) -> String {
    match exit_code {
        Some(3) => "findings (exit code 3)".to_owned(),
        Some(code) => format!("failed with exit code {code}"),
        None => "ended by a signal".to_owned(),
    }
}
