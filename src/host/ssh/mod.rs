//! A node behind `ssh`: one connection for all actions, and our own program on the other side, so that nobody writes shell for a step.

mod install;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::interval;

use super::{Error, Place, quoted};
use crate::id::Digest;
use crate::node::program::{self, Ended};
use crate::node::{Action, Answer, digest};
use crate::partial::Partial;
use crate::progress::{Event, Progress};

/// How long the other side may take to take the connection.
const CONNECT_S: u32 = 10;
/// How long an order may take that moves no data.
const SHORT_LIMIT: Duration = Duration::from_mins(5);
/// How long one that does; a connection that is dead is noticed earlier.
const LONG_LIMIT: Duration = Duration::from_hours(12);
/// How often it is told how far a file is.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// What `ssh` itself exits with when there is no connection.
const NO_CONNECTION: i32 = 255;

/// A node behind `ssh`.
#[derive(Debug)]
pub struct Ssh {
    place: Place,
    destination: String,
    port: Option<u16>,
    config: Option<PathBuf>,
    /// What is sent to the other side; this very program, unless another is named.
    program: Option<PathBuf>,
    /// Where the connection's socket lies, for us alone.
    folder: TempDir,
    /// How our program is called on the other side, once it is there.
    remote: OnceCell<Vec<String>>,
}

