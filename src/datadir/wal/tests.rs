//! Logs in every state of repair.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::frame::{ENTRY, FrameWriter, METADATA, SNAPSHOT, STATE};
use super::segments::file_name;
use super::*;
use crate::datadir::raft::{Entry, EntryKind, EntryPlace, HardState, Metadata, SnapshotRecord};

/// A log of two files, the first cut to its length and the second allocated, as etcd leaves them.
struct Log {
    dir: tempfile::TempDir,
    /// Where the records of the second file end.
    end: usize,
}

fn entry(term: u64, index: u64) -> Vec<u8> {
    let data = format!("entry {index} of term {term}").into_bytes();
    let kind = EntryKind::Normal;
    Entry {
        index,
        term,
        kind,
        data,
    }
    .encode()
}

fn state(term: u64, commit: u64) -> Vec<u8> {
    HardState {
        term,
        vote: 7,
        commit,
    }
    .encode()
}

fn identity(node_id: u64) -> Vec<u8> {
    Metadata {
        node_id,
        cluster_id: 9,
    }
    .encode()
}

impl Log {
    /// Entries 1 to 4 of term 2, then in the second file 3 to 6 of term 3, of which 4 is committed.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut first = FrameWriter::default();
        first.checksum();
        first.record(METADATA, &identity(7));
        first.record(SNAPSHOT, &SnapshotRecord::default().encode());
        (1..=4).for_each(|index| first.record(ENTRY, &entry(2, index)));
        first.record(STATE, &state(2, 2));
        let crc = first.crc();
        fs::write(dir.path().join(file_name(0, 0)), first.finish()).unwrap();
        let mut second = FrameWriter::after(crc);
        second.checksum();
        second.record(METADATA, &identity(7));
        second.record(STATE, &state(2, 2));
        (3..=6).for_each(|index| second.record(ENTRY, &entry(3, index)));
        second.record(STATE, &state(3, 4));
        let mut bytes = second.finish();
        let end = bytes.len();
        bytes.resize(end + 2048, 0);
        fs::write(dir.path().join(file_name(1, 5)), bytes).unwrap();
        Self { dir, end }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.dir().join(file_name(number, number * 5))
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.file(number)).unwrap();
        change(&mut bytes);
        fs::write(self.file(number), bytes).unwrap();
    }

    fn ending(&self) -> Ending {
        read(self.dir()).unwrap().end.ending
    }
}

#[test]
fn a_log_of_several_files_is_read_as_one() {
    let log = Log::new();
    let facts = read(log.dir()).unwrap();
    assert_eq!(facts.node_id.unwrap().0, 7);
    assert_eq!(facts.cluster_id.unwrap().0, 9);
    assert_eq!(facts.files, 2);
    assert_eq!(facts.first, Some(EntryPlace { term: 2, index: 1 }));
    assert_eq!(facts.last, Some(EntryPlace { term: 3, index: 6 }));
    assert_eq!(facts.hard_state.unwrap().commit, 4);
    assert_eq!(facts.gap, None);
    let end = &facts.end;
    assert_eq!((end.offset, end.ending), (log.end as u64, Ending::Whole));
    assert_eq!((end.leftover_bytes, end.unread_files), (0, 0));
    assert_eq!(end.file, log.file(1));
}

#[test]
fn entries_that_were_overwritten_are_left_out() {
    let log = Log::new();
    let read = |from| {
        let entries = entries(log.dir(), from).unwrap();
        let entries = entries.map(Result::unwrap);
        entries.map(|e| (e.term, e.index)).collect::<Vec<_>>()
    };
    assert_eq!(read(0), [(2, 1), (2, 2), (3, 3), (3, 4), (3, 5), (3, 6)]);
    assert_eq!(read(5), [(3, 5), (3, 6)]);
    assert_eq!(read(7), []);
}

#[test]
fn a_log_without_its_first_files_begins_where_it_begins() {
    let log = Log::new();
    fs::remove_file(log.file(0)).unwrap();
    let facts = read(log.dir()).unwrap();
    assert_eq!(facts.end.ending, Ending::Whole);
    assert_eq!(facts.first, Some(EntryPlace { term: 3, index: 3 }));
    assert_eq!(facts.members(None), None);
}

#[test]
fn a_file_that_is_missing_in_the_middle_is_damage() {
    let log = Log::new();
    fs::rename(log.file(1), log.dir().join(file_name(2, 5))).unwrap();
    assert_eq!(log.ending(), Ending::Damaged(Damage::MissingFile));
    assert_eq!(read(log.dir()).unwrap().end.unread_files, 1);
}

