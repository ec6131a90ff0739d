//! A server as a child process, that never outlives its owner.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a child is looked at while it is waited for.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// How long a server has to stop by itself once it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A running server, with its log.
///
/// Dropped, it is killed with all its children, paused or not, and waited for. When this whole process is killed, so is the server
/// (where `setpriv` is: without util-linux it stays).
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
    paused: AtomicBool,
}

impl Server {
    /// Starts a program, its output going to the end of `log`.
    ///
    /// The program comes from [`command`], and gets no stdin.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Server {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) =
            output.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Server {
            name: name.to_owned(),
            log: log.to_owned(),
            child: Mutex::new(child),
            paused: AtomicBool::new(false),
        }
    }

    /// What the server is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Says whether the process is there; a paused one is.
    pub(crate) fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Says whether [`pause`](Self::pause) was the last word.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// How the process ended, once it did.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        let mut child = self.child();
        child.try_wait().expect("a child can be waited for")
    }

    /// Freezes the process: its connections stay open and nothing answers.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Kills the process as a power cut would, and waits for its end.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child().wait();
    }

    /// Asks the process to stop, waits for its end, and kills it when it takes too long.
    pub(crate) fn stop(&self) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
        let status = self.wait(STOP_LIMIT);
        self.kill();
        status
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }

    /// Sends a signal to the process and its children; nothing happens when it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_group(&mut self.child(), signal);
    }

    /// Everything that the server has written, over all its starts.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the server takes connections.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it dies or takes longer than `limit`.
    pub(crate) fn wait_for_port(&self, address: SocketAddr, limit: Duration) {
        let deadline = Instant::now() + limit;
        while TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_err() {
            self.assert_running();
            assert!(
                Instant::now() < deadline,
                "{} does not listen on {address} after {limit:?}\n{}",
                self.name,
                self.last_words()
            );
            thread::sleep(POLL);
        }
    }

    /// Panics with the end of the server's log when the process is gone.
    pub(crate) fn assert_running(&self) {
        if let Some(status) = self.exit_status() {
            panic!("{} died: {status}\n{}", self.name, self.last_words());
        }
    }

    /// The end of the log, for a message.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(25)..];
        format!("--- end of {}\n{}", self.log.display(), tail.join("\n"))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no holder of the child panics")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Scratch data needs no graceful end, and a stopped leader would take its time to hand over.
        self.kill();
    }
}

/// Sends a signal to a child's process group, unless the child was reaped: then its id may be another's.
pub(crate) fn signal_group(child: &mut Child, signal: Signal) {
    if matches!(child.try_wait(), Ok(None)) {
        let group = i32::try_from(child.id()).expect("a process id fits");
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

/// Says how a process ended as a shell does: its exit code, or 128 and the signal.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    let signal = || 128 + status.signal().unwrap_or_default();
    status.code().unwrap_or_else(signal)
}

/// Makes a command for a child that has its own process group, a clean environment, and dies with this process.
pub(crate) fn command(program: &Path) -> Command {
    const INHERITED: [&str; 4] = ["PATH", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| find_program("setpriv"));
    let mut command = match &*SETPRIV {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.process_group(0).env_clear();
    command.envs(
        INHERITED
            .iter()
            .filter_map(|name| Some((name, env::var_os(name)?))),
    );
    command
}

/// Starts a [`command`].
///
/// The kernel ties a child to the *thread* that started it, and a test's thread ends with the test: so one thread, that never ends,
/// starts them all.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    SPAWNER
        .send((command, answer))
        .expect("the spawner never ends");
    child.recv().expect("the spawner answers")
}

/// Looks a program up in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
