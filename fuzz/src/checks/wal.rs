//! The reader of write-ahead logs.

use std::fs;
use std::path::{Path, PathBuf};

use etcdrx::datadir::{snap, wal};

use super::repair;

/// Reads a log of one or two files, its entries too, raises it, and reads it again.
pub fn wal(data: &[u8]) {
    let dir = tempfile::tempdir_in(memory()).expect("there is room for a directory");
    for (sequence, file) in repair::log(data).iter().enumerate() {
        let name = format!("{sequence:016x}-{:016x}.wal", sequence * 7);
        fs::write(dir.path().join(name), file).expect("there is room for a few KiB");
    }
    let Ok(facts) = wal::read(dir.path()) else {
        return;
    };
    let _ = facts.members(None);
    let entries = wal::entries(dir.path(), 0).expect("a log that could be read can be read again");
    let entries: Result<Vec<_>, _> = entries.collect();
    if let Ok(entries) = &entries {
        assert!(
            entries.is_sorted_by(|a, b| a.index < b.index),
            "an entry was overwritten and is there"
        );
    }
    let sound = facts.refuse_damage(dir.path()).is_ok();
    if wal::raise_commit(dir.path()).is_ok() {
        assert!(sound && entries.is_ok(), "a damaged log is raised");
        let raised = wal::read(dir.path()).expect("a raised log can be read");
        assert_eq!(
            raised.hard_state.map(|state| state.commit),
            facts.last.map(|last| last.index)
        );
        assert_eq!(raised.last, facts.last);
    }
    read_as_snap(dir.path(), data);
}

fn read_as_snap(dir: &Path, data: &[u8]) {
    let path = dir.join("0000000000000001-0000000000000001.snap");
    fs::write(&path, data).expect("there is room for a few KiB");
    let _ = snap::read(&path).map(|snap| snap.record());
}

/// A directory in memory, if the machine has one.
pub(crate) fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
