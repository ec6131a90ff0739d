//! What a whole log comes to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::records::{End, Item, Records};
use super::{Ending, Error};
use crate::datadir::raft::{ConfChange, ConfState, EntryPlace, HardState, SnapshotRecord};
use crate::id::{ClusterId, MemberId};

/// Entries that are not there, though some before and after them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The index of the first that is missing.
    pub first: u64,
    /// The index of the last that is missing.
    pub last: u64,
}

/// What a log says, as far as its checksums hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The member that wrote it.
    pub node_id: Option<MemberId>,
    /// The cluster of that member.
    pub cluster_id: Option<ClusterId>,
    /// The last hard state; its commit may lag behind what the member acknowledged.
    pub hard_state: Option<HardState>,
    /// All snapshots that it remembers, as they were recorded; the first of a new log has index 0.
    pub snapshots: Vec<SnapshotRecord>,
    /// The first entry that is still there.
    pub first: Option<EntryPlace>,
    /// The last entry, or the snapshot that is ahead of it: what the member's log reaches to.
    ///
    /// An entry that was overwritten by one of the same or a lower index does not count.
    pub last: Option<EntryPlace>,
    /// What is missing in between.
    pub gap: Option<Gap>,
    /// The changes of the members in the entries.
    changes: Vec<ConfChange>,
    /// How many files there are.
    pub files: usize,
    /// Where and how it ends.
    pub end: End,
}

impl Facts {
    /// The members after the last entry, committed or not: those of the newest snapshot that tells them, and every change since.
    ///
    /// `other` is a snapshot that lies beside the log, for logs of etcd 3.4, whose own records do not tell them. `None` where the
    /// beginning is unknown.
    #[must_use]
    pub fn members(&self, other: Option<&SnapshotRecord>) -> Option<ConfState> {
        let known = self.snapshots.iter().chain(other);
        let known = known.filter(|snapshot| snapshot.conf_state.is_some());
        let base = known.max_by_key(|snapshot| snapshot.index);
        let (index, mut members) = match base {
            Some(base) => (base.index, base.conf_state.clone()?),
            None if self.first.is_some_and(|first| first.index == 1) => (0, ConfState::default()),
            None => return None,
        };
        for change in self.changes.iter().filter(|change| change.index > index) {
            change.apply(&mut members);
        }
        Some(members)
    }

    /// Refuses a log that is damaged or has a gap; a torn end is none.
    ///
    /// # Errors
    /// With the place of the damage.
    pub fn refuse_damage(&self, dir: &Path) -> Result<(), Error> {
        if let Ending::Damaged(damage) = self.end.ending {
            return Err(Error::Damaged {
                file: self.end.file.clone(),
                offset: self.end.offset,
                damage,
            });
        }
        match self.gap {
            None => Ok(()),
            Some(gap) => Err(Error::Gap {
                path: dir.to_owned(),
                gap,
            }),
        }
    }
}

/// Reads the log in `dir`, all files of it, and changes nothing.
///
/// Damage is no error: the facts are those up to it. While a member runs, its last record may look torn.
///
/// # Errors
/// If there is no log, or the disk refuses.
pub fn read(dir: &Path) -> Result<Facts, Error> {
    let mut records = Records::open(dir)?;
    let files = records.files();
    let (mut metadata, mut hard_state) = (None, None);
    let (mut snapshots, mut log) = (Vec::new(), Log::default());
    while let Some(item) = records.next()? {
        match item {
            Item::Metadata(read) => metadata = Some(read),
            Item::State(state) => hard_state = Some(state),
            Item::Entry(place, change) => log.entry(place, change),
            Item::Snapshot(snapshot) => {
                log.snapshot(&snapshot);
                snapshots.push(snapshot);
            }
        }
    }
    Ok(Facts {
        node_id: metadata.map(|metadata| MemberId(metadata.node_id)),
        cluster_id: metadata.map(|metadata| ClusterId(metadata.cluster_id)),
        hard_state,
        snapshots,
        first: log.first,
        last: log.last,
        gap: log.gap,
        changes: log.changes,
        files,
        end: records.finish()?,
    })
}

