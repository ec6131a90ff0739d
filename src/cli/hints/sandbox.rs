//! What to do where an etcd of our own, or what it works on, is the matter.

use etcdrx::datadir::wal;
use etcdrx::node::salvage;
use etcdrx::sandbox::{self, Reason};

use super::super::failure::Exit;
use super::certs::pki_exit;
use super::etcd_exit;

/// Where programs of every version are.
const GET_ETCD: &str = "--etcd names the program; github.com/etcd-io/etcd/releases has every version, and the file `etcd` of its archive is all that is needed";

pub(super) fn sandbox_exit(error: &sandbox::Error) -> (Exit, &'static str) {
    match error {
        sandbox::Error::Run { .. } | sandbox::Error::NotEtcd { .. } => {
            (Exit::Usage, "--etcd names the program `etcd` itself")
        }
        sandbox::Error::WrongVersion { .. } | sandbox::Error::NoProgram { .. } => {
            (Exit::Failed, GET_ETCD)
        }
        sandbox::Error::Write { .. } => (Exit::Failed, "is the disk full, and may we write there?"),
        sandbox::Error::Certificates { source } => pki_exit(source),
        sandbox::Error::NoPort { .. } => (Exit::Failed, "is the loopback interface up?"),
        sandbox::Error::Ended { reason, .. } => of_reason(*reason),
        sandbox::Error::NotServing { .. } => (
            Exit::Failed,
            "a machine that is very busy, or a very large database, may be the cause: run it again",
        ),
        sandbox::Error::Etcd { source } => etcd_exit(source),
        sandbox::Error::Snapshot { .. } => (
            Exit::Damaged,
            "nothing was kept; this machine's memory or disk changes bytes",
        ),
    }
}

fn of_reason(reason: Reason) -> (Exit, &'static str) {
    match reason {
        Reason::DamagedLog | Reason::DamagedDatabase | Reason::Mixed => (
            Exit::Damaged,
            "these data cannot be used: take another member's, or the newest backup",
        ),
        Reason::WrongVersion => (Exit::Failed, GET_ETCD),
        Reason::DiskFull => (Exit::Failed, "free space, or name another directory"),
        Reason::NotPermitted => (
            Exit::Failed,
            "run it as the user that etcd runs as, or as root",
        ),
        Reason::PortTaken => (Exit::Failed, "run it again"),
        Reason::BadFlag | Reason::Unknown => {
            (Exit::Failed, "the lines above are what etcd logged last")
        }
    }
}

pub(super) fn salvage_exit(error: &salvage::Error) -> (Exit, &'static str) {
    match error {
        salvage::Error::InUse { .. } => (
            Exit::Refused,
            "a member that runs gives a snapshot by itself, also without a quorum, as long as it is not restarted: `etcdrx backup`",
        ),
        salvage::Error::Exists { .. } => (
            Exit::Refused,
            "nothing was written; name another file, or move this one away",
        ),
        salvage::Error::Log {
            source:
                wal::Error::Damaged { .. } | wal::Error::Gap { .. } | wal::Error::CommitBeyondEnd { .. },
        } => (
            Exit::Damaged,
            "take the directory of another member; if there is none, its database alone is better than nothing, and loses what only the log has",
        ),
        salvage::Error::Log { .. } => (
            Exit::Failed,
            "is this the member's data directory, and does it run with --wal-dir?",
        ),
        salvage::Error::Database { .. } => (
            Exit::Damaged,
            "take the directory of another member, or the newest backup",
        ),
        salvage::Error::Read { .. } => (Exit::Failed, "check the path and who may read it"),
        salvage::Error::Write { .. } | salvage::Error::Space { .. } => (
            Exit::Failed,
            "the copy is made beside the output: name an output on a disk with more room",
        ),
        salvage::Error::Etcd { source } => sandbox_exit(source),
        salvage::Error::Incomplete { .. } => (
            Exit::Failed,
            "nothing was kept and nothing was changed; run it again, and keep the directory as it is",
        ),
    }
}
