//! The scripts by which a member of a scratch cluster is started and stopped, as a site's own would be.

use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::site::Error;

/// How long a script may take: it only starts or signals something.
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// How long killed members may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// What a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Starts the member in the background, unless it runs.
    Start,
    /// Asks it to end.
    Stop,
    /// Exits 0 where it runs, and 3 where it does not.
    Status,
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Start, Self::Stop, Self::Status];

    /// Its file in the member's directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Status => "status",
        }
    }

    /// The script for the member in `directory`. What it starts ends with this process, whatever ends that.
    pub(super) fn text(self, directory: &Path, etcd: &Path) -> String {
        let directory = quoted(directory);
        // A process id may be another's by now; a command line that names the member's configuration is not.
        let head = format!(
            "#!/bin/sh\n\
             cd {directory} || exit 1\n\
             is_it() {{ grep -qsF {directory}/etcd.yml \"/proc/$1/cmdline\"; }}\n\
             pid=$(cat pid 2>/dev/null)\n"
        );
        let body = match self {
            Self::Start => format!(
                "[ -n \"$pid\" ] && is_it \"$pid\" && exit 0\n\
                 $(command -v setsid) {} --config-file \"$1\" >>log 2>&1 </dev/null &\n\
                 pid=$!\n\
                 echo \"$pid\" >pid\n\
                 ( while is_it \"$pid\"; do kill -0 {} 2>/dev/null || kill -9 \"$pid\"; sleep 1; done ) >/dev/null 2>&1 </dev/null &\n",
                quoted(etcd),
                std::process::id()
            ),
            Self::Stop => "[ -n \"$pid\" ] && is_it \"$pid\" && kill \"$pid\"\nexit 0\n".to_owned(),
            Self::Status => "[ -n \"$pid\" ] && is_it \"$pid\" && exit 0\nexit 3\n".to_owned(),
        };
        head + &body
    }
}

/// A word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Runs a script, and says whether it exited with 0; a status may also say 3.
///
/// It blocks for the few milliseconds that a script takes: a start that is given up in the middle would leave a process behind.
pub(super) fn run(script: Script, directory: &Path, config: &Path) -> Result<bool, Error> {
    let path = directory.join(script.name());
    let failed = |problem: String| Error::Script {
        command: path.display().to_string(),
        problem,
    };
    let mut command = Command::new(&path);
    command.arg(config).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn();
    let child = child.as_mut().map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("it does not come back".to_owned()));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    };
    match status.code() {
        Some(0) => Ok(true),
        Some(3) if script == Script::Status => Ok(false),
        _ => Err(failed(status.to_string())),
    }
}

/// The process of the member in `directory`, if it is there: its command line names the member's configuration.
pub(super) fn pid(directory: &Path) -> Option<i32> {
    let text = fs::read_to_string(directory.join("pid")).ok()?;
    let pid: i32 = text.trim().parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let config = directory.join("etcd.yml").display().to_string();
    let words = String::from_utf8_lossy(&line).into_owned();
    words.contains(&config).then_some(pid)
}

/// Sends a signal to the process of the member in `directory`, if it is there.
pub(super) fn signal(directory: &Path, signal: Signal) {
    if let Some(pid) = pid(directory) {
        // One that ended this moment is what was wanted, or is found out later.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The directories of members that may run; dropped, those that do are killed.
#[derive(Debug)]
pub(super) struct Running(pub(super) Vec<PathBuf>);

impl Drop for Running {
    fn drop(&mut self) {
        for directory in &self.0 {
            signal(directory, Signal::SIGKILL);
        }
        let deadline = Instant::now() + GONE_LIMIT;
        let is_there = |directory: &PathBuf| pid(directory).is_some();
        while self.0.iter().any(is_there) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

/// Where a program is for scripts that run elsewhere; one that `PATH` has is left to it.
pub(super) fn absolute(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}