/// What the entries and snapshots so far come to.
#[derive(Debug, Default)]
struct Log {
    /// The index that the log reaches to; unknown before the first record of a log whose first files are gone.
    reached: Option<u64>,
    first: Option<EntryPlace>,
    last: Option<EntryPlace>,
    changes: Vec<ConfChange>,
    gap: Option<Gap>,
}

impl Log {
    fn entry(&mut self, place: EntryPlace, change: Option<ConfChange>) {
        if let Some(reached) = self.reached
            && place.index > reached.saturating_add(1)
        {
            self.gap = Some(Gap {
                first: reached + 1,
                last: place.index - 1,
            });
        }
        if self.first.is_none_or(|first| place.index < first.index) {
            self.first = Some(place);
        }
        if self.reached.is_some_and(|reached| place.index <= reached) {
            // They are in the order of their indexes.
            let kept = self
                .changes
                .partition_point(|change| change.index < place.index);
            self.changes.truncate(kept);
        }
        self.changes.extend(change);
        self.last = Some(place);
        self.reached = Some(place.index);
    }

    /// A snapshot that is ahead of the entries stands for all that are missing before it.
    fn snapshot(&mut self, snapshot: &SnapshotRecord) {
        if self.gap.is_some_and(|gap| snapshot.index >= gap.last) {
            self.gap = None;
        }
        if self
            .reached
            .is_some_and(|reached| snapshot.index <= reached)
        {
            return;
        }
        self.reached = Some(snapshot.index);
        self.first = None;
        if snapshot.index > 0 {
            self.last = Some(EntryPlace {
                term: snapshot.term,
                index: snapshot.index,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(term: u64, index: u64) -> EntryPlace {
        EntryPlace { term, index }
    }

    fn snapshot(term: u64, index: u64) -> SnapshotRecord {
        SnapshotRecord {
            index,
            term,
            conf_state: None,
        }
    }

    #[test]
    fn an_entry_takes_the_place_of_those_after_it() {
        let mut log = Log::default();
        log.snapshot(&snapshot(0, 0));
        for place in [place(2, 1), place(2, 2), place(2, 3), place(3, 2)] {
            log.entry(place, None);
        }
        assert_eq!(
            (log.first, log.last),
            (Some(place(2, 1)), Some(place(3, 2)))
        );
        assert_eq!(log.gap, None);
    }

    #[test]
    fn a_log_may_begin_anywhere_but_then_goes_on_without_a_gap() {
        let mut log = Log::default();
        log.entry(place(2, 100), None);
        assert_eq!(log.gap, None);
        log.entry(place(2, 103), None);
        assert_eq!(
            log.gap,
            Some(Gap {
                first: 101,
                last: 102
            })
        );
    }

    #[test]
    fn a_snapshot_of_the_leader_stands_for_what_it_replaces() {
        let mut log = Log::default();
        log.snapshot(&snapshot(0, 0));
        log.entry(place(2, 1), None);
        log.snapshot(&snapshot(5, 90));
        assert_eq!((log.first, log.last), (None, Some(place(5, 90))));
        log.entry(place(5, 91), None);
        assert_eq!(
            (log.first, log.last),
            (Some(place(5, 91)), Some(place(5, 91)))
        );
        assert_eq!(log.gap, None);
    }

    #[test]
    fn a_snapshot_of_its_own_changes_nothing() {
        let mut log = Log::default();
        log.entry(place(2, 7), None);
        log.entry(place(2, 8), None);
        log.snapshot(&snapshot(2, 7));
        assert_eq!(
            (log.first, log.last),
            (Some(place(2, 7)), Some(place(2, 8)))
        );
    }
}
