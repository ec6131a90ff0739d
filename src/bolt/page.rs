//! One page: its header, its elements, and the meta pages that tell where everything begins.

/// The bytes of a page header.
pub(super) const HEADER: usize = 16;
/// The bytes of a branch or leaf element.
pub(super) const ELEMENT: usize = 16;
/// The bytes that hold a page header and a meta after it.
pub const META_BYTES: usize = HEADER + 64;
/// The freelist's page where none was written: so it is in every database of etcd 3.4 and later on Linux.
pub const NO_FREELIST: u64 = u64::MAX;
/// What every meta begins with.
const MAGIC: u32 = 0xED0C_DAED;
/// The only file format version that there is.
const VERSION: u32 = 2;
/// The flag of a leaf element whose value is a bucket.
pub(super) const BUCKET_FLAG: u32 = 1;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// The same as [`u32_at`], as a length or offset.
fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Keys and the pages below them.
    Branch,
    /// Keys and values.
    Leaf,
    /// One of the first two pages.
    Meta,
    /// The ids of free pages.
    Freelist,
}

/// The header of a page.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The page's number, which must be that of its place in the file.
    pub id: u64,
    /// What it is for.
    pub kind: PageKind,
    /// How many elements it holds.
    pub count: u16,
    /// How many pages of space follow that belong to it.
    pub overflow: u32,
}

impl Header {
    /// Reads the header of `page`; `None` if it is too short or has no valid kind.
    #[must_use]
    pub fn read(page: &[u8]) -> Option<Self> {
        let kind = match u16_at(page, 8)? {
            0x01 => PageKind::Branch,
            0x02 => PageKind::Leaf,
            0x04 => PageKind::Meta,
            0x10 => PageKind::Freelist,
            _ => return None,
        };
        Some(Self {
            id: u64_at(page, 0)?,
            kind,
            count: u16_at(page, 10)?,
            overflow: u32_at(page, 12)?,
        })
    }

    /// What [`Header::read`] reads.
    #[must_use]
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let flags: u16 = match self.kind {
            PageKind::Branch => 0x01,
            PageKind::Leaf => 0x02,
            PageKind::Meta => 0x04,
            PageKind::Freelist => 0x10,
        };
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&flags.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..].copy_from_slice(&self.overflow.to_le_bytes());
        bytes
    }
}

/// What a meta page says of the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The size of a page, in bytes: a power of two from 1 KiB to 64 KiB.
    pub page_size: usize,
    /// The page of the root bucket.
    pub root: u64,
    /// The page of the freelist, or [`NO_FREELIST`].
    pub freelist: u64,
    /// The number of pages in use or once in use: the database ends there.
    pub high_water_mark: u64,
    /// The transaction that wrote it; the greater of two is in force.
    pub txid: u64,
}

impl Meta {
    /// Reads the meta that page `number` begins with; `None` if it is not valid, or not the page that it says.
    #[must_use]
    pub fn at(number: u64, page: &[u8]) -> Option<Self> {
        let header = Header::read(page)?;
        let is_meta = header.kind == PageKind::Meta && header.id == number;
        Self::read(page).filter(|_| is_meta)
    }

    /// Reads the meta in `page`, at least [`META_BYTES`] long; `None` if magic, version or checksum are wrong.
    #[must_use]
    pub fn read(page: &[u8]) -> Option<Self> {
        let meta = page.get(HEADER..META_BYTES)?;
        let page_size = usize_at(meta, 8)?;
        let checksum = fnv1a(meta.get(..56)?);
        let valid = u32_at(meta, 0)? == MAGIC
            && u32_at(meta, 4)? == VERSION
            && u64_at(meta, 56)? == checksum
            && page_size.is_power_of_two()
            && (1024..=65536).contains(&page_size);
        if !valid {
            return None;
        }
        Some(Self {
            page_size,
            root: u64_at(meta, 16)?,
            freelist: u64_at(meta, 32)?,
            high_water_mark: u64_at(meta, 40)?,
            txid: u64_at(meta, 48)?,
        })
    }

