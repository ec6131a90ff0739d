//! What the service shows to whoever asks: metrics, health and status, over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::lead::Standing;
use super::records::Record;
use super::{Job, Records};
use crate::id::ClusterName;

/// A service that did not look at its agenda for so long hangs.
const STALE: TimeDelta = TimeDelta::minutes(2);

/// What is known of one job.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When it is due next.
    pub due_at: Option<DateTime<Utc>>,
    /// What was done.
    #[serde(flatten)]
    pub record: Option<Record>,
}

/// What there is to tell.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// When the service began.
    pub started_at: DateTime<Utc>,
    /// When it last looked at its agenda.
    pub looked_at: DateTime<Utc>,
    /// Whether it is at work.
    #[serde(flatten)]
    pub standing: Option<Standing>,
    /// What it does at the moment.
    pub running: Option<Job>,
    /// Everything that it does.
    pub jobs: BTreeMap<Job, Entry>,
}

/// The status, as the service writes it and the pages read it.
#[derive(Debug, Clone)]
pub struct Board {
    status: Arc<Mutex<Status>>,
    now: fn() -> DateTime<Utc>,
    /// What the commands measured, in the Prometheus text format.
    metrics_file: Option<PathBuf>,
}

impl Board {
    /// An empty one.
    #[must_use]
    pub fn new(
        cluster: ClusterName,
        now: fn() -> DateTime<Utc>,
        metrics_file: Option<PathBuf>,
    ) -> Self {
        let status = Status {
            cluster,
            started_at: now(),
            looked_at: now(),
            standing: None,
            running: None,
            jobs: BTreeMap::new(),
        };
        Self {
            status: Arc::new(Mutex::new(status)),
            now,
            metrics_file,
        }
    }

    /// The status, to be read or written; never across a point where something is waited for.
    ///
    /// # Panics
    /// If somebody panicked who held it.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.status
            .lock()
            .expect("nobody panics who writes a status")
    }

    /// Whether the service looks at its agenda, or is at work.
    fn is_alive(&self) -> bool {
        let status = self.status();
        status.running.is_some() || (self.now)() - status.looked_at < STALE
    }
}

/// Serves the pages until it is cancelled.
///
/// # Errors
/// If the connection cannot be listened on.
pub async fn serve(listener: TcpListener, board: Board, end: CancellationToken) -> io::Result<()> {
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(board);
    let serving = axum::serve(listener, pages);
    serving.with_graceful_shutdown(end.cancelled_owned()).await
}

async fn healthz(State(board): State<Board>) -> Response {
    match board.is_alive() {
        true => "ok\n".into_response(),
        false => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "the agenda is not looked at",
        ),
    }
}

async fn readyz(State(board): State<Board>) -> Response {
    let standing = board.status().standing.clone();
    match standing {
        Some(_) if board.is_alive() => "ok\n".into_response(),
        _ => told(StatusCode::SERVICE_UNAVAILABLE, "not at work yet"),
    }
}

fn told(code: StatusCode, text: &str) -> Response {
    (code, format!("{text}\n")).into_response()
}

async fn status(State(board): State<Board>) -> Response {
    let status = board.status().clone();
    let text = serde_json::to_string_pretty(&status).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn metrics(State(board): State<Board>) -> Response {
    let mut text = of_status(&board.status());
    if let Some(path) = &board.metrics_file {
        text.push_str(&fs::read_to_string(path).unwrap_or_default());
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A metric of every job: its name, what it says, and how it is read.
type OfJob = (&'static str, &'static str, fn(&Entry) -> Option<f64>);

const OF_JOBS: [OfJob; 5] = [
    (
        "etcdrx_schedule_last_start_timestamp_seconds",
        "When the job last began.",
        |entry| Some(seconds(entry.record.as_ref()?.last.as_ref()?.started_at)),
    ),
    (
        "etcdrx_schedule_last_end_timestamp_seconds",
        "When the job last ended.",
        |entry| Some(seconds(entry.record.as_ref()?.last.as_ref()?.ended_at)),
    ),
    (
        "etcdrx_schedule_last_success_timestamp_seconds",
        "When the job last ended without an error or a finding.",
        |entry| Some(seconds(entry.record.as_ref()?.succeeded_at?)),
    ),
    (
        "etcdrx_schedule_last_exit_code",
        "How the job last ended: 0 is success, -1 a command that a signal ended.",
        |entry| {
            let last = entry.record.as_ref()?.last.as_ref()?;
            Some(f64::from(last.exit_code.unwrap_or(-1)))
        },
    ),
    (
        "etcdrx_schedule_next_timestamp_seconds",
        "When the job is due next.",
        |entry| Some(seconds(entry.due_at?)),
    ),
];

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

fn of_status(status: &Status) -> String {
    let mut text = String::new();
    let cluster = &status.cluster;
    let works = status.standing.as_ref().is_some_and(Standing::works);
    let _ = writeln!(
        text,
        "# HELP etcdrx_schedule_active Whether this service is at work, and not standing by.\n# TYPE etcdrx_schedule_active gauge\netcdrx_schedule_active{{cluster=\"{cluster}\"}} {}",
        u8::from(works)
    );
    for (name, help, read) in OF_JOBS {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (job, entry) in &status.jobs {
            if let Some(value) = read(entry) {
                let _ = writeln!(
                    text,
                    "{name}{{cluster=\"{cluster}\",job=\"{job}\"}} {value}"
                );
            }
        }
    }
    text
}

impl Status {
    /// Takes over what is known of all jobs.
    pub(super) fn take(
        &mut self,
        jobs: impl Iterator<Item = (Job, Option<DateTime<Utc>>)>,
        records: &Records,
    ) {
        self.jobs = jobs
            .map(|(job, due_at)| {
                let record = records.0.get(&job).cloned();
                (job, Entry { due_at, record })
            })
            .collect();
    }
}
