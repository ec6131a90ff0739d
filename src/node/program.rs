//! Programs that are not ours: `systemctl`, `etcd --version`, `ssh`, a site's own commands. Each has a limit.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::sleep;

/// How often a program is looked at while it runs.
const POLL: Duration = Duration::from_millis(10);
/// How much of what a program says is kept: the beginning and more than anybody reads.
const MOST_BYTES: u64 = 4 << 20;

/// Why a program did not run to its end.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// It is not there, or may not be run.
    #[error("cannot run {program}")]
    Start { program: String, source: io::Error },

    /// It did not end.
    #[error("`{line}` did not end within {} s, and was killed", .limit.as_secs())]
    TimedOut { line: String, limit: Duration },

    /// It ended badly.
    #[error("`{line}` ended with {}{}", .code.map_or("a signal".to_owned(), |code| format!("code {code}")), said(.stderr))]
    Failed {
        line: String,
        code: Option<i32>,
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    line: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// What it said, if it ended well.
    pub(crate) fn success(self) -> Result<String, Error> {
        match self.status.success() {
            true => Ok(self.stdout),
            false => Err(Error::Failed {
                line: self.line,
                code: self.status.code(),
                stderr: self.stderr,
            }),
        }
    }
}

/// A command of these words; there is at least one.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().unwrap_or(&""));
    command.args(words.get(1..).unwrap_or_default());
    command
}

/// Runs a program to its end. Dropped before, it is killed.
///
/// What it says goes to files, not to pipes: something that it leaves running in the background may hold them as long as it likes.
/// Standard input is empty, and standard output caught, unless the command says otherwise before.
pub(crate) async fn run(command: Command, limit: Duration) -> Result<Ended, Error> {
    let output = scratch(&command)?;
    run_into(command, output, Stdio::null(), limit).await
}

/// As [`run`], with `output` for what it says and `input` for what it reads.
pub(crate) async fn run_into(
    mut command: Command,
    mut output: File,
    input: Stdio,
    limit: Duration,
) -> Result<Ended, Error> {
    let line = line(&command);
    let mut errors = scratch(&command)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let start = |source| Error::Start {
        program: program.clone(),
        source,
    };
    command.stdin(input);
    command.stdout(output.try_clone().map_err(start)?);
    command.stderr(errors.try_clone().map_err(start)?);
    // What is read by us is English; a Ctrl-C is for us to act upon, and not for what we start.
    command.env("LC_ALL", "C");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = Running(command.spawn().map_err(start)?);
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(start)? {
            break status;
        }
        if Instant::now() >= deadline {
            return Err(Error::TimedOut { line, limit });
        }
        sleep(POLL).await;
    };
    let said = |file: &mut File| -> io::Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Ended {
        stdout: said(&mut output).map_err(start)?,
        stderr: said(&mut errors).map_err(start)?,
        status,
        line,
    })
}

fn scratch(command: &Command) -> Result<File, Error> {
    tempfile::tempfile().map_err(|source| Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// The words of a command, for a message.
fn line(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

/// A program that does not outlive whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_leaves_something_running_is_not_waited_for() {
        let begin = Instant::now();
        let limit = Duration::from_secs(20);
        let ended = run(command(&["sh", "-c", "sleep 5 & echo done"]), limit).await;
        assert_eq!(ended.unwrap().success().unwrap(), "done\n");
        assert!(begin.elapsed() < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_and_one_that_fails_is_quoted() {
        let error = run(command(&["sleep", "100"]), Duration::from_millis(50)).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("`sleep 100` did not end")
        );
        let limit = Duration::from_secs(20);
        let failed = run(command(&["sh", "-c", "echo no >&2; exit 3"]), limit).await;
        let error = failed.unwrap().success().unwrap_err().to_string();
        assert!(error.ends_with("ended with code 3: no"), "{error}");
        assert!(run(command(&["no-such-program"]), limit).await.is_err());
    }
}
