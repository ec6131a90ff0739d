//! The steps that get the data, prove them, and bring them to the nodes.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::file::{keep, proven, remove, writing};
use super::nodes::unexpected;
use super::{Failure, Outcome, Recovery};
use crate::codec::Sha256;
use crate::datadir::membership::Membership;
use crate::fetch::fetch_to_file;
use crate::host::{self, Host};
use crate::id::BackupId;
use crate::node::Answer;
use crate::partial::Partial;
use crate::progress::{Event, told};
use crate::recovery::actions;
use crate::recovery::learned::{Learned, Snapshot};
use crate::recovery::plan::{Source, Step};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a snapshot's stream may give nothing.
const STALL: Duration = Duration::from_secs(30);
/// How many frames of a stream wait to be proven, at most.
const BLOCKS: usize = 1;

impl Recovery<'_> {
    /// Takes a snapshot of a running member, and proves it while it streams.
    pub(super) async fn take_snapshot(&self) -> Result<Outcome, Failure> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let Some(Source::Live {
            endpoint, member, ..
        }) = &self.plan.source
        else {
            return Ok(Outcome::already("the plan names no member to take one of"));
        };
        let etcd = |source| Failure::Etcd { source };
        let path = self.snapshot_path();
        let partial = Partial::create(&path).map_err(writing(&path))?;
        let live = self.request.access.member(endpoint, PATIENCE).await;
        let live = live.map_err(etcd)?;
        let stream = live.snapshot(STALL).await.map_err(etcd)?;
        let (blocks, input) = mpsc::channel(BLOCKS);
        let keeper = spawn_blocking(move || keep(input, partial, path));
        let moved = stream.into_blocks(blocks, self.request.progress).await;
        let kept = keeper.await.expect("whoever keeps it does not panic");
        match moved {
            // Where nobody took it any more, whoever kept it knows why.
            Ok(()) | Err(None) => Ok(Self::got(kept?, &format!("a snapshot of {member}"))),
            Err(Some(source)) => Err(Failure::Etcd { source }),
        }
    }

    /// Brings the backup or the file here.
    pub(super) async fn fetch_backup(&self) -> Result<Outcome, Failure> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let path = self.snapshot_path();
        let what = match &self.plan.source {
            Some(Source::Backup { id, .. }) => {
                self.fetch_any_copy(id, &path).await?;
                format!("the backup {id}")
            }
            Some(Source::File { path: from, .. }) => {
                let mut partial = Partial::create(&path).map_err(writing(&path))?;
                let copied = File::open(from)
                    .and_then(|mut source| std::io::copy(&mut source, partial.file()));
                copied.map_err(writing(&path))?;
                partial.replace().map_err(writing(&path))?;
                format!("the file {}", from.display())
            }
            _ => {
                return Err(Failure::Unexpected {
                    what: "the plan names neither a backup nor a file".to_owned(),
                });
            }
        };
        let snapshot = proven(&path, false)?;
        Ok(Self::got(snapshot, &what))
    }

    /// Fetches a backup from the first repository that gives it whole.
    async fn fetch_any_copy(&self, id: &BackupId, path: &Path) -> Result<(), Failure> {
        let mut failure = Failure::Unexpected {
            what: format!("the backup {id} is not in the repository any more"),
        };
        for (folder, backup) in self.request.backups.of(id) {
            // What a killed run left of it is not trusted.
            remove(path)?;
            match fetch_to_file(folder, backup, path, self.request.progress).await {
                Ok(()) => return Ok(()),
                Err(source) => {
                    let label = folder.repository().label();
                    let warning = format!("{label}: {}", told(&source));
                    self.request.progress.event(Event::Warning(warning));
                    failure = Failure::Fetch { source };
                }
            }
        }
        Err(failure)
    }

    /// Has a node take the data out of its own directory, and brings them here.
    pub(super) async fn salvage(&self, step: &Step) -> Result<Outcome, Failure> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let (node, host) = self.node_of(step)?;
        let action = actions::of_step(step.action, node, &self.particulars());
        let action = action.ok_or_else(|| Failure::Unexpected {
            what: format!(
                "the [[node]] {} does not say enough for this step",
                node.name
            ),
        })?;
        let answer = self.perform(node, host, &action).await?;
        let Answer::Salvaged {
            snapshot,
            sha256,
            size_bytes,
            revision,
            raised,
            ..
        } = answer
        else {
            return Err(unexpected(&node.name, &answer));
        };
        let path = self.snapshot_path();
        remove(&path)?;
        host.fetch_file(&snapshot, &path, sha256)
            .await
            .map_err(|source| Failure::Node {
                node: node.name.clone(),
                source: Box::new(source),
            })?;
        let bare = !crate::codec::has_trailer(size_bytes);
        let found = proven(&path, bare)?;
        let mut outcome = Self::got(
            Snapshot {
                sha256,
                revision,
                ..found
            },
            &format!("the data of {}", node.name),
        );
        outcome.evidence.extend(raised.map(|raised| {
            format!(
                "{} entries of its log were not marked as committed, and are kept",
                raised.after.commit.saturating_sub(raised.before.commit)
            )
        }));
        Ok(outcome)
    }

    /// Says what the proof was worth, and by how much the revision is raised.
    pub(super) fn prove_snapshot(&self) -> Result<Outcome, Failure> {
        let Some(snapshot) = &self.learned.snapshot else {
            return Err(Failure::Unexpected {
                what: "there is no snapshot".to_owned(),
            });
        };
        let found = match self.is_resumed {
            true => proven(&snapshot.path, snapshot.bare)?,
            false => snapshot.clone(),
        };
        if found.sha256 != snapshot.sha256 {
            return Err(Failure::Unexpected {
                what: format!(
                    "{} was changed since it was written",
                    snapshot.path.display()
                ),
            });
        }
        let sound = format!(
            "every page and record is sound; revision {}",
            found.revision
        );
        if !self.plan.begins_anew() {
            return Ok(Outcome::seen(sound));
        }
        // One that was decided on is not decided on again: some members may have it already.
        let bump = self
            .learned
            .bump
            .unwrap_or_else(|| self.bump(found.revision));
        let raised = match bump {
            0 => "revisions stay as they are".to_owned(),
            bump => {
                format!("revisions are raised by {bump}, and all before is marked as compacted")
            }
        };
        Ok(Outcome {
            already: false,
            evidence: vec![sound, raised],
            learned: Learned {
                bump: Some(bump),
                ..self.new_ids()?
            },
        })
    }

    /// The ids that the new cluster and its members will have: etcd computes them from the token and the peer URLs.
    fn new_ids(&self) -> Result<Learned, Failure> {
        let membership = Membership::parse(&self.plan.initial_cluster(), &self.token);
        let membership = membership.map_err(|error| Failure::Unexpected {
            what: format!("the members of the plan are none: {error}"),
        })?;
        let ids = membership.members.iter();
        Ok(Learned {
            cluster_id: Some(membership.cluster_id),
            member_ids: ids.map(|member| (member.name.clone(), member.id)).collect(),
            ..Learned::default()
        })
    }

    /// Sends the snapshot to a node.
    pub(super) async fn send_snapshot(&self, step: &Step) -> Result<Outcome, Failure> {
        let (node, host) = self.node_of(step)?;
        let Some(snapshot) = &self.learned.snapshot else {
            return Err(Failure::Unexpected {
                what: "there is no snapshot".to_owned(),
            });
        };
        if host.is_manual() && self.done.contains(&step.n) {
            return Ok(Outcome::already("a person said before that it is there"));
        }
        let there = actions::snapshot_on(node, &snapshot.path, &self.run);
        let sent = host.send_file(
            &snapshot.path,
            &there,
            snapshot.sha256,
            self.request.progress,
        );
        match sent.await {
            Err(host::Error::ByHand { command, .. }) => {
                // A comment, so that the line can be typed as it is.
                let line = format!("{command}  # with that file brought there first");
                return Ok(Outcome::seen(self.by_hand(&node.name, &line)?));
            }
            sent => sent.map_err(|source| Failure::Node {
                node: node.name.clone(),
                source: Box::new(source),
            })?,
        };
        Ok(Outcome::seen(format!("{} holds it", there.display())))
    }

    /// Removes the copy of the snapshot from a node.
    pub(super) async fn clean_up(&self, step: &Step) -> Result<Outcome, Failure> {
        let (node, host) = self.node_of(step)?;
        let path = actions::snapshot_on(node, &self.snapshot_path(), &self.run);
        if matches!(host, Host::Local(_)) {
            return Ok(Outcome::already("it is this machine's own"));
        }
        if host.is_manual() && self.done.contains(&step.n) {
            return Ok(Outcome::already("a person said before that it is gone"));
        }
        let command = vec![
            "rm".to_owned(),
            "-f".to_owned(),
            "--".to_owned(),
            path.display().to_string(),
        ];
        let action = crate::node::Action::Command {
            command,
            run: self.run.clone(),
        };
        self.perform(node, host, &action).await?;
        Ok(Outcome::seen(format!("{} is gone", path.display())))
    }

    /// The snapshot that an earlier process got, if it is still there as it was.
    fn kept(&self) -> Option<Outcome> {
        let snapshot = self.learned.snapshot.as_ref()?;
        let found = Sha256::of_file(&snapshot.path).ok()?;
        (found == snapshot.sha256)
            .then(|| Outcome::already(format!("{} is there", snapshot.path.display())))
    }

    fn got(snapshot: Snapshot, what: &str) -> Outcome {
        let evidence = format!(
            "{what}: revision {}, {} bytes, SHA-256 {}",
            snapshot.revision, snapshot.size_bytes, snapshot.sha256
        );
        Outcome {
            already: false,
            evidence: vec![evidence],
            learned: Learned {
                snapshot: Some(snapshot),
                ..Learned::default()
            },
        }
    }
}
