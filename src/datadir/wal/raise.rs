//! Raises the commit index of a copied log to its last entry, so that `--force-new-cluster` keeps every entry of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde::{Deserialize, Serialize};

use super::facts::{Facts, read};
use super::frame::{FrameWriter, STATE};
use super::segments::segments;
use super::{Ending, Error};
use crate::datadir::raft::HardState;

/// What was appended to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// The state before.
    pub before: HardState,
    /// The state now.
    pub after: HardState,
    /// How many bytes behind the last whole record were cut off, as etcd does when it starts.
    pub cut_bytes: u64,
}

/// Appends to the log in `dir` a hard state by which every entry in it is committed.
///
/// For a *copy* of a dead member's log only, and only of the copy that reaches furthest: `--force-new-cluster` throws away what is not
/// committed, and the commit that a member wrote lags behind what it acknowledged. Where all is committed already nothing is written.
///
/// # Errors
/// If a process holds the log, or it is damaged, has a gap, lacks entries that it says are committed, or the disk refuses.
pub fn raise_commit(dir: &Path) -> Result<Raised, Error> {
    let newest = segments(dir)?.pop().ok_or_else(|| Error::NoFile {
        path: dir.to_owned(),
    })?;
    // Held to the end: no etcd can start on the log meanwhile.
    let file = open_locked(&newest.path)?;
    let facts = read(dir)?;
    facts.refuse_damage(dir)?;
    let (Some(before), Some(last)) = (facts.hard_state, facts.last) else {
        return Err(Error::NoState {
            path: dir.to_owned(),
        });
    };
    if before.commit > last.index {
        return Err(Error::CommitBeyondEnd {
            path: dir.to_owned(),
            last: last.index,
            commit: before.commit,
        });
    }
    if before.commit == last.index {
        return Ok(Raised {
            before,
            after: before,
            cut_bytes: 0,
        });
    }
    let after = HardState {
        // A vote counts in its own term only.
        vote: match before.term >= last.term {
            true => before.vote,
            false => 0,
        },
        term: before.term.max(last.term),
        commit: last.index,
    };
    append(&file, &facts, after).map_err(|source| Error::Write {
        path: facts.end.file.clone(),
        source,
    })?;
    let raised = read(dir)?;
    let as_meant = raised.hard_state == Some(after)
        && raised.last == facts.last
        && raised.end.ending == Ending::Whole;
    match as_meant {
        true => Ok(Raised {
            before,
            after,
            cut_bytes: facts.end.leftover_bytes,
        }),
        false => Err(Error::NotReadBack {
            path: facts.end.file,
        }),
    }
}

/// Whether a process holds the newest file of the log in `dir`, as a member does that runs.
///
/// The file is opened for reading only, and nothing is locked. Only this machine's processes are seen.
///
/// # Errors
/// If there is no log, or the disk refuses.
pub fn is_held(dir: &Path) -> Result<bool, Error> {
    let newest = segments(dir)?.pop().ok_or_else(|| Error::NoFile {
        path: dir.to_owned(),
    })?;
    let failed = |source| Error::Read {
        path: newest.path.clone(),
        source,
    };
    let file = File::open(&newest.path).map_err(failed)?;
    let mut lock = whole_file();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).map_err(|errno| failed(errno.into()))?;
    Ok(lock.l_type != short(libc::F_UNLCK))
}

/// The lock that etcd takes on a file of its log.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: short(libc::F_WRLCK),
        l_whence: short(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn short(constant: i32) -> i16 {
    i16::try_from(constant).expect("the constants of locks are small")
}

/// Opens a file of the log for writing, with the lock that etcd takes on it.
pub(super) fn open_locked(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let file = File::options().write(true).open(path).map_err(failed)?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(file),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

fn append(file: &File, facts: &Facts, state: HardState) -> io::Result<()> {
    let end = &facts.end;
    let mut frames = FrameWriter::after(end.crc);
    frames.record(STATE, &state.encode());
    let mut bytes = frames.finish();
    if end.leftover_bytes > 0 {
        // As etcd does: what was never flushed whole must not follow on a new record.
        file.set_len(end.offset)?;
    }
    // A length of zero ends the log, whatever lies behind it.
    bytes.extend_from_slice(&[0; 8]);
    file.write_all_at(&bytes, end.offset)?;
    file.sync_all()
}
