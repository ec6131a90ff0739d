//! Everything that a database holds, judged while its bytes stream by: no seek, no copy, no temporary file.
//!
//! A stream comes in the order of the file, a tree is in another. So of each page only what is needed later is kept:
//! branches and small leaves as they are, of a leaf of records its checksum, of each record 32 bytes. Pages that lie free
//! look the same and are kept too. At the end the trees are walked over what was kept; since a CRC of two pieces follows
//! from theirs, the hashes come out as if the records had come in their order. Where values have some KiB, all of it takes
//! some 3 % of the database's size; where they are small, up to 15 %.

use std::collections::HashMap;
use std::io;

use super::Error;
use super::pager::Pager;
use super::record::{KeyValue, RecordKey};
use super::status::{Keys, append_leaf};
use super::store::Store;
use super::surveyed::Surveyed;
use crate::bolt::{self, Bounds, Header, Leaf, Meta, PageKind, Where};

/// Leaves that hold no records are kept whole up to so much in all: more than the small buckets ever take.
const SMALL_BYTES: usize = 32 << 20;
/// Pages that seem to have overflow wait for it in up to so much memory: many times the largest request of etcd.
const PENDING_BYTES: usize = 256 << 20;

/// Where the records are noted that are so few that they lie in the bucket's own value.
pub(super) const INLINE: u64 = 0;

/// What is kept of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) key_hash: u64,
    pub(super) main: i64,
    sub: u32,
    /// The CRC-32C of the record's key and value.
    pub(super) crc: u32,
    /// How long they are, and in the highest bit whether it is a tombstone.
    length: u32,
}

const TOMBSTONE: u32 = 1 << 31;

impl Note {
    pub(super) fn is_tombstone(self) -> bool {
        self.length & TOMBSTONE != 0
    }

    pub(super) fn bytes(self) -> usize {
        (self.length & !TOMBSTONE) as usize
    }

    fn key(self) -> RecordKey {
        RecordKey {
            main: self.main,
            sub: i64::from(self.sub),
            tombstone: self.is_tombstone(),
        }
    }
}

/// What is kept of a leaf of records.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafNote {
    pub(super) page: u64,
    pub(super) overflow: u32,
    pub(super) crc: u32,
    /// Its first record, in `Survey::records`.
    first: u32,
    count: u16,
    /// What is wrong with it, if it turns out to be in use.
    problem: Option<Problem>,
}

#[derive(Debug, Clone, Copy)]
enum Problem {
    NotCompact,
    Bucket,
    NoRevision,
    NoRecord,
    NotAscending,
    TooMuch,
}

impl LeafNote {
    /// Which records are its.
    pub(super) fn records(self) -> std::ops::Range<usize> {
        let first = self.first as usize;
        first..first + usize::from(self.count)
    }

    /// Says what is wrong with it, as a page whose keys lie within `bounds`.
    pub(super) fn check(self, records: &[Note], bounds: Bounds<'_>) -> Result<(), &'static str> {
        match self.problem {
            Some(Problem::NotCompact) => {
                return Err("has keys and values that do not lie side by side in it");
            }
            Some(Problem::Bucket) => {
                return Err("holds a bucket inside a bucket, which etcd never makes");
            }
            Some(Problem::NoRevision) => return Err("has a key that is no revision"),
            Some(Problem::NoRecord) => return Err("holds a record that is none"),
            Some(Problem::NotAscending) => return Err("has keys that are not ascending"),
            Some(Problem::TooMuch) => return Err("holds more than any server writes"),
            None => {}
        }
        let of_it = records.get(self.records()).unwrap_or_default();
        let before = of_it
            .first()
            .is_some_and(|note| note.key().to_bytes().as_slice() < bounds.0);
        let after = |next: &[u8]| {
            of_it
                .last()
                .is_some_and(|note| note.key().to_bytes().as_slice() >= next)
        };
        match before || bounds.1.is_some_and(after) {
            true => Err("has a key that belongs to another page"),
            false => Ok(()),
        }
    }
}

/// A page whose overflow has not gone by yet.
struct Pending {
    number: u64,
    missing: u64,
    bytes: Vec<u8>,
    /// How long it will be.
    whole_bytes: usize,
}

/// Takes in one database as it streams by.
#[derive(Default)]
pub struct Survey {
    pager: Pager,
    pending: Vec<Pending>,
    kept: Kept,
    small_bytes: usize,
    keys: Keys,
    leaves: Vec<LeafNote>,
    records: Vec<Note>,
}

impl Survey {
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
        if number < 2 {
            self.kept.pages.insert(number, page.to_vec());
            return;
        }
        if number >= meta.high_water_mark {
            // Space that a live server has ahead belongs to no tree.
            return;
        }
        self.continue_pending(page);
        let Some(header) = Header::read(page).filter(|header| header.id == number) else {
            return;
        };
        if header.overflow == 0 {
            self.take(number, page);
        } else if u64::from(header.overflow) < meta.high_water_mark - number {
            self.await_overflow(header, page);
        }
    }

    /// Lets a page wait for its overflow.
    ///
    /// It may be a free page that only looks so: what follows is looked at for itself as well, so many pages may wait
    /// for the same bytes. What counts against the limit is what they will be in the end.
    fn await_overflow(&mut self, header: Header, page: &[u8]) {
        let overflow = header.overflow as usize;
        let whole_bytes = page.len().saturating_mul(overflow.saturating_add(1));
        let waiting = self.pending.iter().map(|pending| pending.whole_bytes);
        if waiting.sum::<usize>().saturating_add(whole_bytes) <= PENDING_BYTES {
            self.pending.push(Pending {
                number: header.id,
                missing: u64::from(header.overflow),
                bytes: page.to_vec(),
                whole_bytes,
            });
        }
    }

