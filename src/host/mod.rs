//! How an action gets to its node: done here, sent over ssh, or typed by a person.

mod quote;
mod ssh;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::task;

use crate::config::{Node, Reach};
use crate::id::Digest;
use crate::node::{self, Action, Answer, Directories, ProgramError, Surroundings, journal};
use crate::progress::{Progress, Silent};

pub use quote::quoted;
pub use ssh::Ssh;

/// Why an action did not come to its end on a node.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// A person must type it.
    #[error("on {node}, this is done by hand: {command}")]
    ByHand { node: String, command: String },

    /// It failed here.
    #[error("{node}")]
    Local {
        node: String,
        source: Box<node::Error>,
    },

    /// It failed there; `code` is what `etcdrx` exits with for the same here.
    #[error("{node}: {message}")]
    Remote {
        node: String,
        code: i32,
        message: String,
        causes: Vec<String>,
        hints: Vec<String>,
    },

    /// There is no way there.
    #[error("cannot reach {node} by ssh: {said}")]
    Unreachable { node: String, said: String },

    /// The host shows a key that is not the one that is known, or none is known.
    #[error("ssh does not trust {node}: {said}")]
    HostKey { node: String, said: String },

    /// The host does not let us in.
    #[error("{node} refuses our key: {said}")]
    Denied { node: String, said: String },

    /// We are in, and not root.
    #[error("{node}: we are {user} there, and sudo wants a password or refuses")]
    Sudo { node: String, user: String },

    /// Our program does not run there.
    #[error("{node} is {theirs}, and this etcdrx is for {ours}")]
    OtherMachine {
        node: String,
        theirs: String,
        ours: String,
    },

    /// Our program did not get there.
    #[error("cannot put etcdrx on {node}: {said}")]
    Install { node: String, said: String },

    /// What came back is no answer.
    #[error("{node} answers something that is no answer: {said}")]
    Garbled { node: String, said: String },

    /// A file that came is not the one that was meant.
    #[error("{node}: {} came with the SHA-256 {found}, and should have {expected}", .path.display())]
    Digest {
        node: String,
        path: PathBuf,
        found: Digest,
        expected: Digest,
    },

    /// A file here.
    #[error("cannot read or write {}", .path.display())]
    File { path: PathBuf, source: io::Error },

    /// `ssh` itself.
    #[error("cannot run ssh")]
    Program { source: ProgramError },
}

/// A node, and how to get there.
#[derive(Debug)]
pub enum Host {
    /// This machine.
    Local(Place),
    /// A machine that `ssh` reaches.
    Ssh(Box<Ssh>),
    /// A machine that a person reaches.
    Manual(Place),
}

/// What is known of a node wherever it is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The member's name.
    pub name: String,
    /// Where the node's journal lies, for actions that name no directory.
    pub journal: Option<PathBuf>,
}

impl Host {
    /// The way to a node. Nothing is reached yet.
    ///
    /// # Errors
    /// If there is no place for the connection's socket.
    pub fn of(node: &Node) -> Result<Self, Error> {
        let journal = node.data_dir.clone().map(|data_dir| {
            journal::journal_of(&Directories {
                data_dir,
                wal_dir: node.wal_dir.clone(),
            })
        });
        let place = Place {
            name: node.name.clone(),
            journal,
        };
        Ok(match &node.reach {
            Reach::Local => Self::Local(place),
            Reach::Manual => Self::Manual(place),
            Reach::Ssh { destination, port } => {
                let ssh = Ssh::new(place, destination, *port, node.ssh_config.as_deref())?;
                Self::Ssh(Box::new(ssh))
            }
        })
    }

    /// Sends this program instead of the one that runs.
    #[must_use]
    pub fn with_program(mut self, program: &Path) -> Self {
        if let Self::Ssh(ssh) = &mut self {
            ssh.send_program(program);
        }
        self
    }

    /// Whether a person must do it.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Does it there.
    ///
    /// # Errors
    /// If it fails there, or does not get there. Whatever the reason, the same action can be sent again.
    pub async fn perform(&self, action: &Action) -> Result<Answer, Error> {
        match self {
            Self::Local(place) => here(place, action, None).await,
            Self::Ssh(ssh) => ssh.perform(action).await,
            Self::Manual(place) => Err(by_hand(place, action)),
        }
    }

