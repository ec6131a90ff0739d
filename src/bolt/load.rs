//! A database written from nothing: one pass, in the order of its keys, with no page left free.

use std::fs::File;
use std::mem;

use super::Error;
use super::node::{Tail, write_at};
use super::page::{Header, Meta, PageKind};
use super::tree::{Leaves, check_entry, check_follows, readable, write_root};
use super::walk::Bucket;

/// The page of the freelist; those before it are the metas, the trees come behind.
const FREELIST: u64 = 2;

/// A database in the making.
///
/// It is none until [`Loader::finish`]: before that the file has no meta page.
#[derive(Debug)]
pub struct Loader {
    tail: Tail,
    /// The buckets before the current one.
    buckets: Vec<Bucket>,
    /// The name of the current bucket, and its keys so far.
    current: Option<(Vec<u8>, Leaves)>,
}

impl Loader {
    /// Begins a database in `file`, whatever was in it.
    ///
    /// # Errors
    /// If the page size is no power of two from 1 KiB to 64 KiB, or the file cannot be written.
    pub fn create(file: File, page_size: usize) -> Result<Self, Error> {
        if !page_size.is_power_of_two() || !(1024..=65536).contains(&page_size) {
            return Err(Error::PageSize { page_size });
        }
        file.set_len(0)
            .map_err(|source| Error::Write { page: 0, source })?;
        Ok(Self {
            tail: Tail::new(file, page_size, FREELIST + 1),
            buckets: Vec::new(),
            current: None,
        })
    }

    /// Ends the current bucket and begins one whose name is greater.
    ///
    /// # Errors
    /// If it is not greater or no name for a bucket, or the file cannot be written.
    pub fn begin_bucket(&mut self, name: &[u8]) -> Result<(), Error> {
        self.end_bucket()?;
        check_entry(name, &[])?;
        if let Some(last) = self.buckets.last() {
            check_follows(name, &last.name)?;
        }
        self.current = Some((name.to_vec(), Leaves::new()));
        Ok(())
    }

    /// Adds a key to the current bucket, greater than all before.
    ///
    /// # Errors
    /// If it is not greater, bbolt would not take it, there is no bucket, or the file cannot be written.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        match &mut self.current {
            Some((_, leaves)) => leaves.push(key, value, &mut self.tail),
            None => Err(Error::NoBucket { key: readable(key) }),
        }
    }

    fn end_bucket(&mut self) -> Result<(), Error> {
        let Some((name, leaves)) = mem::take(&mut self.current) else {
            return Ok(());
        };
        let place = leaves.close(&mut self.tail)?;
        self.buckets.push(Bucket {
            name,
            sequence: 0,
            place,
        });
        Ok(())
    }

    /// Writes the root and the metas and brings everything to the disk.
    ///
    /// The freelist is an empty page, as bbolt itself begins a database, and not "none written": so etcd's first
    /// start need not look at every page to find out that none is free. etcd drops that page at its first commit.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<Meta, Error> {
        self.end_bucket()?;
        let page_size = self.tail.page_size();
        let root = write_root(&self.buckets, &mut self.tail)?;
        let (file, high_water_mark) = self.tail.finish()?;
        let meta = |txid| Meta {
            page_size,
            root,
            freelist: FREELIST,
            high_water_mark,
            txid,
        };
        let freelist = Header {
            id: FREELIST,
            kind: PageKind::Freelist,
            count: 0,
            overflow: 0,
        };
        let mut pages = Vec::with_capacity(3 * page_size);
        pages.extend_from_slice(&meta(0).to_bytes(0));
        pages.resize(page_size, 0);
        pages.extend_from_slice(&meta(1).to_bytes(1));
        pages.resize(2 * page_size, 0);
        pages.extend_from_slice(&freelist.to_bytes());
        pages.resize(3 * page_size, 0);
        write_at(&file, &pages, 0, page_size)?;
        file.sync_all().map_err(|source| Error::Sync { source })?;
        Ok(meta(1))
    }
}
