//! The messages of raft that etcd keeps on disk: what is written, and what is read whatever is missing.
//!
//! etcd up to 3.6 writes zero values and etcd 3.7 leaves them out, so every field is optional when read.

use serde::{Deserialize, Serialize};

use crate::protobuf::{Fields, Garbled, Value, Writer, numbers};

/// The identity that stands at the beginning of every WAL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Metadata {
    pub(super) node_id: u64,
    pub(super) cluster_id: u64,
}

impl Metadata {
    pub(super) fn encode(self) -> Vec<u8> {
        let writer = Writer::default().number(1, self.node_id);
        writer.number(2, self.cluster_id).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let mut metadata = Self::default();
        each(message, |field, value| {
            match field {
                1 => metadata.node_id = value.number()?,
                2 => metadata.cluster_id = value.number()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

/// What a member must not forget: the term it is in, whom it voted for in it, and how far the log is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words are raft's")]
pub struct HardState {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

impl HardState {
    pub(super) fn encode(self) -> Vec<u8> {
        let writer = Writer::default().number(1, self.term);
        writer.number(2, self.vote).number(3, self.commit).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let mut state = Self::default();
        each(message, |field, value| {
            match field {
                1 => state.term = value.number()?,
                2 => state.vote = value.number()?,
                3 => state.commit = value.number()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(state)
    }
}

/// Who votes and who only learns, at some index of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the words are raft's")]
pub struct ConfState {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub voters_outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
}

impl ConfState {
    pub(super) fn encode(&self) -> Vec<u8> {
        let lists = [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ];
        let mut writer = Writer::default();
        for (field, list) in (1..).zip(lists) {
            for id in list {
                writer = writer.number(field, *id);
            }
        }
        writer.number(5, u64::from(self.auto_leave)).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let mut state = Self::default();
        each(message, |field, value| match field {
            1 => numbers(value, &mut state.voters),
            2 => numbers(value, &mut state.learners),
            3 => numbers(value, &mut state.voters_outgoing),
            4 => numbers(value, &mut state.learners_next),
            5 => {
                state.auto_leave = value.number()? != 0;
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(state)
    }
}

/// A snapshot of raft's own, as the WAL remembers it: everything up to `index` lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotRecord {
    /// The last index that it holds.
    pub index: u64,
    /// The term of the entry there.
    pub term: u64,
    /// The members at that index; written since etcd 3.5.
    pub conf_state: Option<ConfState>,
}

impl SnapshotRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let writer = Writer::default().number(1, self.index);
        let writer = writer.number(2, self.term);
        match &self.conf_state {
            Some(state) => writer.bytes(3, &state.encode()).finish(),
            None => writer.finish(),
        }
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let mut record = Self::default();
        each(message, |field, value| {
            match field {
                1 => record.index = value.number()?,
                2 => record.term = value.number()?,
                3 => record.conf_state = Some(ConfState::decode(value.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }
}

/// What an entry of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A request of etcd, or nothing, as every new leader appends.
    Normal,
    /// A change of the members.
    ConfChange,
    /// A change of several members at once.
    ConfChangeV2,
    /// What no etcd up to 3.7 writes.
    Unknown(u64),
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub index: u64,
    /// The term of the leader that appended it.
    pub term: u64,
    /// What it is.
    pub kind: EntryKind,
    /// What it says.
    pub data: Vec<u8>,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            EntryKind::Normal => 0,
            EntryKind::ConfChange => 1,
            EntryKind::ConfChangeV2 => 2,
            EntryKind::Unknown(kind) => kind,
        };
        let writer = Writer::default().number(1, kind).number(2, self.term);
        writer.number(3, self.index).bytes(4, &self.data).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let (place, kind) = EntryPlace::decode(message)?;
        let mut data = Vec::new();
        each(message, |field, value| {
            if field == 4 {
                value.bytes()?.clone_into(&mut data);
            }
            Ok(())
        })?;
        Ok(Self {
            index: place.index,
            term: place.term,
            kind,
            data,
        })
    }
}

/// How an entry changes the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConfChange {
    /// The index of the entry.
    pub(super) index: u64,
    kind: u64,
    node_id: u64,
}

impl ConfChange {
    /// Reads what the entry at `index` changes; of an entry that changes no member, `None`.
    pub(super) fn of_entry(entry: &Entry) -> Result<Option<Self>, Garbled> {
        if entry.kind != EntryKind::ConfChange {
            return Ok(None);
        }
        let (mut kind, mut node_id) = (0, 0);
        each(&entry.data, |field, value| {
            match field {
                2 => kind = value.number()?,
                3 => node_id = value.number()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Some(Self {
            index: entry.index,
            kind,
            node_id,
        }))
    }

    /// Changes the members as raft does; the ids stay in order.
    pub(super) fn apply(self, state: &mut ConfState) {
        let lists = [&mut state.voters, &mut state.learners];
        let list = match self.kind {
            0 => 0,
            3 => 1,
            // Another URL of the same member.
            2 => return,
            _ => lists.len(),
        };
        for (place, ids) in lists.into_iter().enumerate() {
            ids.retain(|id| *id != self.node_id);
            if place == list {
                ids.push(self.node_id);
                ids.sort_unstable();
            }
        }
    }
}

/// A place in the log: terms count before indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words are raft's")]
pub struct EntryPlace {
    pub term: u64,
    pub index: u64,
}

impl EntryPlace {
    /// Reads where an entry stands and what it is, and copies nothing.
    pub(super) fn decode(message: &[u8]) -> Result<(Self, EntryKind), Garbled> {
        let (mut place, mut kind) = (Self::default(), EntryKind::Normal);
        each(message, |field, value| {
            match field {
                1 => {
                    kind = match value.number()? {
                        0 => EntryKind::Normal,
                        1 => EntryKind::ConfChange,
                        2 => EntryKind::ConfChangeV2,
                        other => EntryKind::Unknown(other),
                    }
                }
                2 => place.term = value.number()?,
                3 => place.index = value.number()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((place, kind))
    }
}

/// The entry that adds a voting member to the log of a new cluster.
pub(super) fn add_node(node_id: u64, context: &[u8]) -> Vec<u8> {
    let writer = Writer::default().number(1, 0).number(2, 0);
    writer.number(3, node_id).bytes(4, context).finish()
}

/// Shows each field of a message to `take`.
pub(super) fn each<'a>(
    message: &'a [u8],
    mut take: impl FnMut(u64, Value<'a>) -> Result<(), Garbled>,
) -> Result<(), Garbled> {
    for field in Fields::of(message) {
        let (field, value) = field?;
        take(field, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_there_is_zero() {
        assert_eq!(Metadata::decode(b"").unwrap(), Metadata::default());
        assert_eq!(HardState::decode(b"").unwrap(), HardState::default());
        assert_eq!(ConfState::decode(b"").unwrap(), ConfState::default());
        let record = SnapshotRecord::decode(b"").unwrap();
        assert_eq!(record, SnapshotRecord::default());
        let entry = Entry::decode(&[0x10, 0x02, 0x18, 0x07]).unwrap();
        assert_eq!((entry.term, entry.index), (2, 7));
        assert_eq!((entry.kind, entry.data.len()), (EntryKind::Normal, 0));
    }

    #[test]
    fn a_later_term_is_further_than_a_longer_log() {
        let place = |term, index| EntryPlace { term, index };
        assert!(place(3, 10) > place(2, 999));
        assert!(place(3, 11) > place(3, 10));
    }

    #[test]
    fn members_are_added_promoted_and_removed() {
        let mut state = ConfState::default();
        for (kind, node_id) in [(0, 7), (0, 5), (3, 6), (2, 9), (0, 6), (1, 7)] {
            let change = ConfChange {
                index: 1,
                kind,
                node_id,
            };
            change.apply(&mut state);
        }
        assert_eq!((state.voters, state.learners), (vec![5, 6], vec![]));
    }

    proptest! {
        #[test]
        fn messages_survive_the_round_trip(
            index: u64,
            term: u64,
            vote: u64,
            voters: Vec<u64>,
            learners: Vec<u64>,
            auto_leave: bool,
            data: Vec<u8>,
        ) {
            let metadata = Metadata { node_id: index, cluster_id: term };
            prop_assert_eq!(Metadata::decode(&metadata.encode()).unwrap(), metadata);
            let state = HardState { term, vote, commit: index };
            prop_assert_eq!(HardState::decode(&state.encode()).unwrap(), state);
            let conf_state = ConfState { voters, learners, auto_leave, ..ConfState::default() };
            let record = SnapshotRecord { index, term, conf_state: Some(conf_state) };
            prop_assert_eq!(SnapshotRecord::decode(&record.encode()).unwrap(), record);
            let entry = Entry { index, term, kind: EntryKind::ConfChange, data };
            prop_assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry.clone());
            let place = EntryPlace::decode(&entry.encode()).unwrap();
            prop_assert_eq!(place, (EntryPlace { term, index }, EntryKind::ConfChange));
        }

        #[test]
        fn any_bytes_are_a_message_or_refused(bytes: Vec<u8>) {
            let _ = Metadata::decode(&bytes);
            let _ = HardState::decode(&bytes);
            let _ = SnapshotRecord::decode(&bytes);
            let _ = Entry::decode(&bytes);
        }
    }
}
