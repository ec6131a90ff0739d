//! The facts of a database, read while its bytes stream by: no seek, no copy, flat memory.
//!
//! A snapshot streams in file order, but a bbolt file is a tree in no order. Two things make one pass enough.
//! Every live page carries its own number, so a page can be noted by number as it goes by and be found again when
//! the tree is known. And only the right edge of the tree is needed: the newest revision is the last key of `key`.
//! So of each branch page its last child is kept, and of each leaf page the revision in its last key, for the
//! newest few thousand leaves: freed pages hold older revisions than the live edge does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::Error;
use super::pager::Pager;
use crate::bolt::{Branch, DEPTH, Header, Leaf, Meta, PageKind};
use crate::id::Revision;

/// How many leaves are remembered, after a cut; the cut comes at twice as many.
const LEAVES: usize = 4096;
/// A root bucket takes a page or two; more is damage.
const ROOT_BYTES: usize = 1 << 20;
/// The bytes of a revision key: main, `_`, sub.
const REVISION_KEY: usize = 17;

/// What the database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The size of a page, in bytes.
    pub page_size_bytes: usize,
    /// The newest revision.
    pub revision: Revision,
    /// The revision that history was, or was being, compacted to.
    pub compact_revision: Option<Revision>,
    /// The index of the last raft entry applied.
    pub consistent_index: Option<u64>,
    /// The term of that entry; written since etcd 3.5.
    pub term: Option<u64>,
    /// The storage version; written since etcd 3.6.
    pub storage_version: Option<String>,
}

/// A key whose bytes have not all gone by yet, because its leaf spans several pages; the next due is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Awaited {
    /// Where its next byte will be.
    next: Reverse<u64>,
    page: u64,
    bytes: Vec<u8>,
}

/// Reads the facts of one database as it streams by.
#[derive(Default)]
pub struct Scan {
    pager: Pager,
    /// Where the current page begins.
    offset: u64,
    last_children: HashMap<u64, u64>,
    leaves: Vec<(i64, u64)>,
    leaves_floor: i64,
    awaited: BinaryHeap<Awaited>,
    root: Vec<u8>,
    root_bytes: usize,
}