    /// Brings a file there; it shows under its name when it is whole.
    ///
    /// # Errors
    /// As [`perform`](Self::perform), and if the file cannot be read.
    pub async fn send_file(
        &self,
        local: &Path,
        remote: &Path,
        sha256: Digest,
        progress: &dyn Progress,
    ) -> Result<Answer, Error> {
        let action = Action::Receive {
            path: remote.to_owned(),
            sha256,
        };
        match self {
            Self::Local(place) => here(place, &action, Some(local)).await,
            Self::Ssh(ssh) => ssh.send_file(local, &action, progress).await,
            Self::Manual(place) => {
                let mut command = line(place, &action);
                command.push_str(" < ");
                command.push_str(&quoted(&local.display().to_string()));
                Err(Error::ByHand {
                    node: place.name.clone(),
                    command,
                })
            }
        }
    }

    /// Gets a file from there; it shows under its name when it is whole.
    ///
    /// # Errors
    /// As [`perform`](Self::perform), and if the file cannot be written or is not the one that was meant.
    pub async fn fetch_file(
        &self,
        remote: &Path,
        local: &Path,
        sha256: Digest,
    ) -> Result<(), Error> {
        let send = Action::Send {
            path: remote.to_owned(),
        };
        match self {
            Self::Local(place) => {
                let receive = Action::Receive {
                    path: local.to_owned(),
                    sha256,
                };
                here(place, &receive, Some(remote)).await.map(drop)
            }
            Self::Ssh(ssh) => ssh.fetch_file(&send, local, sha256).await,
            Self::Manual(place) => {
                let mut command = line(place, &send);
                command.push_str(" > ");
                command.push_str(&quoted(&local.display().to_string()));
                Err(Error::ByHand {
                    node: place.name.clone(),
                    command,
                })
            }
        }
    }

    /// The line that a person would type on the node to do the same.
    #[must_use]
    pub fn command_line(&self, action: &Action) -> String {
        match self {
            Self::Local(place) | Self::Manual(place) => line(place, action),
            Self::Ssh(ssh) => line(ssh.place(), action),
        }
    }
}

impl Place {
    /// What follows `etcdrx`: the action's words, and the journal where they do not tell where it is.
    fn words(&self, action: &Action) -> Vec<String> {
        let mut words = Vec::new();
        let journal = self.journal.as_ref();
        let journal = journal.filter(|_| action.changes() && action.directories().is_none());
        for word in action.words() {
            words.push(word);
            // Behind the name of the action: what follows may be a command of its own.
            if words.len() == 2
                && let Some(journal) = journal
            {
                words.extend(["--journal".to_owned(), journal.display().to_string()]);
            }
        }
        words
    }
}

fn line(place: &Place, action: &Action) -> String {
    let words = place.words(action);
    let words = words.iter().map(|word| quoted(word));
    let words: Vec<String> = ["etcdrx".to_owned()].into_iter().chain(words).collect();
    words.join(" ")
}

fn by_hand(place: &Place, action: &Action) -> Error {
    Error::ByHand {
        node: place.name.clone(),
        command: line(place, action),
    }
}

/// Does it in this process, on a thread of its own: it may block for long.
async fn here(place: &Place, action: &Action, input: Option<&Path>) -> Result<Answer, Error> {
    let mut input: Box<dyn io::Read + Send> = match input {
        None => Box::new(io::empty()),
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|source| Error::File {
                path: path.to_owned(),
                source,
            })?;
            Box::new(file)
        }
    };
    let (action, journal) = (action.clone(), place.journal.clone());
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let mut surroundings = Surroundings {
            input: &mut input,
            output: &mut io::sink(),
            progress: &Silent,
            journal,
        };
        runtime.block_on(node::perform(&action, &mut surroundings))
    };
    let outcome = task::spawn_blocking(work).await;
    let outcome = outcome.expect("an action does not panic");
    outcome.map_err(|source| Error::Local {
        node: place.name.clone(),
        source: Box::new(source),
    })
}
