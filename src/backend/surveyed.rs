//! What a survey found: the same as a walk over the file would have found.

use std::ops::ControlFlow;

use super::Error;
use super::contents::{Contents, contents};
use super::crc::Joined;
use super::hashkv::within;
use super::status::{BucketCount, Keys, Status, append_leaf};
use super::store::Store;
use super::survey::{INLINE, Kept, LeafNote, Note};
use crate::bolt::{
    self, Bounds, Bucket, DEPTH, Header, Leaf, Order, PageKind, Walk, Where, finish,
};
use crate::id::Revision;
use crate::manifest::HashKv;

/// A database that streamed by and is sound.
pub struct Surveyed {
    /// What `snapshot status` tells.
    pub status: Status,
    /// What stands in the small buckets.
    pub contents: Contents,
    /// Keys that are alive and that clients see: without the empty one that a raised revision leaves behind.
    pub keys: u64,
    /// The leaves of records in use, in the order of their keys.
    leaves: Vec<LeafNote>,
    records: Vec<Note>,
}

impl Surveyed {
    pub(super) fn judge(
        store: &Store<Kept>,
        leaves: &[LeafNote],
        records: Vec<Note>,
        empty_key: u64,
    ) -> Result<Self, Error> {
        let mut trees = Trees {
            walk: Walk::new(store.database()),
            noted: leaves,
            records: &records,
            leaves: Vec::new(),
        };
        trees.walk.buckets()?;
        let mut hash = Joined::from(0);
        let mut buckets = Vec::new();
        for bucket in store.buckets() {
            hash.append(&bucket.name);
            let keys = trees.take(bucket, &mut hash)?;
            buckets.push(BucketCount {
                name: String::from_utf8_lossy(&bucket.name).into_owned(),
                keys,
            });
        }
        let version = store.value("meta", "storageVersion")?;
        let Trees { walk, leaves, .. } = trees;
        let alive = alive(&leaves, &records);
        let status = Status {
            hash: hash.crc(),
            revision: Revision(newest(&leaves, &records)),
            record_count: buckets.iter().map(|bucket| bucket.keys).sum(),
            live_keys: alive.len() as u64,
            total_size_bytes: store.database().size_bytes(),
            version: version.map(|text| String::from_utf8_lossy(&text).into_owned()),
            compact_revision: store.compact_revision()?,
            buckets,
            shape: finish(walk, store.database())?,
        };
        Ok(Self {
            keys: status.live_keys - u64::from(alive.holds(empty_key)),
            status,
            contents: contents(store)?,
            leaves,
            records,
        })
    }

    /// Whether a hash of a server that is compacted to `compact_revision` can be computed here: what this database lost to its own
    /// compaction cannot. (At the compaction itself servers answer from a cache, with the compaction before.)
    #[must_use]
    pub fn can_hash_as(&self, compact_revision: Revision) -> bool {
        let own = self.status.compact_revision;
        own.is_none_or(|own| compact_revision >= own)
    }

    /// As [`hashkv`](super::hashkv()), over what streamed by.
    ///
    /// # Errors
    /// If the revision is still to come or compacted away.
    pub fn hashkv(
        &self,
        revision: Option<Revision>,
        compact_revision: Option<Revision>,
    ) -> Result<HashKv, Error> {
        let newest = Revision(self.status.revision.0.max(1));
        let newest = newest.max(self.status.compact_revision.unwrap_or_default());
        let compacted = compact_revision
            .or(self.status.compact_revision)
            .unwrap_or(Revision(-1));
        let revision = within(revision, newest, compacted)?;
        let mut left_out = self.left_out(revision.0, compacted.0);
        let mut hash = Joined::from(crc32c::crc32c(b"key"));
        for leaf in &self.leaves {
            let notes = &self.records[leaf.records()];
            let all_in = notes.last().is_none_or(|last| last.main <= revision.0);
            let next = left_out.last();
            if all_in && next.is_none_or(|index| !leaf.records().contains(index)) {
                hash.add(leaf.crc, bytes(notes));
                continue;
            }
            for (index, note) in leaf.records().zip(notes) {
                if left_out.last() == Some(&index) {
                    left_out.pop();
                } else if note.main <= revision.0 {
                    hash.add(note.crc, note.bytes());
                }
            }
        }
        Ok(HashKv {
            revision,
            compact_revision: compacted,
            hash: hash.crc(),
        })
    }

    /// The records that a server leaves out, the first to be met last.
    ///
    /// See `hashkv`: up to the compaction, everything but the newest record of each living key.
    fn left_out(&self, revision: i64, compacted: i64) -> Vec<usize> {
        let mut decided = Keys::default();
        let mut any_alive = false;
        let mut superseded = Vec::new();
        for leaf in self.leaves.iter().rev() {
            for index in leaf.records().rev() {
                let note = self.records[index];
                if note.main > revision {
                    continue;
                }
                let keep = decided.insert_hash(note.key_hash) && !note.is_tombstone();
                any_alive |= keep;
                if note.main <= compacted && !keep {
                    superseded.push(index);
                }
            }
        }
        if !any_alive {
            // Then only a tombstone at the compaction itself is left out.
            superseded.retain(|index| {
                let note = self.records[*index];
                note.main == compacted && note.is_tombstone()
            });
        }
        superseded
    }
}

