//! The store as it was at any revision that it still holds, and what changed between two.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::Error;
use super::hashkv::within;
use super::status::Keys;
use super::store::{Place, Store};
use crate::bolt::{Bytes, Order};
use crate::id::Revision;

/// Which keys are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    All,
    /// This one.
    Key(Vec<u8>),
    /// Those that begin so.
    Prefix(Vec<u8>),
    /// Those from the first on; up to, and without, the second if there is one.
    Range(Vec<u8>, Option<Vec<u8>>),
}

impl Select {
    /// Whether `key` is meant.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(wanted) => key == wanted,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Range(from, to) => {
                key >= from.as_slice() && to.as_ref().is_none_or(|to| key < to.as_slice())
            }
        }
    }
}

/// A key that is alive at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The revision that created it.
    pub create_revision: i64,
    /// The revision that wrote it last.
    pub mod_revision: i64,
    /// How often it was written since it was created.
    pub version: i64,
    /// The lease that it goes away with; 0 for none.
    pub lease: i64,
    /// How long its value is.
    pub value_bytes: usize,
    /// CRC-32C of the value.
    pub value_crc: u32,
    /// Where the record lies.
    pub place: Place,
}

/// The revision that is meant: `asked`, or the newest.
///
/// # Errors
/// If it is still to come, was compacted away, or the database is damaged.
pub fn revision_of<B: Bytes>(store: &Store<B>, asked: Option<Revision>) -> Result<Revision, Error> {
    let newest = store.revision()?;
    let compacted = store.compact_revision()?.unwrap_or_default();
    within(asked, newest, compacted)
}

/// The keys that were alive at `revision`, in their order.
///
/// Takes memory for each of them: about 150 bytes and the key.
///
/// # Errors
/// If the database is damaged, or cannot be read.
pub fn state_at<B: Bytes>(
    store: &Store<B>,
    revision: Revision,
    select: &Select,
) -> Result<BTreeMap<Vec<u8>, State>, Error> {
    let mut states: BTreeMap<Vec<u8>, Option<State>> = BTreeMap::new();
    store.records(0, Order::Descending, &mut |record| {
        if record.key.main > revision.0 {
            return Ok(ControlFlow::Continue(()));
        }
        let read = record.key_value()?;
        if !select.holds(read.key) {
            return Ok(ControlFlow::Continue(()));
        }
        // The newest comes first: what is older says nothing any more.
        if let Entry::Vacant(entry) = states.entry(read.key.to_vec()) {
            entry.insert((!record.key.tombstone).then(|| State {
                create_revision: read.create_revision,
                mod_revision: read.mod_revision,
                version: read.version,
                lease: read.lease,
                value_bytes: read.value.len(),
                value_crc: crc32c::crc32c(read.value),
                place: record.place,
            }));
        }
        // A single key is known as soon as it was met.
        match select {
            Select::Key(_) => Ok(ControlFlow::Break(())),
            _ => Ok(ControlFlow::Continue(())),
        }
    })?;
    let alive = states
        .into_iter()
        .filter_map(|(key, state)| Some((key, state?)));
    Ok(alive.collect())
}

/// How a key differs between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is only in the later one.
    Added(State),
    /// It is in both, with another value or lease, or was written again.
    Changed {
        /// As it was.
        before: State,
        /// As it is.
        after: State,
    },
    /// It is only in the earlier one.
    Deleted(State),
}

/// What changed from `before` to `after`, in the order of the keys.
#[must_use]
pub fn changes(
    before: &BTreeMap<Vec<u8>, State>,
    after: &BTreeMap<Vec<u8>, State>,
) -> Vec<(Vec<u8>, Change)> {
    let gone = before
        .iter()
        .filter(|(key, _)| !after.contains_key(*key))
        .map(|(key, state)| (key.clone(), Change::Deleted(*state)));
    let here = after.iter().filter_map(|(key, state)| {
        let change = match before.get(key) {
            None => Change::Added(*state),
            Some(before) if same(before, state) => return None,
            Some(before) => Change::Changed {
                before: *before,
                after: *state,
            },
        };
        Some((key.clone(), change))
    });
    let mut changes: Vec<_> = gone.chain(here).collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes
}

/// Whether nobody could tell the two apart but by where they lie.
fn same(a: &State, b: &State) -> bool {
    let of = |state: &State| {
        (
            state.create_revision,
            state.mod_revision,
            state.version,
            state.lease,
            state.value_bytes,
            state.value_crc,
        )
    };
    of(a) == of(b)
}

/// The leases that keys alive at `revision` hang on, ascending.
///
/// # Errors
/// If the database is damaged, or cannot be read.
pub fn leases_at<B: Bytes>(store: &Store<B>, revision: Revision) -> Result<Vec<i64>, Error> {
    let mut decided = Keys::default();
    let mut leases = BTreeSet::new();
    store.records(0, Order::Descending, &mut |record| {
        if record.key.main <= revision.0 {
            let read = record.key_value()?;
            if decided.insert(read.key) && !record.key.tombstone && read.lease != 0 {
                leases.insert(read.lease);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(leases.into_iter().collect())
}
