//! Runs etcdrx, and any other program, as a user's shell would: bounded, in a clean environment, with nothing on stdin.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process;

const POLL: Duration = Duration::from_millis(2);

/// What a program said and how it ended.
#[derive(Clone)]
pub(crate) struct Output {
    /// The exit code; 128 and the signal for a killed program, as shells say it.
    pub(crate) code: i32,
    /// What it wrote to stdout, where that is text.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
    /// What it wrote to stdout, byte for byte.
    pub(crate) stdout_bytes: Vec<u8>,
}

impl Output {
    /// The one JSON document on stdout.
    ///
    /// # Panics
    ///
    /// With the whole output, when stdout is anything else.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout_bytes)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self:?}"))
    }

    /// The JSON documents on stdout, one a line.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not JSON: {error}: {line}\n{self:?}"))
            })
            .collect()
    }

    /// The JSON document that a failure leaves on stderr, after anything else there.
    pub(crate) fn error_json(&self) -> serde_json::Value {
        let line = self.stderr.lines().rev().find(|line| line.starts_with('{'));
        line.and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("stderr ends without a line of JSON\n{self:?}"))
    }

    /// Gives the output back when the program ended with code 0.
    ///
    /// # Panics
    ///
    /// With the whole output, when it did not.
    pub(crate) fn success(self) -> Output {
        assert!(self.code == 0, "the program failed\n{self:?}");
        self
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output {
            code,
            stdout,
            stderr,
            ..
        } = self;
        write!(
            out,
            "exit code: {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// The etcdrx program with the surroundings that it is to see.
///
/// Nothing of the environment comes through but `PATH` and `TMPDIR`; `HOME` is the working directory.
#[derive(Clone, Debug)]
pub(crate) struct Etcdrx {
    binary: PathBuf,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
    limit: Duration,
}

impl Etcdrx {
    /// `binary` is `env!("CARGO_BIN_EXE_etcdrx")` in a test.
    pub(crate) fn new(binary: impl Into<PathBuf>) -> Etcdrx {
        Etcdrx {
            binary: binary.into(),
            directory: std::env::temp_dir(),
            environment: Vec::new(),
            limit: Duration::from_mins(1),
        }
    }

    /// Where it runs: an etcdrx.toml is looked for here.
    pub(crate) fn directory(mut self, directory: &Path) -> Etcdrx {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Etcdrx {
        let name = name.as_ref().to_owned();
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Sets variables of its environment, such as those of a store or of a cluster.
    pub(crate) fn envs<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Etcdrx
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter();
        self.environment
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// How long a run may take before it counts as hanging; a minute if nothing is said.
    pub(crate) fn limit(mut self, limit: Duration) -> Etcdrx {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it takes longer than the limit.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.spawn(arguments).wait(self.limit)
    }

    /// Starts it in the background.
    pub(crate) fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        let mut command = process::command(&self.binary);
        command.args(arguments).current_dir(&self.directory);
        command.env("HOME", &self.directory);
        let variables = self.environment.iter();
        command.envs(variables.map(|(name, value)| (name, value)));
        start(command)
    }
}

/// Runs a [`process::command`] to its end.
///
/// # Panics
///
/// When it takes longer than `limit`, with what it said until then.
pub(crate) fn run(command: Command, limit: Duration) -> Output {
    start(command).wait(limit)
}

/// Starts a [`process::command`] in the background and collects what it says.
pub(crate) fn start(mut command: Command) -> Running {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let line = format!("{command:?}");
    let mut child =
        process::spawn(command).unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
    let stdout = Stream::collect(child.stdout.take().expect("stdout is piped"));
    let stderr = Stream::collect(child.stderr.take().expect("stderr is piped"));
    Running {
        line,
        child,
        stdout,
        stderr,
    }
}

/// A program in the background; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    line: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Sends it a signal: `SIGINT` is Ctrl-C.
    pub(crate) fn signal(&mut self, signal: Signal) {
        process::signal_group(&mut self.child, signal);
    }

    /// Says whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it wrote to stdout until now.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to stderr until now.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until stdout or stderr holds `text`.
    ///
    /// # Panics
    ///
    /// With the output, when the program ends without it, or does not say it within `limit`.
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let running = self.is_running();
            if self.stdout().contains(text) || self.stderr().contains(text) {
                return;
            }
            let in_time = running && Instant::now() < deadline;
            assert!(
                in_time,
                "{} never said {text:?}\n{}",
                self.line,
                self.so_far()
            );
            thread::sleep(POLL);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// With the output, when it does not end within `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> Output {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            let in_time = Instant::now() < deadline;
            assert!(
                in_time,
                "{} still runs after {limit:?}\n{}",
                self.line,
                self.so_far()
            );
            thread::sleep(POLL);
        };
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        Output {
            code: process::exit_code(status),
            stdout: self.stdout(),
            stderr: self.stderr(),
            stdout_bytes: self.stdout.bytes().clone(),
        }
    }

    fn so_far(&self) -> String {
        format!(
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout(),
            self.stderr()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// One stream of a program, read as it comes so that the program never waits for a reader.
#[derive(Debug)]
struct Stream {
    collected: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<()>,
}

impl Stream {
    fn collect(mut source: impl Read + Send + 'static) -> Stream {
        let collected = Arc::new(Mutex::new(Vec::new()));
        let (at_end, end) = mpsc::channel();
        let sink = Arc::clone(&collected);
        thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                let mut sink = sink.lock().expect("no reader panics");
                sink.extend_from_slice(&chunk[..length]);
            }
            let _ = at_end.send(());
        });
        Stream { collected, end }
    }

    /// Waits until all is read; not for long, as a daemon that the program left behind may hold the stream open.
    fn wait_for_end(&self) {
        let _ = self.end.recv_timeout(Duration::from_secs(2));
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.collected.lock().expect("no reader panics")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}
