//! How a job is done: by the very command that a person would type, in a process of its own.
//!
//! A process that is done with gives all its memory back, and one that dies takes nobody with it.

use std::collections::VecDeque;
use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use etcdrx::config::Config;
use etcdrx::repository::Holder;
use etcdrx::schedule::{Ended, Job};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::words::words;
use crate::cli::context::{Context, now};
use crate::cli::failure::Failure;

/// How long a command may take to end cleanly once it is told to.
const GRACE: Duration = Duration::from_mins(1);

/// How many lines of a command's last words are kept.
const LAST_WORDS: usize = 5;

/// How jobs are done.
pub(super) struct Work {
    program: PathBuf,
    config: Option<PathBuf>,
    /// Where commands leave what they measured, if the configuration does not say.
    metrics: Option<PathBuf>,
    endpoints: Vec<String>,
}

impl Work {
    pub(super) fn new(
        context: &Context<'_>,
        config: &Config,
        metrics: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let program = env::current_exe().map_err(Failure::no_program)?;
        Ok(Self {
            program,
            config: context.config_file(),
            metrics,
            endpoints: config.cluster.endpoints.clone(),
        })
    }

    /// Does one thing to its end; told to break it off, it waits for the command to leave nothing behind.
    pub(super) async fn carry_out(&self, job: Job, cancelled: CancellationToken) -> Ended {
        let started_at = now();
        let (exit_code, message) = match self.command(job).spawn() {
            Ok(child) => watch(child, &cancelled).await,
            Err(source) => (
                None,
                format!("cannot run {}: {source}", self.program.display()),
            ),
        };
        Ended {
            started_at,
            ended_at: now(),
            exit_code,
            message,
        }
    }

    fn command(&self, job: Job) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words(job, &self.endpoints))
            .arg("--no-progress");
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        if let Some(metrics) = &self.metrics {
            command.env("ETCDRX_NOTIFY_METRICS_FILE", metrics);
        }
        // Its life is ours to end: a Ctrl-C at the terminal would reach it, too.
        command.process_group(0).kill_on_drop(true);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// How this service is known to others of its cluster; in containers many have the same host and the same pid.
pub(super) fn name_of_this_service() -> String {
    let Holder { host, pid, .. } = Holder::this_process();
    let drawn = rand::random::<u32>() >> 8;
    format!("{host} (process {pid}, {drawn:06x})")
}

/// Waits for a command; gives its exit code and its last words.
async fn watch(mut child: Child, cancelled: &CancellationToken) -> (Option<i32>, String) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = tokio::spawn(async move {
        let mut text = String::new();
        if let Some(mut stdout) = stdout {
            let _ = stdout.read_to_string(&mut text).await;
        }
        text
    });
    let said = tokio::spawn(async move {
        let mut last = VecDeque::new();
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                last.push_back(line.trim().to_owned());
                if last.len() > LAST_WORDS {
                    last.pop_front();
                }
            }
        }
        Vec::from(last).join("; ")
    });
    let pid = child.id();
    let status = tokio::select! {
        status = child.wait() => status,
        () = cancelled.cancelled() => {
            if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            match timeout(GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => child.kill().await.and(child.wait().await),
            }
        }
    };
    let code = status.ok().and_then(|status| status.code());
    let answer = answer.await.unwrap_or_default();
    let said = said.await.unwrap_or_default();
    let message = match code {
        Some(0) => answer.lines().next().unwrap_or_default().to_owned(),
        _ => said,
    };
    (code, message)
}