impl Scan {
    /// Starts before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the database, the trailer of a snapshot excluded.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut pager = std::mem::take(&mut self.pager);
        pager.feed(bytes, &mut |meta, number, page| {
            self.page(meta, number, page);
        });
        self.pager = pager;
    }

    fn page(&mut self, meta: Meta, number: u64, page: &[u8]) {
        self.complete_awaited(page);
        self.note_root(meta, number, page);
        if let Some(header) = Header::read(page).filter(|header| header.id == number) {
            match header.kind {
                PageKind::Branch => {
                    if let Some(child) = Branch::read(page).and_then(|b| b.last_child()) {
                        self.last_children.insert(number, child);
                    }
                }
                PageKind::Leaf => self.note_leaf(number, page),
                PageKind::Meta | PageKind::Freelist => {}
            }
        }
        self.offset += page.len() as u64;
    }

    fn note_leaf(&mut self, number: u64, page: &[u8]) {
        let Some((at, length)) = Leaf::read(page).and_then(|leaf| leaf.last_key_place()) else {
            return;
        };
        if !(REVISION_KEY..=REVISION_KEY + 1).contains(&length) {
            return;
        }
        if let Some(key) = page.get(at..at + REVISION_KEY) {
            self.note_revision(number, key);
            return;
        }
        let bytes = page.get(at..).unwrap_or_default();
        self.awaited.push(Awaited {
            next: Reverse(self.offset + (at + bytes.len()) as u64),
            page: number,
            bytes: bytes.to_vec(),
        });
    }

    fn note_revision(&mut self, page: u64, key: &[u8]) {
        let Some(main) = parse_revision(key).filter(|main| *main >= self.leaves_floor) else {
            return;
        };
        self.leaves.push((main, page));
        if self.leaves.len() >= 2 * LEAVES {
            self.leaves.sort_unstable_by(|a, b| b.cmp(a));
            self.leaves.truncate(LEAVES);
            self.leaves_floor = self.leaves.last().map_or(0, |(main, _)| *main);
        }
    }

    /// Takes what `page` holds of keys that earlier pages promised.
    fn complete_awaited(&mut self, page: &[u8]) {
        let end = self.offset + page.len() as u64;
        while let Some(mut awaited) = self.awaited.pop() {
            let Reverse(next) = awaited.next;
            if next >= end {
                self.awaited.push(awaited);
                return;
            }
            let from = usize::try_from(next.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let missing = REVISION_KEY - awaited.bytes.len();
            let here = page.get(from..).unwrap_or_default();
            let taken = &here[..missing.min(here.len())];
            awaited.bytes.extend_from_slice(taken);
            awaited.next = Reverse(next + taken.len() as u64);
            if awaited.bytes.len() == REVISION_KEY {
                self.note_revision(awaited.page, &awaited.bytes);
            } else {
                self.awaited.push(awaited);
            }
        }
    }

    /// Keeps the root bucket's page whole, with its overflow.
    fn note_root(&mut self, meta: Meta, number: u64, page: &[u8]) {
        if number == meta.root && self.root.is_empty() {
            let overflow = Header::read(page).map_or(0, |header| header.overflow as usize);
            self.root_bytes = overflow
                .saturating_add(1)
                .saturating_mul(page.len())
                .min(ROOT_BYTES);
        }
        if number >= meta.root && self.root.len() < self.root_bytes {
            self.root.extend_from_slice(page);
        }
    }

    /// Tells what the whole database said.
    ///
    /// # Errors
    /// If it is no etcd database, or its size or the pages on the way to the newest revision are not as they must be.
    pub fn finish(self) -> Result<Facts, Error> {
        let meta = self.pager.meta().ok_or(Error::NotADatabase)?;
        let expected = meta.high_water_mark.saturating_mul(meta.page_size as u64);
        let found = self.pager.size_bytes();
        if expected != found {
            return Err(Error::WrongSize { expected, found });
        }
        let root = Leaf::read(&self.root)
            .filter(|_| Header::read(&self.root).is_some_and(|header| header.id == meta.root))
            .ok_or(Error::BadPage {
                page: meta.root,
                expected: "the root leaf",
            })?;
        let bucket = |name: &'static str| {
            root.elements()
                .find(|element| element.is_bucket && element.key == name.as_bytes())
                .and_then(|element| Bucket::read(element.value))
                .ok_or(Error::NoBucket(name))
        };
        let revision = match bucket("key")? {
            Bucket::Inline(leaf) => newest_of(leaf),
            Bucket::Rooted(page) => self.newest_below(page)?,
        };
        let values = match bucket("meta")? {
            Bucket::Inline(leaf) => Some(leaf),
            // etcd's handful of small values fits inline into every page size; if not, they stay unknown.
            Bucket::Rooted(_) => None,
        };
        Ok(facts(meta.page_size, revision, values))
    }

    /// Follows the right edge from `page` down to the newest revision.
    fn newest_below(&self, mut page: u64) -> Result<Revision, Error> {
        for _ in 0..DEPTH {
            if let Some(child) = self.last_children.get(&page) {
                page = *child;
                continue;
            }
            return self
                .leaves
                .iter()
                .find(|(_, number)| *number == page)
                .map(|(main, _)| Revision(*main))
                .ok_or(Error::BadPage {
                    page,
                    expected: "a leaf of revisions",
                });
        }
        Err(Error::BadPage {
            page,
            expected: "at a depth that a tree can have",
        })
    }
}

/// Where the pages of a bucket are.
enum Bucket<'a> {
    Inline(Leaf<'a>),
    Rooted(u64),
}

impl<'a> Bucket<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        let root = u64::from_le_bytes(header.get(..8)?.try_into().ok()?);
        if root == 0 {
            return Leaf::read(header.get(16..)?).map(Self::Inline);
        }
        Some(Self::Rooted(root))
    }
}

/// The main part of a revision key, `main(8, big-endian) _ sub(8)`.
fn parse_revision(key: &[u8]) -> Option<i64> {
    let main = i64::from_be_bytes(key.get(..8)?.try_into().ok()?);
    (key.get(8) == Some(&b'_')).then_some(main)
}

/// The newest revision of a small store; an empty one stands at 1, as etcd counts.
fn newest_of(leaf: Leaf<'_>) -> Revision {
    let last = leaf.count().checked_sub(1).and_then(|i| leaf.element(i));
    Revision(
        last.and_then(|element| parse_revision(element.key))
            .unwrap_or(1),
    )
}

fn facts(page_size_bytes: usize, revision: Revision, values: Option<Leaf<'_>>) -> Facts {
    let value = |name: &str| {
        values?
            .elements()
            .find(|element| element.key == name.as_bytes())
            .map(|element| element.value)
    };
    let number = |name| Some(u64::from_be_bytes(value(name)?.try_into().ok()?));
    // A compaction that was scheduled counts: etcd finishes it when it starts.
    let compact_revision = ["scheduledCompactRev", "finishedCompactRev"]
        .into_iter()
        .filter_map(|name| parse_revision(value(name)?))
        .max()
        .map(Revision);
    Facts {
        page_size_bytes,
        // A compaction may have erased the newest records, if they were deletions.
        revision: revision.max(compact_revision.unwrap_or_default()),
        compact_revision,
        consistent_index: number("consistent_index"),
        term: number("term"),
        storage_version: value("storageVersion")
            .map(|text| String::from_utf8_lossy(text).into_owned()),
    }
}