    fn continue_pending(&mut self, page: &[u8]) {
        let mut index = 0;
        while let Some(pending) = self.pending.get_mut(index) {
            pending.bytes.extend_from_slice(page);
            pending.missing -= 1;
            if pending.missing == 0 {
                let whole = self.pending.swap_remove(index);
                self.take(whole.number, &whole.bytes);
            } else {
                index += 1;
            }
        }
    }

    /// Takes in a page with its overflow.
    fn take(&mut self, number: u64, bytes: &[u8]) {
        let kind = Header::read(bytes).map(|header| header.kind);
        match (kind, Leaf::read(bytes)) {
            (Some(PageKind::Leaf), Some(leaf)) if is_of_records(leaf) => {
                // The name of a role can look like the key of a record, but its rights do not look like a record.
                let is_other = self.take_records(number, bytes, leaf).is_err();
                if is_other || leaf.count() == 0 {
                    self.keep_small(number, bytes);
                }
            }
            (Some(PageKind::Branch | PageKind::Freelist), _) if !has_overflow(bytes) => {
                self.kept.pages.insert(number, bytes.to_vec());
            }
            (Some(PageKind::Branch | PageKind::Freelist | PageKind::Leaf), _) => {
                self.keep_small(number, bytes);
            }
            _ => {}
        }
    }

    fn keep_small(&mut self, number: u64, bytes: &[u8]) {
        if self.small_bytes + bytes.len() <= SMALL_BYTES {
            self.small_bytes += bytes.len();
            self.kept.pages.insert(number, bytes.to_vec());
        }
    }

    fn take_records(&mut self, page: u64, bytes: &[u8], leaf: Leaf<'_>) -> Result<(), Problem> {
        let from = self.records.len();
        let taken = self.take_elements(leaf);
        let problem = taken.err();
        if problem.is_some() {
            // It lies free, or the database is damaged: the trees will tell.
            self.records.truncate(from);
        }
        let count = self.records.len() - from;
        self.leaves.push(LeafNote {
            page,
            overflow: Header::read(bytes).map_or(0, |header| header.overflow),
            // Twice over the bytes is cheaper than putting the records' checksums together.
            crc: append_leaf(0, leaf),
            first: u32::try_from(from).unwrap_or(u32::MAX),
            count: u16::try_from(count).unwrap_or(u16::MAX),
            problem,
        });
        taken
    }

    fn take_elements(&mut self, leaf: Leaf<'_>) -> Result<(), Problem> {
        leaf.data().ok_or(Problem::NotCompact)?;
        let mut last = None;
        for element in leaf.elements() {
            if element.is_bucket {
                return Err(Problem::Bucket);
            }
            let key = RecordKey::read(element.key).ok_or(Problem::NoRevision)?;
            let read = KeyValue::read(element.value).map_err(|_| Problem::NoRecord)?;
            if last.is_some_and(|last| key <= last) {
                return Err(Problem::NotAscending);
            }
            last = Some(key);
            let bytes = element.key.len() + element.value.len();
            let length = u32::try_from(bytes)
                .ok()
                .filter(|length| *length < TOMBSTONE);
            let length = length.ok_or(Problem::TooMuch)?;
            if self.records.len() >= u32::MAX as usize {
                return Err(Problem::TooMuch);
            }
            self.records.push(Note {
                key_hash: self.keys.hash(read.key),
                main: key.main,
                sub: u32::try_from(key.sub).map_err(|_| Problem::TooMuch)?,
                crc: crc32c::crc32c_append(crc32c::crc32c(element.key), element.value),
                length: if key.tombstone {
                    length | TOMBSTONE
                } else {
                    length
                },
            });
        }
        Ok(())
    }

    /// Judges the whole.
    ///
    /// # Errors
    /// If it is no etcd database, is cut short, or the first page or record in use that is not as it must be.
    pub fn finish(mut self) -> Result<Surveyed, Error> {
        let meta = self.pager.meta().ok_or(Error::NotADatabase)?;
        self.kept.size_bytes = self.pager.size_bytes();
        self.kept.page_size = meta.page_size;
        let store = Store::open(std::mem::take(&mut self.kept))?;
        if let Some(Where::Inline(bytes)) = store.bucket("key").map(|bucket| &bucket.place)
            && let Some(leaf) = Leaf::read(bytes)
        {
            // What is wrong with it is noted, and told with everything else.
            let _ = self.take_records(INLINE, bytes, leaf);
        }
        // Pages with overflow were noted when it had gone by.
        self.leaves.sort_unstable_by_key(|leaf| leaf.page);
        let empty_key = self.keys.hash(b"");
        Surveyed::judge(&store, &self.leaves, self.records, empty_key)
    }
}

/// Whether a leaf is empty, or its first key looks like a record's.
fn is_of_records(leaf: Leaf<'_>) -> bool {
    let first = leaf.element(0);
    leaf.count() == 0 || first.is_some_and(|element| RecordKey::read(element.key).is_some())
}

/// Only damage makes such a branch, and only a large database such a freelist: so much of them is kept as of small leaves.
fn has_overflow(bytes: &[u8]) -> bool {
    Header::read(bytes).is_some_and(|header| header.overflow > 0)
}

/// The pages that were kept, as a file with holes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pages: HashMap<u64, Vec<u8>>,
    page_size: usize,
    size_bytes: u64,
}

impl bolt::Bytes for Kept {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // The reader asks from the beginning of a page; where it asks for more, for its overflow.
        let page_size = self.page_size.max(1) as u64;
        let page = self.pages.get(&(offset / page_size));
        let bytes = page
            .and_then(|page| page.get(..buffer.len()))
            .ok_or(io::ErrorKind::NotFound)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }

    fn in_a_row(&self) -> bool {
        false
    }
}
