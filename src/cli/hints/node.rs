//! The part of the table that is about nodes, and the ways there.

use etcdrx::host;
use etcdrx::node;

use super::super::failure::{Exit, Failure};
use super::config_exit;
use super::data::{membership_exit, restore_exit};
use super::sandbox::salvage_exit;

pub(super) fn node_exit(error: &node::Error) -> (Exit, &'static str) {
    match error {
        node::Error::InUse { .. } => (
            Exit::Refused,
            "nothing was changed; `etcdrx node stop` ends it and keeps it from being started",
        ),
        node::Error::StillRuns { .. } => (
            Exit::Refused,
            "its data is not touched while it runs; --kill ends a process that does not end by itself, unless it waits for a disk",
        ),
        node::Error::Occupied { .. } | node::Error::NoSnapshot { .. } => (
            Exit::Refused,
            "nothing is overwritten: look at it, and move it away if it is not needed",
        ),
        node::Error::Busy { .. } => (
            Exit::Refused,
            "wait for it to end; a process that was killed holds nothing",
        ),
        node::Error::MountPoint { .. } => (
            Exit::Refused,
            "nothing was changed; let --data-dir or --wal-dir name a directory below it, with etcd's own settings",
        ),
        node::Error::NothingStaged { .. } => (
            Exit::Refused,
            "nothing was changed; `etcdrx node stage` makes it, under the same --run",
        ),
        node::Error::NothingAside { .. } => (
            Exit::Refused,
            "nothing was changed; `etcdrx node inspect --with-process` lists what lies aside, of which run",
        ),
        node::Error::CannotEdit { .. } => (
            Exit::Refused,
            "nothing was written; edit it by hand, and run this again: it says when all is as it must be",
        ),
        node::Error::Digest { .. } => (
            Exit::Damaged,
            "nothing was kept; send it again, and look at the file itself if that does not help",
        ),
        node::Error::Database { .. } => (
            Exit::Damaged,
            "use another member's, or a backup; `etcdrx list` shows which were verified",
        ),
        node::Error::NotReadBack { .. } => (
            Exit::Damaged,
            "something else writes this file, or the disk changes it; the copy beside it is what it was before",
        ),
        node::Error::NotAlone { .. } => (
            Exit::Failed,
            "the member's own directory is as it was; use its data instead: `etcdrx recover --scenario majority --from salvage`",
        ),
        node::Error::Salvage { source } | node::Error::Forced { source } => salvage_exit(source),
        node::Error::Membership { source } => membership_exit(source),
        node::Error::Restore { source } => restore_exit(source),
        node::Error::Settings { source } => config_exit(source),
        other => (other_exit(other), other_hint(other)),
    }
}

fn other_exit(error: &node::Error) -> Exit {
    match error {
        node::Error::BadRun { .. }
        | node::Error::BadState { .. }
        | node::Error::BadValue { .. }
        | node::Error::NoUnit { .. }
        | node::Error::NoManifest { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn other_hint(error: &node::Error) -> &'static str {
    match error {
        node::Error::NoUnit { .. } => "`systemctl list-unit-files '*etcd*'` lists the units here",
        node::Error::NoManifest { .. } => {
            "kubeadm's is /etc/kubernetes/manifests/etcd.yaml; a run keeps it in manifests.etcdrx-RUN beside that directory"
        }
        node::Error::Journal { .. } => {
            "nothing was done: what is not written down cannot be taken up again. Is the disk mounted, and may we write there?"
        }
        node::Error::Kill { .. } => "only root may kill another user's process",
        node::Error::Program { .. } => {
            "run the command by hand to see more; then run this again, it goes on where it stopped"
        }
        node::Error::Read { .. } | node::Error::Write { .. } => {
            "a member's data belongs to etcd's user: root may do this"
        }
        node::Error::Input { .. } => "nothing was kept; send it again",
        _ => "",
    }
}

pub(super) fn host_exit(error: &host::Error) -> (Exit, &'static str) {
    match error {
        host::Error::ByHand { .. } => (
            Exit::Refused,
            "type it on the node, then run this again: it checks what is done and goes on",
        ),
        host::Error::Local { source, .. } => node_exit(source),
        host::Error::Remote { code, .. } => (of_code(*code), ""),
        host::Error::Unreachable { .. } => (
            Exit::Unreachable,
            "try `ssh` with the same destination; a node that cannot be reached may still run etcd",
        ),
        host::Error::HostKey { .. } => (
            Exit::Refused,
            "connect once by hand and compare the key's fingerprint with the node's own; it is never accepted unseen",
        ),
        host::Error::Denied { .. } => (
            Exit::Failed,
            "the key must be in the agent, or named by the configuration of ssh (`ssh_config` in [[node]]); passwords are not asked for",
        ),
        host::Error::Sudo { .. } => (
            Exit::Failed,
            "let `reach` name root, or allow this user `sudo` without a password",
        ),
        host::Error::OtherMachine { .. } => (
            Exit::Failed,
            "put the etcdrx of that machine there, and let `reach` be manual",
        ),
        host::Error::Install { .. } => (
            Exit::Failed,
            "it goes to ~/.cache/etcdrx: is there room, may programs run from there, and does the node have sha256sum?",
        ),
        host::Error::Garbled { .. } => (
            Exit::Failed,
            "does a login there print something, or run another program?",
        ),
        host::Error::Digest { .. } => (Exit::Damaged, "nothing was kept; try it again"),
        host::Error::File { .. } => (Exit::Failed, "check the path and who may read and write it"),
        host::Error::Program { .. } => (Exit::Failed, "is ssh installed here?"),
    }
}

/// What another etcdrx exited with, as our own exit code.
fn of_code(code: i32) -> Exit {
    let known = [
        Exit::Usage,
        Exit::Findings,
        Exit::Refused,
        Exit::Unreachable,
        Exit::Damaged,
        Exit::Interrupted,
    ];
    let known = known.into_iter().find(|exit| *exit as i32 == code);
    known.unwrap_or(Exit::Failed)
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Self {
        let (exit, hint) = host_exit(&error);
        let mut failure = Self::new(exit, &error, hint);
        // Whoever failed knows best.
        if let host::Error::Remote { causes, hints, .. } = error {
            failure.causes = causes;
            failure.hints = hints;
        }
        failure
    }
}