/// How long the keys and values of a leaf are.
fn size(leaf: Leaf<'_>) -> usize {
    leaf.elements()
        .map(|element| element.key.len() + element.value.len())
        .sum()
}

fn bytes(notes: &[Note]) -> usize {
    notes.iter().map(|note| note.bytes()).sum()
}

/// The newest revision; 0 where nothing was ever written.
fn newest(leaves: &[LeafNote], records: &[Note]) -> i64 {
    let notes = leaves
        .iter()
        .rev()
        .filter_map(|leaf| records[leaf.records()].last());
    notes.map(|note| note.main).next().unwrap_or(0)
}

/// The keys that are alive at the newest revision.
fn alive(leaves: &[LeafNote], records: &[Note]) -> Keys {
    let mut alive = Keys::default();
    for note in leaves.iter().flat_map(|leaf| &records[leaf.records()]) {
        match note.is_tombstone() {
            true => alive.remove_hash(note.key_hash),
            false => alive.insert_hash(note.key_hash),
        };
    }
    alive
}

/// The walk over what was kept: small buckets as they are, the records by their notes.
struct Trees<'a> {
    walk: Walk<'a, Kept>,
    /// Notes of leaves by their page; some lie free.
    noted: &'a [LeafNote],
    records: &'a [Note],
    /// Those in use, in order.
    leaves: Vec<LeafNote>,
}

impl Trees<'_> {
    /// Adds a bucket's keys and values to `hash` and tells how many keys there are.
    fn take(&mut self, bucket: &Bucket, hash: &mut Joined) -> Result<u64, Error> {
        let mut keys = 0;
        if bucket.name != b"key" {
            let visit = &mut |_, leaf: Leaf<'_>| {
                hash.add(append_leaf(0, leaf), size(leaf));
                keys += leaf.count() as u64;
                ControlFlow::Continue(())
            };
            self.walk.leaves(bucket, &[], Order::Ascending, visit)?;
            return Ok(keys);
        }
        match bucket.place {
            Where::Page(root) => self.below(root, (&[], None), 0)?,
            Where::Inline(_) => {
                let bad = |problem| Error::Bolt(bolt::Error::BadPage { page: 0, problem });
                let leaf = self
                    .noted(INLINE)
                    .ok_or_else(|| bad("holds an inline bucket that is no leaf"))?;
                leaf.check(self.records, (&[], None)).map_err(bad)?;
                self.leaves.push(leaf);
            }
        }
        for leaf in &self.leaves {
            let notes = &self.records[leaf.records()];
            hash.add(leaf.crc, bytes(notes));
            keys += notes.len() as u64;
        }
        Ok(keys)
    }

    fn noted(&self, page: u64) -> Option<LeafNote> {
        let found = self.noted.binary_search_by_key(&page, |leaf| leaf.page);
        found.ok().map(|index| self.noted[index])
    }

    fn below(&mut self, id: u64, bounds: Bounds<'_>, depth: usize) -> Result<(), Error> {
        let bad = |problem| Error::Bolt(bolt::Error::BadPage { page: id, problem });
        if depth == DEPTH {
            return Err(bad("lies deeper than any tree of bbolt"));
        }
        if let Some(leaf) = self.noted(id) {
            self.walk.mark(Header {
                id,
                kind: PageKind::Leaf,
                count: 0,
                overflow: leaf.overflow,
            })?;
            leaf.check(self.records, bounds).map_err(bad)?;
            self.leaves.push(leaf);
            return Ok(());
        }
        let children = self.walk.children_of(id, bounds)?;
        for (index, (key, child)) in children.iter().enumerate() {
            let low = if index == 0 { bounds.0 } else { key };
            let next = children.get(index + 1).map(|(key, _)| key.as_slice());
            self.below(*child, (low, next.or(bounds.1)), depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::{golden, golden_3_7};
    use super::super::{Survey, hashkv, status};
    use super::*;

    fn surveyed(bytes: &[u8], piece: usize) -> Result<Surveyed, Error> {
        let mut survey = Survey::new();
        for part in bytes.chunks(piece) {
            survey.feed(part);
        }
        survey.finish()
    }

    #[test]
    fn a_stream_tells_what_a_walk_over_the_file_tells() {
        for golden in [golden(), golden_3_7()] {
            let database = &golden[..golden.len() - 32];
            let store = Store::open(database).unwrap();
            let walked = status(&store).unwrap();
            for piece in [4096, 10_000, 1 << 20] {
                let surveyed = surveyed(database, piece).unwrap();
                assert_eq!(surveyed.status, walked);
                assert_eq!(surveyed.contents, contents(&store).unwrap());
                for revision in [60, 61, 63, 64] {
                    let revision = Some(Revision(revision));
                    for compacted in [None, Some(Revision(-1)), Some(Revision(40))] {
                        assert_eq!(
                            surveyed.hashkv(revision, compacted).unwrap(),
                            hashkv(&store, revision, compacted).unwrap()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_told() {
        let golden = golden();
        assert!(surveyed(&golden[..golden.len() - 32 - 4096], 1 << 20).is_err());
        assert!(surveyed(&golden[..100], 10).is_err());
        assert!(surveyed(&[], 1).is_err());
    }
}