    /// What [`Meta::read`] reads: the beginning of page `id`, which is 0 or 1.
    #[must_use]
    pub(super) fn to_bytes(self, id: u64) -> [u8; META_BYTES] {
        let header = Header {
            id,
            kind: PageKind::Meta,
            count: 0,
            overflow: 0,
        };
        let page_size = u32::try_from(self.page_size).unwrap_or_default();
        let mut meta = Vec::with_capacity(META_BYTES);
        for number in [MAGIC, VERSION, page_size, 0] {
            meta.extend_from_slice(&number.to_le_bytes());
        }
        // The zero is the root's sequence, which nobody counts.
        let numbers = [self.root, 0, self.freelist, self.high_water_mark, self.txid];
        for number in numbers {
            meta.extend_from_slice(&number.to_le_bytes());
        }
        meta.extend_from_slice(&fnv1a(&meta).to_le_bytes());
        let mut bytes = [0; META_BYTES];
        bytes[..HEADER].copy_from_slice(&header.to_bytes());
        bytes[HEADER..].copy_from_slice(&meta);
        bytes
    }
}

/// FNV-1a with 64 bits, which guards the meta pages.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What bounds the keys of a page: at least the first, less than the second.
type Bounds<'k> = (&'k [u8], Option<&'k [u8]>);

fn check_order(
    key: &[u8],
    previous: Option<&[u8]>,
    bounds: Bounds<'_>,
) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("has an empty key");
    }
    if previous.is_some_and(|previous| previous >= key) {
        return Err("has keys that are not ascending");
    }
    let after = bounds.1.is_some_and(|after| key >= after);
    match key < bounds.0 || after {
        true => Err("has a key that belongs to another page"),
        false => Ok(()),
    }
}

/// A branch page, with its overflow as far as it is at hand.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Branch<'a> {
    /// Reads the branch page at the beginning of `bytes`; `None` if it is none.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        (header.kind == PageKind::Branch).then_some(Self {
            bytes,
            count: usize::from(header.count),
        })
    }

    /// How many pages lie below.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The least key and the page of the child at `index`; `None` if there is none.
    #[must_use]
    pub fn child(&self, index: usize) -> Option<(&'a [u8], u64)> {
        if index >= self.count {
            return None;
        }
        let element = HEADER + index * ELEMENT;
        let key_at = element.checked_add(usize_at(self.bytes, element)?)?;
        let end = key_at.checked_add(usize_at(self.bytes, element + 4)?)?;
        Some((
            self.bytes.get(key_at..end)?,
            u64_at(self.bytes, element + 8)?,
        ))
    }

    /// Whether the keys lie back to back behind the elements, as every bbolt writes them.
    ///
    /// So a wrong count or length is noticed, and no page can make its reader look at one byte over and over.
    fn is_compact(&self) -> bool {
        let mut end = HEADER + self.count * ELEMENT;
        (0..self.count).all(|index| {
            let element = HEADER + index * ELEMENT;
            let position = usize_at(self.bytes, element).and_then(|at| element.checked_add(at));
            let length = usize_at(self.bytes, element + 4);
            let begins_there = position == Some(end);
            end = end.saturating_add(length.unwrap_or(usize::MAX));
            begins_there && end <= self.bytes.len()
        })
    }

    /// Whether all of it lies inside the page, with keys ascending within `bounds`; says what is wrong.
    pub(super) fn check(&self, bounds: Bounds<'_>) -> Result<(), &'static str> {
        if self.count == 0 {
            return Err("is a branch with no page below");
        }
        if !self.is_compact() {
            return Err("has keys that do not lie side by side in it");
        }
        let mut previous: Option<&[u8]> = None;
        for index in 0..self.count {
            let (key, _) = self.child(index).ok_or("has a key beyond its own end")?;
            // The key before the first child says nothing: bbolt does not lower it when lesser keys come.
            check_order(
                key,
                previous,
                (if index == 0 { &[] } else { bounds.0 }, bounds.1),
            )?;
            previous = Some(key);
        }
        Ok(())
    }

    /// The page that holds the greatest keys below this one.
    #[must_use]
    pub fn last_child(&self) -> Option<u64> {
        let last = self.count.checked_sub(1)?;
        u64_at(self.bytes, HEADER + last * ELEMENT + 8)
    }
}

