//! A program as a child that does not outlive us.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

/// How often a child is looked at while it is waited for.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// A running child. Dropped, it is killed and waited for.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// The thread that started the child ends when this is dropped.
    _keeper: mpsc::Sender<()>,
}

/// A command without our environment, in which variables of etcd may stand, and away from our terminal's signals.
///
/// `launcher` is a `setpriv` that lets the kernel kill the child when we die.
pub(super) fn command(launcher: Option<&Path>, program: &Path) -> Command {
    let mut command = match launcher {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env_clear().process_group(0).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a command.
    ///
    /// The kernel ties a child to the thread that started it, not to the process: so a thread of its own waits for as long as it lives.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let (answer, child) = mpsc::channel();
        let (keeper, kept) = mpsc::channel::<()>();
        thread::Builder::new().spawn(move || {
            if answer.send(command.spawn()).is_ok() {
                // Nothing is ever sent: this ends when the other end is dropped.
                let _ = kept.recv();
            }
        })?;
        Ok(Self {
            child: child.recv().expect("the thread answers before it waits")?,
            _keeper: keeper,
        })
    }

    /// How it ended, once it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended() {
                None if Instant::now() < deadline => sleep(POLL).await,
                ended => return ended,
            }
        }
    }

    /// Asks it to stop, and kills it if it does not in time.
    pub(super) async fn stop(&mut self, limit: Duration) {
        // One that was waited for is not signalled: its id may be another's.
        if self.ended().is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            self.wait(limit).await;
        }
        self.kill();
    }

    /// What it wrote to standard output, if that is a pipe and it has ended.
    pub(super) fn output(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            // Half an output is as good as none to whoever parses it.
            let _ = io::Read::read_to_end(&mut stdout, &mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
