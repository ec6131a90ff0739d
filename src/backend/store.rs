//! etcd's database, opened: its buckets, its newest revision, its compaction, and its records one after the other.

use std::ops::ControlFlow;

use super::Error;
use super::record::{KeyValue, RecordKey};
use crate::bolt::{Bucket, Bytes, Database, Leaf, Order, Walk, Where};
use crate::id::Revision;

/// The bucket of the records.
const KEY: &str = "key";

/// A database that etcd wrote.
#[derive(Debug)]
pub struct Store<B> {
    database: Database<B>,
    buckets: Vec<Bucket>,
}

/// Where in the database a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    page: u64,
    index: usize,
}

/// A record on the way past.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its revision.
    pub key: RecordKey,
    /// Its key as it is stored.
    pub raw_key: &'a [u8],
    /// Its value as it is stored: a [`KeyValue`].
    pub raw_value: &'a [u8],
    /// Where it lies.
    pub place: Place,
}

impl<'a> Record<'a> {
    fn read(leaf: Leaf<'a>, page: u64, index: usize) -> Result<Self, Error> {
        let bad = |problem| Error::BadRecord { page, problem };
        let element = leaf
            .element(index)
            .ok_or_else(|| bad("lies beyond its page"))?;
        let key =
            RecordKey::read(element.key).ok_or_else(|| bad("has a key that is no revision"))?;
        Ok(Self {
            key,
            raw_key: element.key,
            raw_value: element.value,
            place: Place { page, index },
        })
    }

    /// What it holds.
    ///
    /// # Errors
    /// If it is not what etcd writes.
    pub fn key_value(&self) -> Result<KeyValue<'a>, Error> {
        KeyValue::read(self.raw_value).map_err(|_| Error::BadRecord {
            page: self.place.page,
            problem: "holds no key and value",
        })
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Receives one record after the other.
type Visit<'v> = dyn FnMut(Record<'_>) -> Result<ControlFlow<()>, Error> + 'v;

impl<B: Bytes> Store<B> {
    /// Opens a database and reads its list of buckets.
    ///
    /// # Errors
    /// If it is no database, is damaged at the root, or etcd did not write it.
    pub fn open(bytes: B) -> Result<Self, Error> {
        let database = Database::open(bytes)?;
        let buckets = Walk::new(&database).buckets()?;
        let store = Self { database, buckets };
        for name in [KEY, "meta"] {
            if store.bucket(name).is_none() {
                return Err(Error::NoBucket(name));
            }
        }
        Ok(store)
    }

    /// The file below.
    pub fn database(&self) -> &Database<B> {
        &self.database
    }

    /// Every bucket, in the order of their names.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The bucket `name`.
    pub fn bucket(&self, name: &str) -> Option<&Bucket> {
        self.buckets
            .iter()
            .find(|bucket| bucket.name == name.as_bytes())
    }

    fn records_bucket(&self) -> Result<&Bucket, Error> {
        self.bucket(KEY).ok_or(Error::NoBucket(KEY))
    }

    /// Every key and value of a bucket that is known to be small; nothing where there is no such bucket.
    ///
    /// # Errors
    /// If it is damaged, or cannot be read.
    pub fn entries(&self, name: &str) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        if let Some(bucket) = self.bucket(name) {
            let mut walk = Walk::new(&self.database);
            walk.leaves(bucket, &[], Order::Ascending, &mut |_, leaf| {
                entries.extend(leaf.elements().map(|e| (e.key.to_vec(), e.value.to_vec())));
                ControlFlow::Continue(())
            })?;
        }
        Ok(entries)
    }

    /// One value of a small bucket.
    ///
    /// # Errors
    /// As [`Store::entries`].
    pub fn value(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let entries = self.entries(bucket)?;
        let found = entries.into_iter().find(|(name, _)| name == key.as_bytes());
        Ok(found.map(|(_, value)| value))
    }

    /// Visits the records from revision `from` on, in either order, until `visit` breaks off.
    ///
    /// # Errors
    /// If the database is damaged, cannot be read, or `visit` fails.
    pub fn records(&self, from: i64, order: Order, visit: &mut Visit<'_>) -> Result<(), Error> {
        let bucket = self.records_bucket()?;
        let from_key = RecordKey {
            main: from.max(0),
            sub: 0,
            tombstone: false,
        };
        let mut failure = None;
        Walk::new(&self.database).leaves(
            bucket,
            &from_key.to_bytes(),
            order,
            &mut |page, leaf| match visit_leaf(page, leaf, from, order, visit) {
                Ok(flow) => flow,
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        failure.map_or(Ok(()), Err)
    }

    /// The newest revision; a store that holds nothing stands at 1, as etcd counts.
    ///
    /// A compaction may have erased the newest records, if they were deletions: it was no further than the revision.
    ///
    /// # Errors
    /// If the database is damaged, or cannot be read.
    pub fn revision(&self) -> Result<Revision, Error> {
        let compacted = self.compact_revision()?.unwrap_or_default();
        let mut newest = 1;
        self.records(0, Order::Descending, &mut |record| {
            newest = record.key.main;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Revision(newest).max(compacted))
    }

    /// The revision that history was, or was being, compacted to; etcd ends a compaction that it had begun when it starts.
    ///
    /// # Errors
    /// If the database is damaged, or cannot be read.
    pub fn compact_revision(&self) -> Result<Option<Revision>, Error> {
        let meta = self.entries("meta")?;
        let of = |name: &str| {
            let value = meta.iter().find(|(key, _)| key == name.as_bytes())?;
            RecordKey::read(&value.1).map(|revision| Revision(revision.main))
        };
        Ok(of("scheduledCompactRev").max(of("finishedCompactRev")))
    }

    /// The value of the record at `place`, which came from this store.
    ///
    /// # Errors
    /// If the page cannot be read.
    pub fn value_at(&self, place: Place) -> Result<Vec<u8>, Error> {
        let value = |leaf: Option<Leaf<'_>>| {
            let problem = "is not where it was";
            let bad = Error::BadRecord {
                page: place.page,
                problem,
            };
            let record = Record::read(leaf.ok_or(bad)?, place.page, place.index)?;
            Ok(record.key_value()?.value.to_vec())
        };
        match &self.records_bucket()?.place {
            Where::Inline(bytes) => value(Leaf::read(bytes)),
            Where::Page(_) => {
                let mut pages = self.database.pages();
                let (_, bytes) = pages.page(place.page)?;
                value(Leaf::read(bytes))
            }
        }
    }
}

fn visit_leaf(
    page: u64,
    leaf: Leaf<'_>,
    from: i64,
    order: Order,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    let count = leaf.count();
    for step in 0..count {
        let index = match order {
            Order::Ascending => step,
            Order::Descending => count - 1 - step,
        };
        let record = Record::read(leaf, page, index)?;
        if record.key.main < from {
            match order {
                Order::Ascending => continue,
                Order::Descending => return Ok(ControlFlow::Break(())),
            }
        }
        if visit(record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