/// A leaf page, with its overflow as far as it is at hand.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// One key of a leaf, with its value or bucket.
#[derive(Debug, Clone, Copy)]
pub struct LeafElement<'a> {
    /// Whether the value is a bucket's header.
    pub is_bucket: bool,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Leaf<'a> {
    /// Reads the leaf page at the beginning of `bytes`; `None` if it is none.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        (header.kind == PageKind::Leaf).then_some(Self {
            bytes,
            count: usize::from(header.count),
        })
    }

    /// How many elements it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where the last key lies: its offset from the beginning of the page and its length.
    ///
    /// The offset may lie beyond the bytes at hand, in the overflow.
    #[must_use]
    pub fn last_key_place(&self) -> Option<(usize, usize)> {
        let element = HEADER + self.count.checked_sub(1)? * ELEMENT;
        let offset = element.checked_add(usize_at(self.bytes, element + 4)?)?;
        Some((offset, usize_at(self.bytes, element + 8)?))
    }

    /// The element at `index`; `None` if there is none or it reaches beyond the bytes at hand.
    #[must_use]
    pub fn element(&self, index: usize) -> Option<LeafElement<'a>> {
        if index >= self.count {
            return None;
        }
        let element = HEADER + index * ELEMENT;
        let key_at = element.checked_add(usize_at(self.bytes, element + 4)?)?;
        let value_at = key_at.checked_add(usize_at(self.bytes, element + 8)?)?;
        let end = value_at.checked_add(usize_at(self.bytes, element + 12)?)?;
        Some(LeafElement {
            is_bucket: u32_at(self.bytes, element)? & BUCKET_FLAG != 0,
            key: self.bytes.get(key_at..value_at)?,
            value: self.bytes.get(value_at..end)?,
        })
    }

    /// Whether an element is a bucket.
    pub(super) fn has_bucket(&self) -> bool {
        (0..self.count).any(|index| {
            u32_at(self.bytes, HEADER + index * ELEMENT)
                .is_some_and(|flags| flags & BUCKET_FLAG != 0)
        })
    }

    /// Keys and values of all elements, if they lie back to back behind the elements as every bbolt writes them.
    ///
    /// Where they do not, a count or a length is wrong; and a page could make its reader look at one byte over and over.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        let from = HEADER + self.count * ELEMENT;
        let mut end = from;
        for index in 0..self.count {
            let element = HEADER + index * ELEMENT;
            if element.checked_add(usize_at(self.bytes, element + 4)?)? != end {
                return None;
            }
            let lengths = usize_at(self.bytes, element + 8)?
                .checked_add(usize_at(self.bytes, element + 12)?)?;
            end = end.checked_add(lengths)?;
        }
        self.bytes.get(from..end)
    }

    /// Whether all of it lies inside the page, with keys ascending within `bounds`; says what is wrong.
    pub(super) fn check(&self, bounds: Bounds<'_>) -> Result<(), &'static str> {
        if self.data().is_none() {
            return Err("has keys and values that do not lie side by side in it");
        }
        let mut previous: Option<&[u8]> = None;
        for index in 0..self.count {
            let element = self
                .element(index)
                .ok_or("has a key or value beyond its own end")?;
            check_order(element.key, previous, bounds)?;
            previous = Some(element.key);
        }
        Ok(())
    }

    /// All elements, ending early at one that reaches beyond the bytes at hand.
    pub fn elements(self) -> impl Iterator<Item = LeafElement<'a>> {
        (0..self.count).map_while(move |index| self.element(index))
    }
}
