//! One page in the making, and the end of the file where it goes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Error;
use super::page::{BUCKET_FLAG, ELEMENT, HEADER, Header, PageKind};

/// How many bytes are gathered before they are written.
const GATHERED_BYTES: usize = 1 << 20;

/// A page below another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    /// The least key in it.
    pub(super) key: Vec<u8>,
    /// Its number.
    pub(super) page: u64,
}

/// The elements of a page that is not written yet.
///
/// Keys and values lie back to back, in the order of the elements, as bbolt writes them.
#[derive(Debug)]
pub(super) struct Node {
    kind: PageKind,
    items: Vec<Item>,
    data: Vec<u8>,
}

/// What an element says beside its key and value.
#[derive(Debug)]
struct Item {
    key_size: u32,
    value_size: u32,
    /// The flags of a leaf element, or the page of a branch element.
    number: u64,
}

impl Item {
    fn data_bytes(&self) -> usize {
        self.key_size as usize + self.value_size as usize
    }
}

impl Node {
    /// Begins a page of `kind` with no elements.
    pub(super) fn new(kind: PageKind) -> Self {
        Self {
            kind,
            items: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Adds a key and its value, which is a bucket or not, to a leaf.
    pub(super) fn push_value(&mut self, key: &[u8], value: &[u8], is_bucket: bool) {
        let number = u64::from(if is_bucket { BUCKET_FLAG } else { 0 });
        self.push(key, value, number);
    }

    /// Adds a page below to a branch.
    pub(super) fn push_child(&mut self, child: &Child) {
        self.push(&child.key, &[], child.page);
    }

    fn push(&mut self, key: &[u8], value: &[u8], number: u64) {
        self.items.push(Item {
            key_size: narrow(key.len()),
            value_size: narrow(value.len()),
            number,
        });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// How many bytes its page takes, header and all.
    pub(super) fn size_bytes(&self) -> usize {
        HEADER + self.items.len() * ELEMENT + self.data.len()
    }

    /// How many bytes a page with the first `count` elements takes.
    pub(super) fn size_of_first(&self, count: usize) -> usize {
        HEADER + count * ELEMENT + self.data_of_first(count)
    }

    fn data_of_first(&self, count: usize) -> usize {
        self.items.iter().take(count).map(Item::data_bytes).sum()
    }

    /// Keeps the first `count` elements and gives the others, if there are any.
    pub(super) fn split_off(&mut self, count: usize) -> Option<Self> {
        if count >= self.items.len() {
            return None;
        }
        let at = self.data_of_first(count);
        Some(Self {
            kind: self.kind,
            items: self.items.split_off(count),
            data: self.data.split_off(at),
        })
    }

    /// The least key.
    pub(super) fn first_key(&self) -> &[u8] {
        let end = self.items.first().map_or(0, |item| item.key_size as usize);
        self.data.get(..end).unwrap_or_default()
    }

    /// Forgets all elements and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.data.clear();
    }

    /// Appends the page to `bytes`.
    pub(super) fn write(&self, id: u64, overflow: u32, bytes: &mut Vec<u8>) {
        let count = u16::try_from(self.items.len());
        let header = Header {
            id,
            kind: self.kind,
            count: count.expect("65536 elements take more than the largest page"),
            overflow,
        };
        bytes.reserve(self.size_bytes());
        bytes.extend_from_slice(&header.to_bytes());
        let mut before = self.items.len() * ELEMENT;
        for item in &self.items {
            let position = narrow(before);
            let (first, second) = match self.kind {
                PageKind::Branch => ([position, item.key_size], item.number),
                _ => (
                    [narrow_flags(item.number), position],
                    u64::from(item.key_size) | (u64::from(item.value_size) << 32),
                ),
            };
            bytes.extend_from_slice(&first[0].to_le_bytes());
            bytes.extend_from_slice(&first[1].to_le_bytes());
            bytes.extend_from_slice(&second.to_le_bytes());
            // The next element begins later by its own size, and its data by this one's.
            before = before + item.data_bytes() - ELEMENT;
        }
        bytes.extend_from_slice(&self.data);
    }
}

fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("keys and values of that size were refused before")
}

fn narrow_flags(flags: u64) -> u32 {
    u32::try_from(flags).expect("the flags came from 32 bits")
}

/// Pages written one behind the other, beginning at the first that the file does not use yet.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    page_size: usize,
    /// The number of the next page.
    next: u64,
    /// Pages that are not written yet, and the number of the first.
    gathered: Vec<u8>,
    first: u64,
}

impl Tail {
    pub(super) fn new(file: File, page_size: usize, next: u64) -> Self {
        Self {
            file,
            page_size,
            next,
            gathered: Vec::new(),
            first: next,
        }
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    /// Writes `node` with the overflow that it needs and tells its page.
    pub(super) fn push(&mut self, node: &Node) -> Result<u64, Error> {
        let id = self.next;
        let pages = node.size_bytes().div_ceil(self.page_size);
        let end = self.gathered.len() + pages * self.page_size;
        node.write(id, narrow(pages - 1), &mut self.gathered);
        self.gathered.resize(end, 0);
        self.next += pages as u64;
        if self.gathered.len() >= GATHERED_BYTES {
            self.flush()?;
        }
        Ok(id)
    }

    fn flush(&mut self) -> Result<(), Error> {
        write_at(&self.file, &self.gathered, self.first, self.page_size)?;
        self.gathered.clear();
        self.first = self.next;
        Ok(())
    }

    /// Writes what is left; gives the file and the new high-water mark.
    pub(super) fn finish(mut self) -> Result<(File, u64), Error> {
        self.flush()?;
        Ok((self.file, self.next))
    }
}

/// Writes `bytes` at the beginning of `page`.
pub(super) fn write_at(
    file: &File,
    bytes: &[u8],
    page: u64,
    page_size: usize,
) -> Result<(), Error> {
    file.write_all_at(bytes, page * page_size as u64)
        .map_err(|source| Error::Write { page, source })
}
