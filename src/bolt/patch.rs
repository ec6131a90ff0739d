//! A database edited in place: new pages behind its end, then one new meta page that puts them in force.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;

use super::Error;
use super::edge::{Edge, Entry};
use super::file::{Bytes, Database};
use super::node::{Tail, write_at};
use super::page::{META_BYTES, Meta, NO_FREELIST};
use super::tree::{Leaves, check_entry, check_follows, write_root};
use super::walk::{Bucket, Order, Walk, Where};

/// Edits of a database's buckets, kept in memory until they are all written at once.
///
/// No page in use is touched, so until [`Patch::commit`] writes its last 80 bytes the old database is in force.
/// Replaced pages stay as garbage: with the freelist "not written", as etcd has it, the next start finds them free.
#[derive(Debug)]
pub struct Patch {
    database: Database<File>,
    buckets: BTreeMap<Vec<u8>, Bucket>,
    changes: BTreeMap<Vec<u8>, Change>,
    /// Which meta page is in force: 0 or 1.
    in_force: u64,
}

#[derive(Debug)]
enum Change {
    /// The bucket has these keys and no others.
    Whole(BTreeMap<Vec<u8>, Vec<u8>>),
    /// The bucket changes at its end.
    Edge(Edge),
}

impl Patch {
    /// Opens a database in a file that can be read and written.
    ///
    /// What lies behind the database is cut off: the checksum of a snapshot, or what a patch left that was not committed.
    ///
    /// # Errors
    /// If it is no sound database, or the file cannot be cut.
    pub fn open(file: File) -> Result<Self, Error> {
        let database = Database::open(file)?;
        let buckets = Walk::new(&database).buckets()?;
        let in_force = meta_in_force(&database)?;
        let page = database.meta().high_water_mark;
        database
            .bytes()
            .set_len(database.size_bytes())
            .map_err(|source| Error::Write { page, source })?;
        let buckets = buckets.into_iter();
        Ok(Self {
            buckets: buckets
                .map(|bucket| (bucket.name.clone(), bucket))
                .collect(),
            changes: BTreeMap::new(),
            database,
            in_force,
        })
    }

    /// Gives `bucket` these entries and no others; of two with one key the later counts.
    ///
    /// A bucket that is not there is made; so it is by every other edit.
    ///
    /// # Errors
    /// If bbolt would not take an entry.
    pub fn replace(&mut self, bucket: &[u8], entries: Vec<Entry>) -> Result<(), Error> {
        check_entry(bucket, &[])?;
        for (key, value) in &entries {
            check_entry(key, value)?;
        }
        let whole = Change::Whole(entries.into_iter().collect());
        self.changes.insert(bucket.to_vec(), whole);
        Ok(())
    }

    /// Sets one key of a small bucket, which is read as a whole.
    ///
    /// # Errors
    /// If the bucket cannot be read, or bbolt would not take the entry.
    pub fn set(&mut self, bucket: &[u8], key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_entry(key, value)?;
        self.whole(bucket)?.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    /// Removes one key of a small bucket, if it is there.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub fn remove(&mut self, bucket: &[u8], key: &[u8]) -> Result<(), Error> {
        self.whole(bucket)?.remove(key);
        Ok(())
    }

    /// Adds a key greater than every key of `bucket`, however large it is.
    ///
    /// # Errors
    /// If bbolt would not take the entry, or a key was appended that is not less. That a key in the file is not
    /// less is told by [`Patch::commit`].
    pub fn append(&mut self, bucket: &[u8], key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        check_entry(&key, &value)?;
        match self.change(bucket)? {
            Change::Whole(entries) => {
                if let Some((last, _)) = entries.last_key_value() {
                    check_follows(&key, last)?;
                }
                entries.insert(key, value);
                Ok(())
            }
            Change::Edge(edge) => edge.append(key, value),
        }
    }

    /// Drops every key of `bucket` that is not less than `from`, however large it is.
    ///
    /// # Errors
    /// If `bucket` is no name for a bucket.
    pub fn truncate(&mut self, bucket: &[u8], from: &[u8]) -> Result<(), Error> {
        match self.change(bucket)? {
            Change::Whole(entries) => drop(entries.split_off(from)),
            Change::Edge(edge) => edge.truncate(from),
        }
        Ok(())
    }

    /// Writes everything and puts it in force; nothing is written if nothing was changed.
    ///
    /// # Errors
    /// If an appended key is not greater than those in the file, a page on the way is damaged, or the file cannot be
    /// written. Then the old database is in force, unless the last write reached the disk and only that is not known.
    pub fn commit(mut self) -> Result<Meta, Error> {
        if self.changes.is_empty() {
            return Ok(*self.database.meta());
        }
        let meta = self.write_pages()?;
        let slot = meta.txid % 2;
        let file = self.database.bytes();
        write_at(file, &meta.to_bytes(slot), slot, meta.page_size)?;
        sync(file.sync_all())?;
        Ok(meta)
    }