#[test]
fn a_file_of_another_log_does_not_go_on_from_the_first() {
    let log = Log::new();
    let mut other = FrameWriter::after(1);
    other.checksum();
    fs::write(log.file(1), other.finish()).unwrap();
    let facts = read(log.dir()).unwrap();
    assert_eq!(facts.end.ending, Ending::Damaged(Damage::Chain));
    assert_eq!((facts.end.file, facts.end.offset), (log.file(1), 0));
    assert_eq!(facts.last, Some(EntryPlace { term: 2, index: 4 }));
}

#[test]
fn a_file_of_another_member_is_damage() {
    let log = Log::new();
    let crc = read(log.dir()).unwrap().end.crc;
    let mut third = FrameWriter::after(crc);
    third.checksum();
    third.record(METADATA, &identity(8));
    fs::write(log.dir().join(file_name(2, 7)), third.finish()).unwrap();
    assert_eq!(log.ending(), Ending::Damaged(Damage::OtherIdentity));
}

#[test]
fn a_record_that_was_flushed_in_part_is_torn_only_at_the_end() {
    let log = Log::new();
    let end = log.end;
    // The file ends in the last record.
    log.change(1, |bytes| bytes.truncate(end - 5));
    assert_eq!(log.ending(), Ending::Torn);
    let facts = read(log.dir()).unwrap();
    assert_eq!(facts.hard_state.unwrap().commit, 2);
    assert!(facts.end.leftover_bytes > 0);
    // The same in a file that another one follows.
    log.change(0, |bytes| bytes.truncate(bytes.len() - 5));
    assert_eq!(log.ending(), Ending::Damaged(Damage::CutShort));
}

#[test]
fn a_record_with_a_sector_of_zeros_is_torn() {
    let log = Log::new();
    let facts = read(log.dir()).unwrap();
    let mut frames = FrameWriter::after(facts.end.crc);
    let long = Entry {
        index: 7,
        term: 3,
        kind: EntryKind::Normal,
        data: vec![0xaa; 1500],
    };
    frames.record(ENTRY, &long.encode());
    let mut torn = frames.finish();
    let sector = 1024 - log.end % 512;
    torn[sector..sector + 512].fill(0);
    log.change(1, |bytes| {
        bytes[log.end..log.end + torn.len()].copy_from_slice(&torn);
    });
    let torn = read(log.dir()).unwrap();
    assert_eq!(
        (torn.end.ending, torn.end.offset),
        (Ending::Torn, log.end as u64)
    );
    assert_eq!((torn.last, torn.end.crc), (facts.last, facts.end.crc));

    let raised = raise_commit(log.dir()).unwrap();
    assert!(raised.cut_bytes > 1000, "{raised:?}");
    assert_eq!(log.ending(), Ending::Whole);
}

#[test]
fn the_commit_is_raised_to_the_last_entry_once() {
    let log = Log::new();
    let raised = raise_commit(log.dir()).unwrap();
    let bytes = fs::read(log.file(1)).unwrap();
    let again = raise_commit(log.dir()).unwrap();

    assert_eq!((raised.before.commit, raised.after.commit), (4, 6));
    assert_eq!((raised.after.term, raised.after.vote), (3, 7));
    assert_eq!(again.before, again.after);
    assert_eq!(fs::read(log.file(1)).unwrap(), bytes);
    let facts = read(log.dir()).unwrap();
    assert_eq!(facts.hard_state, Some(raised.after));
    assert_eq!(facts.last, Some(EntryPlace { term: 3, index: 6 }));
}

#[test]
fn a_log_that_a_process_holds_is_not_raised() {
    let log = Log::new();
    let before = fs::read(log.file(1)).unwrap();
    let held = super::raise::open_locked(&log.file(1)).unwrap();
    let error = raise_commit(log.dir()).unwrap_err().to_string();
    assert!(error.contains("the member runs"), "{error}");
    assert_eq!(fs::read(log.file(1)).unwrap(), before);
    drop(held);
    raise_commit(log.dir()).unwrap();
}

