//! An action as a person would type it: what is sent to a node and what stands in a plan are the same words.

use std::path::Path;

use super::action::{Action, Directories, NewCluster};
use crate::config::Service;

impl Action {
    /// What the action is called on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inspect { .. } => "inspect",
            Self::Stop { .. } => "stop",
            Self::Start { .. } => "start",
            Self::Receive { .. } => "receive",
            Self::Send { .. } => "send",
            Self::Stage { .. } => "stage",
            Self::SetAside { .. } => "set-aside",
            Self::Place { .. } => "place",
            Self::PutBack { .. } => "put-back",
            Self::Unstage { .. } => "unstage",
            Self::Configure { .. } => "configure",
            Self::Salvage { .. } => "salvage",
            Self::CopyDatabase { .. } => "copy-database",
            Self::ForceNewCluster { .. } => "force-new-cluster",
            Self::Command { .. } => "command",
        }
    }

    /// The recovery that asks for it.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        match self {
            Self::Inspect { .. } | Self::Receive { .. } | Self::Send { .. } => None,
            Self::Stop { run, .. }
            | Self::Start { run, .. }
            | Self::Stage { run, .. }
            | Self::SetAside { run, .. }
            | Self::Place { run, .. }
            | Self::PutBack { run, .. }
            | Self::Unstage { run, .. }
            | Self::Configure { run, .. }
            | Self::Salvage { run, .. }
            | Self::CopyDatabase { run, .. }
            | Self::ForceNewCluster { run, .. }
            | Self::Command { run, .. } => Some(run),
        }
    }

    /// The member's directories, where it names them.
    #[must_use]
    pub fn directories(&self) -> Option<&Directories> {
        match self {
            Self::Start { .. }
            | Self::Receive { .. }
            | Self::Send { .. }
            | Self::Configure { .. }
            | Self::Command { .. } => None,
            Self::Inspect { directories, .. }
            | Self::Stop { directories, .. }
            | Self::Stage { directories, .. }
            | Self::SetAside { directories, .. }
            | Self::Place { directories, .. }
            | Self::PutBack { directories, .. }
            | Self::Unstage { directories, .. }
            | Self::Salvage { directories, .. }
            | Self::CopyDatabase { directories, .. }
            | Self::ForceNewCluster { directories, .. } => Some(directories),
        }
    }

    /// Whether it changes anything on the node; what does not is not written down there.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(self, Self::Inspect { .. } | Self::Send { .. })
    }

    /// The words that follow `etcdrx` on the command line; parsed, they are this action again.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Words(vec!["node".to_owned(), self.name().to_owned()]);
        match self {
            Self::Inspect {
                directories,
                service,
                settings,
                quick,
            } => {
                words.switch("with-process", true);
                words.switch("quick", *quick);
                if let Some(service) = service {
                    words.service(service);
                }
                words.option("settings", settings.as_ref().map(ToString::to_string));
                words.option("wal-dir", directories.wal_dir.as_deref().map(text));
                words.last(vec![text(&directories.data_dir)]);
            }
            Self::Receive { path, sha256 } => {
                words.flag("path", text(path));
                words.flag("sha256", sha256.to_string());
            }
            Self::Send { path } => words.flag("path", text(path)),
            Self::Stop { .. }
            | Self::Start { .. }
            | Self::Configure { .. }
            | Self::Command { .. } => self.of_the_service(&mut words),
            _ => self.of_the_data(&mut words),
        }
        words.0
    }

    fn of_the_service(&self, words: &mut Words) {
        words.option("run", self.run().map(str::to_owned));
        match self {
            Self::Stop {
                service,
                directories,
                kill,
                ..
            } => {
                words.service(service);
                words.directories(directories);
                words.switch("kill", *kill);
            }
            Self::Start { service, .. } => words.service(service),
            Self::Configure {
                settings,
                initial_cluster,
                state,
                token,
                ..
            } => {
                words.flag("settings", settings.to_string());
                words.flag("initial-cluster", initial_cluster.clone());
                words.flag("initial-cluster-state", state.clone());
                words.option("initial-cluster-token", token.clone());
            }
            Self::Command { command, .. } => words.last(command.clone()),
            _ => {}
        }
    }

    fn of_the_data(&self, words: &mut Words) {
        words.option("run", self.run().map(str::to_owned));
        if let Some(directories) = self.directories() {
            words.directories(directories);
        }
        match self {
            Self::Stage {
                snapshot,
                unproven,
                cluster,
                bump_revision,
                clear_alarms,
                ..
            } => {
                words.flag("snapshot", text(snapshot));
                words.switch("skip-hash-check", *unproven);
                words.cluster(cluster);
                words.option("bump-revision", bump_revision.map(|by| by.to_string()));
                words.switch("clear-alarms", *clear_alarms);
            }
            Self::Salvage { etcd, output, .. } => {
                words.option("etcd", etcd.as_deref().map(text));
                words.flag("output", text(output));
            }
            Self::ForceNewCluster { etcd, .. } => {
                words.option("etcd", etcd.as_deref().map(text));
            }
            Self::CopyDatabase { output, .. } => words.flag("output", text(output)),
            _ => {}
        }
    }
}

/// A command line in the making.
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str, value: String) {
        // What begins like a flag, or is nothing, must stand in one word with its flag.
        if value.is_empty() || value.starts_with('-') {
            self.0.push(format!("--{name}={value}"));
        } else {
            self.0.push(format!("--{name}"));
            self.0.push(value);
        }
    }

    fn option(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.flag(name, value);
        }
    }

    fn switch(&mut self, name: &str, is_on: bool) {
        if is_on {
            self.0.push(format!("--{name}"));
        }
    }

    fn directories(&mut self, directories: &Directories) {
        self.flag("data-dir", text(&directories.data_dir));
        self.option("wal-dir", directories.wal_dir.as_deref().map(text));
    }

    fn service(&mut self, service: &Service) {
        match service {
            Service::Systemd { unit } => self.flag("service", format!("systemd:{unit}")),
            Service::StaticPod { manifest } => {
                self.flag("service", format!("static-pod:{}", manifest.display()));
            }
            Service::Command {
                start,
                stop,
                status,
            } => {
                self.flag("service", "command".to_owned());
                for (name, words) in [("start", start), ("stop", stop), ("status", status)] {
                    for word in words {
                        self.flag(name, word.clone());
                    }
                }
            }
        }
    }

    fn cluster(&mut self, cluster: &NewCluster) {
        self.flag("name", cluster.name.clone());
        self.flag("initial-cluster", cluster.initial_cluster.clone());
        self.flag("initial-cluster-token", cluster.token.clone());
    }

    /// What comes last may begin as it likes.
    fn last(&mut self, words: Vec<String>) {
        self.0.push("--".to_owned());
        self.0.extend(words);
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