    /// Brings all new pages to the disk and tells the meta that would put them in force.
    pub(super) fn write_pages(&mut self) -> Result<Meta, Error> {
        let old = *self.database.meta();
        let txid = next_txid(&old, self.in_force)?;
        let page = old.high_water_mark;
        let file = self.database.bytes().try_clone();
        let file = file.map_err(|source| Error::Write { page, source })?;
        let mut tail = Tail::new(file, old.page_size, page);
        for (name, change) in &self.changes {
            let bucket = self.buckets.get(name);
            let place = match change {
                Change::Whole(entries) => write_whole(entries, &mut tail)?,
                Change::Edge(edge) => {
                    let none = Where::Inline(empty_page());
                    let place = bucket.map_or(&none, |bucket| &bucket.place);
                    edge.write(&self.database, place, &mut tail)?
                }
            };
            let bucket = Bucket {
                name: name.clone(),
                sequence: bucket.map_or(0, |bucket| bucket.sequence),
                place,
            };
            self.buckets.insert(name.clone(), bucket);
        }
        let root = write_root(self.buckets.values(), &mut tail)?;
        let (file, high_water_mark) = tail.finish()?;
        sync(file.sync_data())?;
        Ok(Meta {
            page_size: old.page_size,
            root,
            freelist: NO_FREELIST,
            high_water_mark,
            txid,
        })
    }

    /// The change of `bucket`, at its edge if there is none yet.
    fn change(&mut self, bucket: &[u8]) -> Result<&mut Change, Error> {
        check_entry(bucket, &[])?;
        let none = || Change::Edge(Edge::default());
        Ok(self.changes.entry(bucket.to_vec()).or_insert_with(none))
    }

    /// All keys that `bucket` is to have, from now on in memory.
    fn whole(&mut self, bucket: &[u8]) -> Result<&mut BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        check_entry(bucket, &[])?;
        let entries = match self.changes.get(bucket) {
            Some(Change::Whole(_)) => None,
            Some(Change::Edge(edge)) => Some(edge.apply(self.entries(bucket)?)?),
            None => Some(self.entries(bucket)?),
        };
        if let Some(entries) = entries {
            let whole = Change::Whole(entries);
            self.changes.insert(bucket.to_vec(), whole);
        }
        match self.changes.get_mut(bucket) {
            Some(Change::Whole(entries)) => Ok(entries),
            _ => unreachable!("it was put there if it was not there"),
        }
    }

    /// All keys that the file has of `bucket`.
    fn entries(&self, bucket: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        let mut entries = BTreeMap::new();
        let Some(bucket) = self.buckets.get(bucket) else {
            return Ok(entries);
        };
        let mut walk = Walk::new(&self.database);
        walk.leaves(bucket, &[], Order::Ascending, &mut |_, leaf| {
            let owned = |bytes: &[u8]| bytes.to_vec();
            let leaf = leaf.elements();
            entries.extend(leaf.map(|element| (owned(element.key), owned(element.value))));
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }
}

/// Writes a bucket anew and tells where it is.
fn write_whole(entries: &BTreeMap<Vec<u8>, Vec<u8>>, tail: &mut Tail) -> Result<Where, Error> {
    let mut leaves = Leaves::new();
    for (key, value) in entries {
        leaves.push(key, value, tail)?;
    }
    leaves.close(tail)
}

/// The inline page of a bucket without keys.
fn empty_page() -> Vec<u8> {
    let any_size = 1 << 16;
    let empty = Leaves::new().inline(any_size);
    empty.expect("no keys take less than a quarter of a page")
}

/// Which of the two meta pages is in force.
fn meta_in_force(database: &Database<File>) -> Result<u64, Error> {
    let mut head = [0; META_BYTES];
    let read = Bytes::read_exact_at(database.bytes(), &mut head, 0);
    read.map_err(|source| Error::Read { page: 0, source })?;
    let first = Meta::at(0, &head).is_some_and(|first| first == *database.meta());
    Ok(u64::from(!first))
}

/// The number of the next transaction.
///
/// It is written to the page of its parity. In a snapshot the meta in force can be of the other parity than its
/// page: then one number is left out, so that the meta in force is not written over.
fn next_txid(meta: &Meta, in_force: u64) -> Result<u64, Error> {
    let next = meta.txid.checked_add(1);
    let next = match next {
        Some(next) if next % 2 == in_force => next.checked_add(1),
        next => next,
    };
    next.ok_or(Error::BadPage {
        page: in_force,
        problem: "has the last number that a transaction can have",
    })
}

fn sync(result: std::io::Result<()>) -> Result<(), Error> {
    result.map_err(|source| Error::Sync { source })
}