#[test]
fn a_log_in_which_anything_is_wrong_is_not_raised() {
    let log = Log::new();
    log.change(0, |bytes| bytes[100] ^= 1);
    let error = raise_commit(log.dir()).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte"), "{error}");
    assert!(entries(log.dir(), 0).unwrap().last().unwrap().is_err());

    let log = Log::new();
    append(&log, STATE, &state(3, 99));
    let error = raise_commit(log.dir()).unwrap_err().to_string();
    assert!(
        error.contains("ends at entry 6, and 99 is committed"),
        "{error}"
    );

    let log = Log::new();
    append(&log, ENTRY, &entry(3, 9));
    let error = raise_commit(log.dir()).unwrap_err().to_string();
    assert!(error.contains("has no entries from 7 to 8"), "{error}");

    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read(empty.path()), Err(Error::NoFile { .. })));
    assert!(matches!(
        read(&empty.path().join("no")),
        Err(Error::Read { .. })
    ));
}

fn append(log: &Log, kind: u64, data: &[u8]) {
    let mut frames = FrameWriter::after(read(log.dir()).unwrap().end.crc);
    frames.record(kind, data);
    let frames = frames.finish();
    log.change(1, |bytes| {
        bytes[log.end..log.end + frames.len()].copy_from_slice(&frames);
    });
}

#[test]
fn no_flipped_bit_and_no_cut_goes_unnoticed() {
    let whole = Log::new();
    let facts = read(whole.dir()).unwrap();
    for number in [0, 1] {
        let length = fs::read(whole.file(number)).unwrap().len();
        let length = if number == 0 { length } else { whole.end };
        for at in 0..length {
            let log = Log::new();
            log.change(number, |bytes| bytes[at] ^= 1 << (at % 8));
            let changed = read(log.dir()).unwrap();
            let same = changed.last == facts.last && changed.hard_state == facts.hard_state;
            let noticed = changed.end.ending != Ending::Whole || changed.end.leftover_bytes > 0;
            // A bit of the padding means nothing.
            assert!(
                noticed || same && changed.end.crc == facts.end.crc,
                "{number} {at}"
            );

            let log = Log::new();
            log.change(number, |bytes| bytes.truncate(at));
            let cut = read(log.dir()).unwrap();
            assert!(
                cut.end.ending != Ending::Whole || cut.end.crc != facts.end.crc,
                "{number} {at}"
            );
        }
    }
}

/// A record whose checksum will be right, whatever it says.
fn any_record() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let number = || prop_oneof![0_u64..6, Just(u64::MAX), any::<u64>()];
    let entry = (number(), number(), 0_u64..4, any::<Vec<u8>>());
    let entry = entry.prop_map(|(index, term, kind, data)| {
        let kind = match kind {
            1 => EntryKind::ConfChange,
            kind => EntryKind::Unknown(kind),
        };
        let entry = Entry {
            index,
            term,
            kind,
            data,
        };
        (ENTRY, entry.encode())
    });
    let state = (number(), number()).prop_map(|(term, commit)| (STATE, state(term, commit)));
    let snapshot = (number(), number()).prop_map(|(index, term)| {
        let conf_state = None;
        let record = SnapshotRecord {
            index,
            term,
            conf_state,
        };
        (SNAPSHOT, record.encode())
    });
    prop_oneof![3 => entry, 1 => state, 1 => snapshot, 1 => (0_u64..7, any::<Vec<u8>>())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_records_say_they_are_read_without_a_panic(
        records in prop::collection::vec(any_record(), 0..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut frames = FrameWriter::default();
        frames.checksum();
        for (kind, data) in &records {
            frames.record(*kind, data);
        }
        fs::write(dir.path().join(file_name(0, 0)), frames.finish()).unwrap();
        let facts = read(dir.path()).unwrap();
        let _ = facts.members(None);
        let live: Vec<_> = entries(dir.path(), 0).unwrap().filter_map(Result::ok).collect();
        prop_assert!(live.windows(2).all(|pair| pair[0].index < pair[1].index));
        if facts.end.ending == Ending::Whole && raise_commit(dir.path()).is_ok() {
            let raised = read(dir.path()).unwrap();
            prop_assert_eq!(raised.hard_state.unwrap().commit, facts.last.unwrap().index);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        first: Vec<u8>,
        second: Vec<u8>,
        at in 0_usize..400,
        length in 0_usize..40,
        noise: [u8; 40],
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file_name(0, 0)), first).unwrap();
        fs::write(dir.path().join(file_name(1, 0)), second).unwrap();
        read(dir.path()).unwrap();

        let log = Log::new();
        log.change(1, |bytes| bytes[at..at + length].copy_from_slice(&noise[..length]));
        read(log.dir()).unwrap();
        entries(log.dir(), 0).unwrap().for_each(drop);
        let _ = raise_commit(log.dir());
    }
}