impl Ssh {
    pub(super) fn new(
        place: Place,
        destination: &str,
        port: Option<u16>,
        config: Option<&Path>,
    ) -> Result<Self, Error> {
        let folder = TempDir::with_prefix("etcdrx-ssh-").map_err(|source| Error::File {
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self {
            place,
            destination: destination.to_owned(),
            port,
            config: config.map(Path::to_owned),
            program: None,
            folder,
            remote: OnceCell::new(),
        })
    }

    pub(super) fn send_program(&mut self, program: &Path) {
        self.program = Some(program.to_owned());
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) async fn perform(&self, action: &Action) -> Result<Answer, Error> {
        let limit = match action {
            Action::Stage { .. }
            | Action::Salvage { .. }
            | Action::CopyDatabase { .. }
            | Action::ForceNewCluster { .. }
            | Action::Inspect { .. }
            | Action::Command { .. } => LONG_LIMIT,
            _ => SHORT_LIMIT,
        };
        let ended = self.etcdrx(action, None, Stdio::null(), limit).await?;
        self.answer(&ended)
    }

    pub(super) async fn send_file(
        &self,
        local: &Path,
        action: &Action,
        progress: &dyn Progress,
    ) -> Result<Answer, Error> {
        let failed = |source| Error::File {
            path: local.to_owned(),
            source,
        };
        let mut file = File::open(local).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        let input = Stdio::from(file.try_clone().map_err(failed)?);
        let sent = self.etcdrx(action, None, input, LONG_LIMIT);
        tokio::pin!(sent);
        let mut ticks = interval(TOLD_EVERY);
        let ended = loop {
            tokio::select! {
                ended = &mut sent => break ended?,
                _ = ticks.tick() => {
                    // ssh reads through the same open file: where it stands is how far it is.
                    let done = std::io::Seek::stream_position(&mut file).unwrap_or_default();
                    progress.event(Event::Bytes { done, total: Some(total) });
                }
            }
        };
        self.answer(&ended)
    }

    pub(super) async fn fetch_file(
        &self,
        action: &Action,
        local: &Path,
        sha256: Digest,
    ) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::File { path, source }
        };
        let mut partial = Partial::create(local).map_err(failed(local))?;
        let output = partial.file().try_clone().map_err(failed(local))?;
        let ended = self
            .etcdrx(action, Some(output), Stdio::null(), LONG_LIMIT)
            .await?;
        if !ended.status.success() {
            return Err(self.failure(&ended));
        }
        let found = digest(partial.temporary_path()).map_err(|source| Error::Local {
            node: self.place.name.clone(),
            source: Box::new(source),
        })?;
        if found != sha256 {
            return Err(Error::Digest {
                node: self.place.name.clone(),
                path: local.to_owned(),
                found,
                expected: sha256,
            });
        }
        partial.replace().map_err(failed(local))
    }

    /// Runs our program on the other side.
    async fn etcdrx(
        &self,
        action: &Action,
        output: Option<File>,
        input: Stdio,
        limit: Duration,
    ) -> Result<Ended, Error> {
        let program = self.remote.get_or_try_init(|| self.install()).await?;
        let json = ["--json".to_owned()];
        let words = self.place.words(action);
        let words = program.iter().chain(&json).chain(&words);
        let line: Vec<String> = words.map(|word| quoted(word)).collect();
        self.run(&line.join(" "), output, input, limit).await
    }

    /// Runs a line on the other side, in whatever shell the user has there.
    async fn run(
        &self,
        line: &str,
        output: Option<File>,
        input: Stdio,
        limit: Duration,
    ) -> Result<Ended, Error> {
        let output = match output {
            Some(file) => file,
            None => tempfile::tempfile().map_err(|source| Error::File {
                path: std::env::temp_dir(),
                source,
            })?,
        };
        let mut command = self.command();
        command.arg("--").arg(&self.destination).arg(line);
        let ended = program::run_into(command, output, input, limit).await;
        let ended = ended.map_err(|source| Error::Program { source })?;
        match ended.status.code() {
            Some(NO_CONNECTION) => Err(self.no_connection(&ended.stderr)),
            _ => Ok(ended),
        }
    }

    /// `ssh` with all its options; whom it trusts is the user's own configuration's to say.
    fn command(&self) -> Command {
        let mut command = program::command(&["ssh", "-T"]);
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        let socket = self.folder.path().join("%C");
        let options = [
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={CONNECT_S}"),
            "ServerAliveInterval=5".to_owned(),
            "ServerAliveCountMax=4".to_owned(),
            "ControlMaster=auto".to_owned(),
            "ControlPersist=60".to_owned(),
            format!("ControlPath={}", socket.display()),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command
    }

    fn answer(&self, ended: &Ended) -> Result<Answer, Error> {
        // Findings are an answer as good as any.
        let told = serde_json::from_str(&ended.stdout);
        match (ended.status.success(), told) {
            (_, Ok(answer)) => Ok(answer),
            (true, Err(_)) => Err(self.garbled(ended)),
            (false, Err(_)) => Err(self.failure(ended)),
        }
    }

    /// What our program says on the other side when it fails.
    fn failure(&self, ended: &Ended) -> Error {
        let lines = ended.stderr.lines().rev();
        let mut told = lines.filter_map(|line| serde_json::from_str::<Failed>(line).ok());
        match told.next() {
            Some(Failed { error }) => Error::Remote {
                node: self.place.name.clone(),
                code: ended.status.code().unwrap_or(1),
                message: error.message,
                causes: error.causes,
                hints: error.hints,
            },
            None => Error::Install {
                node: self.place.name.clone(),
                said: last_words(&ended.stderr),
            },
        }
    }

    fn garbled(&self, ended: &Ended) -> Error {
        Error::Garbled {
            node: self.place.name.clone(),
            said: last_words(&format!("{}\n{}", ended.stdout, ended.stderr)),
        }
    }

    fn no_connection(&self, stderr: &str) -> Error {
        let node = self.place.name.clone();
        let said = last_words(stderr);
        let says = |words: &str| stderr.contains(words);
        if says("Host key verification failed") || says("HOST IDENTIFICATION HAS CHANGED") {
            return Error::HostKey { node, said };
        }
        if says("Permission denied") || says("Too many authentication failures") {
            return Error::Denied { node, said };
        }
        Error::Unreachable { node, said }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let sockets = fs::read_dir(self.folder.path()).into_iter().flatten();
        if sockets.count() == 0 {
            return;
        }
        // The connection would stay for a minute, and the node would show it.
        let mut command = self.command();
        command.args(["-O", "exit", "--"]).arg(&self.destination);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _ = command.status();
    }
}

/// A failure as `etcdrx --json` prints it.
#[derive(Deserialize)]
struct Failed {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    message: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    hints: Vec<String>,
}

/// The last line that says something.
fn last_words(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim);
    let last = lines.find(|line| !line.is_empty());
    last.unwrap_or("it said nothing").to_owned()
}
