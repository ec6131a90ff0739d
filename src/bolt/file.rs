//! A bbolt file opened for reading: which meta is in force, which buckets there are, and pages one after the other.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use super::Error;
use super::page::{Header, META_BYTES, Meta};

/// How far ahead pages are read while they are asked for in the order of the file: what fits into a core's own cache.
const READ_AHEAD_BYTES: usize = 128 << 10;
/// A page so near behind the last one still counts as the next.
const NEAR_PAGES: u64 = 16;
/// The page sizes that bbolt probes for a second meta when the first is damaged.
const PAGE_SIZES: [usize; 7] = [
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
    1 << 16,
];

/// Bytes that can be read at any place: a file, or a buffer.
pub trait Bytes {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// If there are fewer bytes, or they cannot be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// If nobody can tell.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Whether more than one page can be read at once.
    fn in_a_row(&self) -> bool {
        true
    }
}

impl Bytes for fs::File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Bytes for &[u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|from| self.get(from..from.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A bbolt database, opened for reading.
#[derive(Debug)]
pub struct Database<B> {
    bytes: B,
    meta: Meta,
}

impl<B: Bytes> Database<B> {
    /// Opens what begins with two meta pages; of two valid ones that of the later transaction is in force.
    ///
    /// Bytes behind the database (the trailer of a snapshot, space that a live server has ahead) are no matter.
    ///
    /// # Errors
    /// If there is no valid meta page, or the bytes end before the database does.
    pub fn open(bytes: B) -> Result<Self, Error> {
        let found = bytes
            .size_bytes()
            .map_err(|source| Error::Read { page: 0, source })?;
        let meta = meta_in_force(&bytes, found)?;
        let database = Self { bytes, meta };
        let expected = database.size_bytes();
        match expected <= found {
            true => Ok(database),
            false => Err(Error::CutShort { expected, found }),
        }
    }

    /// The meta that is in force.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The bytes below.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// Where the database ends, by its meta page.
    pub fn size_bytes(&self) -> u64 {
        self.meta
            .high_water_mark
            .saturating_mul(self.meta.page_size as u64)
    }

    /// Reads pages one after the other.
    pub fn pages(&self) -> Pages<'_, B> {
        Pages {
            database: self,
            window: Vec::new(),
            first: 0,
            next: 0,
            ahead_bytes: 0,
        }
    }
}

fn meta_in_force(bytes: &impl Bytes, size_bytes: u64) -> Result<Meta, Error> {
    let read = |offset: u64| {
        let mut head = [0; META_BYTES];
        let enough = offset + META_BYTES as u64 <= size_bytes;
        let read = enough && bytes.read_exact_at(&mut head, offset).is_ok();
        // A meta can stand at page 0 or 1 alone.
        Meta::at(u64::from(offset != 0), &head).filter(|_| read)
    };
    let first = read(0);
    let sizes = match first {
        Some(first) => vec![first.page_size],
        None => PAGE_SIZES.to_vec(),
    };
    let second = sizes
        .into_iter()
        .find_map(|size| read(size as u64).filter(|meta| meta.page_size == size));
    match (first, second) {
        (Some(first), Some(second)) if second.txid > first.txid => Ok(second),
        (Some(meta), _) | (None, Some(meta)) => Ok(meta),
        (None, None) => Err(Error::NotADatabase),
    }
}

/// Pages with their overflow, through one buffer that reads ahead where pages lie in a row.
pub struct Pages<'a, B> {
    database: &'a Database<B>,
    window: Vec<u8>,
    /// The page at which the window begins.
    first: u64,
    /// The page behind the last one that was asked for.
    next: u64,
    ahead_bytes: usize,
}

impl<B: Bytes> Pages<'_, B> {
    /// The page `id` with its overflow; its header is sound, and all of it lies below the high-water mark.
    ///
    /// # Errors
    /// If it is not such a page, or cannot be read.
    pub fn page(&mut self, id: u64) -> Result<(Header, &[u8]), Error> {
        let meta = &self.database.meta;
        let bad = |problem| Error::BadPage { page: id, problem };
        if id >= meta.high_water_mark {
            return Err(bad("lies beyond the end of the database"));
        }
        let at = self.hold(id, 1)?;
        let head = self.window.get(at..).unwrap_or_default();
        let header = Header::read(head).ok_or_else(|| bad("is of no kind that bbolt knows"))?;
        if header.id != id {
            return Err(bad("has another page's number"));
        }
        let count = u64::from(header.overflow) + 1;
        if count > meta.high_water_mark - id {
            return Err(bad("reaches beyond the end of the database"));
        }
        let at = self.hold(id, count)?;
        self.next = id + count;
        let end = at
            + usize::try_from(count)
                .unwrap_or(usize::MAX)
                .saturating_mul(meta.page_size);
        Ok((header, self.window.get(at..end).unwrap_or_default()))
    }

    /// Makes the window hold `count` pages from `id` on and tells where in it they begin.
    fn hold(&mut self, id: u64, count: u64) -> Result<usize, Error> {
        let page_size = self.database.meta.page_size;
        let pages_held = (self.window.len() / page_size) as u64;
        if id < self.first || id + count > self.first + pages_held {
            self.load(id, count)?;
        }
        let distance = usize::try_from(id - self.first).unwrap_or(usize::MAX);
        Ok(distance.saturating_mul(page_size))
    }

    fn load(&mut self, id: u64, count: u64) -> Result<(), Error> {
        let meta = &self.database.meta;
        let page_size = meta.page_size as u64;
        let least = 4 * meta.page_size;
        let near = id >= self.next && id - self.next < NEAR_PAGES;
        let in_a_row = near && self.database.bytes.in_a_row();
        self.ahead_bytes = match in_a_row {
            true => (self.ahead_bytes * 2).clamp(least, READ_AHEAD_BYTES.max(least)),
            false => 0,
        };
        let ahead = self.ahead_bytes as u64 / page_size;
        let count = count.max(ahead).min(meta.high_water_mark - id);
        let read = |source| Error::Read { page: id, source };
        let bytes = usize::try_from(count * page_size).map_err(|_| Error::BadPage {
            page: id,
            problem: "is larger than this machine's memory",
        })?;
        self.window.resize(bytes, 0);
        self.first = id;
        let loaded = self
            .database
            .bytes
            .read_exact_at(&mut self.window, id * page_size);
        if loaded.is_err() {
            self.window.clear();
        }
        loaded.map_err(read)
    }
}
