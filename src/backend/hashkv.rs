//! The hash by which members are compared: equal to what a live server answers to `HashKV`.

use std::ops::ControlFlow;

use super::Error;
use super::record::RecordKey;
use super::status::Keys;
use super::store::Store;
use crate::bolt::{Bytes, Order};
use crate::id::Revision;
use crate::manifest::HashKv;

/// Hashes the records up to `revision` as a server does that is compacted to `compact_revision`
/// (`server/storage/mvcc/hash.go` and `kvstore.go`).
///
/// Without a revision it is the newest one, without a compaction the database's own. A store that kept more history
/// than the server gives the server's hash if it is told the server's compaction.
///
/// # Errors
/// If the revision is still to come or compacted away, or the database is damaged.
pub fn hashkv<B: Bytes>(
    store: &Store<B>,
    revision: Option<Revision>,
    compact_revision: Option<Revision>,
) -> Result<HashKv, Error> {
    let newest = store.revision()?;
    let compacted = match compact_revision {
        Some(compacted) => compacted,
        None => store.compact_revision()?.unwrap_or(Revision(-1)),
    };
    let revision = within(revision, newest, compacted)?;
    let mut passed_over = Superseded::find(store, revision.0, compacted.0)?;
    let mut hash = crc32c::crc32c(b"key");
    store.records(0, Order::Ascending, &mut |record| {
        let key = record.key;
        if key.main > revision.0 {
            return Ok(ControlFlow::Break(()));
        }
        // Servers before 3.5.16 delete a tombstone at the compaction, later ones keep it: neither hashes it.
        let deleted_there = key.main == compacted.0 && key.tombstone;
        // Asked of every record: it may be one of both.
        let superseded = passed_over.holds(key);
        if !deleted_there && !superseded {
            hash = crc32c::crc32c_append(hash, record.raw_key);
            hash = crc32c::crc32c_append(hash, record.raw_value);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(HashKv {
        revision,
        compact_revision: compacted,
        hash,
    })
}

/// The revision that is meant: `asked`, or the newest.
pub(super) fn within(
    asked: Option<Revision>,
    newest: Revision,
    compacted: Revision,
) -> Result<Revision, Error> {
    let revision = asked.unwrap_or(newest);
    if revision > newest {
        return Err(Error::Future { revision, newest });
    }
    if revision < compacted {
        return Err(Error::Compacted {
            revision,
            compacted,
        });
    }
    Ok(revision)
}

/// The records that the compaction leaves out of the hash, newest first.
struct Superseded {
    keys: Vec<RecordKey>,
}

impl Superseded {
    /// Of each key, everything up to the compaction but the newest record up to `revision`; that one too if it is a
    /// tombstone. Where no key is alive the server leaves nothing out.
    fn find<B: Bytes>(store: &Store<B>, revision: i64, compacted: i64) -> Result<Self, Error> {
        let mut decided = Keys::default();
        let mut any_alive = false;
        let mut keys = Vec::new();
        store.records(0, Order::Descending, &mut |record| {
            let key = record.key;
            if key.main > revision {
                return Ok(ControlFlow::Continue(()));
            }
            let newest = decided.insert(record.key_value()?.key);
            let keep = newest && !key.tombstone;
            any_alive |= keep;
            if key.main <= compacted && !keep {
                keys.push(key);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !any_alive {
            keys.clear();
        }
        Ok(Self { keys })
    }

    /// Whether the record is one of them; asked in ascending order.
    fn holds(&mut self, key: RecordKey) -> bool {
        let found = self.keys.last() == Some(&key);
        if found {
            self.keys.pop();
        }
        found
    }
}
