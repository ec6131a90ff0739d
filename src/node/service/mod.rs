//! What starts and stops etcd on a node: systemd, a kubelet, or commands of the site's own.

pub(super) mod static_pod;
pub(super) mod systemd;

use std::path::Path;
use std::time::Duration;

use super::Error;
use super::action::Running;
use super::program;
use crate::config::Service;

/// How long a command may take that only gives an order.
pub(super) const ORDER_LIMIT: Duration = Duration::from_secs(30);
/// What a site's command exits with where etcd is stopped, as `systemctl is-active` does.
const STOPPED: i32 = 3;

/// What a service says of itself.
#[derive(Debug)]
pub(super) struct State {
    /// Whether it runs, as far as the service knows.
    pub(super) running: Running,
    /// The process, where the service knows it.
    pub(super) pid: Option<u32>,
    /// The code that it exited with last.
    pub(super) exit_code: Option<i32>,
    /// Whether it is kept from being started by others.
    pub(super) is_held_off: bool,
}

/// Asks a service how it is.
pub(super) async fn state(service: &Service) -> Result<State, Error> {
    match service {
        Service::Systemd { unit } => systemd::state(unit).await,
        Service::StaticPod { manifest } => Ok(static_pod::state(manifest)),
        Service::Command { status, .. } => {
            let words: Vec<&str> = status.iter().map(String::as_str).collect();
            let ended = program::run(program::command(&words), ORDER_LIMIT).await?;
            let running = match ended.status.code() {
                Some(0) => Running::Running,
                Some(STOPPED) => Running::Stopped,
                _ => Running::Unknown,
            };
            Ok(State {
                running,
                pid: None,
                exit_code: None,
                // Nobody else starts what only these commands start.
                is_held_off: running == Running::Stopped,
            })
        }
    }
}

/// Orders etcd to stop, and keeps others from starting it; does not wait for its end.
pub(super) async fn stop(service: &Service, run: &str) -> Result<Vec<String>, Error> {
    match service {
        Service::Systemd { unit } => systemd::stop(unit).await,
        Service::StaticPod { manifest } => static_pod::take_away(manifest, run),
        Service::Command { stop, .. } => order(stop).await,
    }
}

/// Lets it be started again, and starts it; does not wait until it is ready. Says what was changed.
pub(super) async fn start(service: &Service, run: &str) -> Result<Vec<String>, Error> {
    match service {
        Service::Systemd { unit } => systemd::start(unit).await,
        Service::StaticPod { manifest } => static_pod::bring_back(manifest, run),
        Service::Command { start, .. } => order(start).await,
    }
}

async fn order(words: &[String]) -> Result<Vec<String>, Error> {
    let line: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = program::run(program::command(&line), ORDER_LIMIT).await?;
    ended.success()?;
    Ok(vec![format!("`{}` was run", words.join(" "))])
}

/// The last lines of etcd's log, where the service keeps one.
pub(super) async fn log(service: &Service) -> Vec<String> {
    match service {
        Service::Systemd { unit } => systemd::log(unit).await,
        Service::StaticPod { .. } => static_pod::log(Path::new(static_pod::LOGS)),
        Service::Command { .. } => Vec::new(),
    }
}
