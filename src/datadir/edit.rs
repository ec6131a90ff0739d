//! What a restore changes in the database: who the members are, and what the operator asked for.

use std::collections::HashSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use thiserror::Error;

use super::membership::Membership;
use crate::backend::{self, KeyValue, RecordKey, Store};
use crate::bolt::{self, Loader, Order, Patch, Walk};
use crate::id::Revision;
use crate::protobuf::Writer;

/// No revision goes beyond: etcd counts in 63 bits, and must be able to go on counting.
pub const MOST_REVISION: i64 = 1 << 62;
/// What a lease gets that was gone before the snapshot was taken and has keys at the revision asked for: who still
/// needs it renews it by then.
pub const RETURNED_LEASE_SECONDS: u64 = 60;

/// Why a database could not be edited.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The database cannot be read.
    #[error("the database cannot be read")]
    Read { source: backend::Error },

    /// The database cannot be written.
    #[error("the database cannot be written")]
    Write { source: bolt::Error },

    /// The copy that a rebuilt database takes the place of cannot be put away.
    #[error("the rebuilt database cannot take the place of the other")]
    Replace { source: std::io::Error },

    /// Revisions do not go so far.
    #[error("revision {revision} raised by {by} is beyond 2^62, the most that is safe")]
    BumpTooFar { revision: Revision, by: i64 },

    /// Records from elsewhere do not follow.
    #[error("record {next} does not follow {last}")]
    NotNext { last: RecordKey, next: RecordKey },
}

/// A minor release of etcd, as far as its database differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 3.4
    V3_4,
    /// 3.5
    V3_5,
    /// 3.6
    V3_6,
    /// 3.7
    V3_7,
}

impl Release {
    /// Reads a version, such as `3.6` or `3.6.14`; `None` for a release that is not known here.
    #[must_use]
    pub fn read(version: &str) -> Option<Self> {
        let mut parts = version.split('.');
        match (parts.next()?, parts.next()?) {
            ("3", "4") => Some(Self::V3_4),
            ("3", "5") => Some(Self::V3_5),
            ("3", "6") => Some(Self::V3_6),
            ("3", "7") => Some(Self::V3_7),
            _ => None,
        }
    }

    /// The storage version that it expects; older ones know none.
    #[must_use]
    pub fn storage_version(self) -> Option<&'static str> {
        match self {
            Self::V3_4 | Self::V3_5 => None,
            Self::V3_6 => Some("3.6.0"),
            Self::V3_7 => Some("3.7.0"),
        }
    }
}

/// What is to be different in the new database, besides its members.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// The store as it was at this revision.
    pub to_revision: Option<Revision>,
    /// Only the keys that begin so.
    pub prefix: Option<Vec<u8>>,
    /// Raises the revision by so much, and marks everything before as compacted: watchers then notice that they missed something.
    pub bump_revision: Option<i64>,
    /// Leaves the alarms out.
    pub clear_alarms: bool,
    /// Makes it fit for a release that is older than the one that wrote it.
    pub for_release: Option<Release>,
    /// Writes the database anew, without free pages.
    pub defragment: bool,
}

/// What became of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    /// The newest revision of the snapshot.
    pub snapshot_revision: Revision,
    /// The revision at which the new cluster starts.
    pub revision: Revision,
    /// Leases that were granted anew because keys of the earlier revision need them.
    pub returned_leases: usize,
}

/// Records that continue those of a database, in their order: what an archive of later revisions gives.
pub type Later<'l> = dyn Iterator<Item = (RecordKey, Vec<u8>)> + 'l;

/// Edits the database at `path`, in place: its trailer is cut off, and nothing of the edits shows before the last write.
///
/// # Errors
/// If the database is damaged, does not hold the revision asked for, or cannot be written.
pub fn edit(path: &Path, membership: &Membership, edits: &Edits) -> Result<Edited, Error> {
    edit_with(path, membership, edits, &mut std::iter::empty())
}

/// As [`edit`], with `later` records after those that the database holds.
///
/// # Errors
/// As [`edit`], and if a later record does not follow the one before it.
pub fn edit_with(
    path: &Path,
    membership: &Membership,
    edits: &Edits,
    later: &mut Later<'_>,
) -> Result<Edited, Error> {
    let store = open(path)?;
    let snapshot_revision = store.revision().map_err(read)?;
    let base = backend::revision_of(&store, edits.to_revision).map_err(read)?;
    let leases = match edits.to_revision {
        Some(_) => missing_leases(&store, base)?,
        None => Vec::new(),
    };
    drop(store);
    let mut later = later.peekable();
    let rebuilt = edits.prefix.is_some() || edits.defragment || later.peek().is_some();
    if rebuilt {
        truncate(path, edits)?;
        rebuild(path, edits.prefix.as_deref(), &mut later)?;
    }
    let store = open(path)?;
    // A partial store may hold nothing of the newest revisions: they count all the same.
    let newest = match rebuilt {
        true => store.revision().map_err(read)?.max(base),
        false => base,
    };
    let mut patch = Patch::open(writable(path)?).map_err(write)?;
    if edits.to_revision.is_some() && !rebuilt {
        patch.truncate(b"key", &after(base)).map_err(write)?;
    }
    let revision = bump(&mut patch, newest, edits.bump_revision)?;
    members(&mut patch, membership)?;
    options(&mut patch, &store, edits)?;
    for lease in &leases {
        let value = Writer::default()
            .number(1, lease.cast_unsigned())
            .number(2, RETURNED_LEASE_SECONDS)
            .finish();
        patch
            .set(b"lease", &lease.to_be_bytes(), &value)
            .map_err(write)?;
    }
    patch.commit().map_err(write)?;
    Ok(Edited {
        snapshot_revision,
        revision,
        returned_leases: leases.len(),
    })
}

fn read(source: backend::Error) -> Error {
    Error::Read { source }
}

fn write(source: bolt::Error) -> Error {
    Error::Write { source }
}

fn replace(source: std::io::Error) -> Error {
    Error::Replace { source }
}

fn open(path: &Path) -> Result<Store<File>, Error> {
    Store::open(File::open(path).map_err(replace)?).map_err(read)
}

fn writable(path: &Path) -> Result<File, Error> {
    let file = File::options().read(true).write(true).open(path);
    file.map_err(replace)
}

/// The first key of the records after `revision`.
fn after(revision: Revision) -> Vec<u8> {
    RecordKey {
        main: revision.0.saturating_add(1),
        sub: 0,
        tombstone: false,
    }
    .to_bytes()
}

/// Cuts the records before the database is rebuilt, so that no later one is copied.
fn truncate(path: &Path, edits: &Edits) -> Result<(), Error> {
    let Some(revision) = edits.to_revision else {
        return Ok(());
    };
    let mut patch = Patch::open(writable(path)?).map_err(write)?;
    patch.truncate(b"key", &after(revision)).map_err(write)?;
    patch.commit().map(drop).map_err(write)
}

/// Adds the record that raises the revision, and marks what is before it as compacted, as etcdutl does.
fn bump(patch: &mut Patch, newest: Revision, by: Option<i64>) -> Result<Revision, Error> {
    let Some(by) = by else {
        return Ok(newest);
    };
    let raised = newest
        .0
        .checked_add(by)
        .filter(|raised| *raised <= MOST_REVISION);
    let main = raised.ok_or(Error::BumpTooFar {
        revision: newest,
        by,
    })?;
    let key = RecordKey {
        main,
        sub: 0,
        tombstone: false,
    };
    patch
        .append(b"key", key.to_bytes(), Vec::new())
        .map_err(write)?;
    patch
        .set(b"meta", b"scheduledCompactRev", &key.to_bytes())
        .map_err(write)?;
    Ok(Revision(main))
}

/// The members of the new cluster instead of those of the old one, and the beginning of a new log.
fn members(patch: &mut Patch, membership: &Membership) -> Result<(), Error> {
    let entries = membership.members.iter().map(|member| {
        (
            member.id.to_string().into_bytes(),
            member.to_json().into_bytes(),
        )
    });
    let index = membership.members.len() as u64;
    patch
        .replace(b"members", entries.collect())
        .map_err(write)?;
    patch
        .replace(b"members_removed", Vec::new())
        .map_err(write)?;
    // A larger index would make etcd pass over new entries without a word.
    patch
        .set(b"meta", b"consistent_index", &index.to_be_bytes())
        .map_err(write)?;
    patch
        .set(b"meta", b"term", &1_u64.to_be_bytes())
        .map_err(write)
}

fn options(patch: &mut Patch, store: &Store<File>, edits: &Edits) -> Result<(), Error> {
    if edits.clear_alarms {
        patch.replace(b"alarm", Vec::new()).map_err(write)?;
    }
    match edits.for_release {
        Some(release) => fit(patch, store, release),
        None => Ok(()),
    }
}

/// Makes a database of a newer release one that `release` starts from; a newer one needs no help.
fn fit(patch: &mut Patch, store: &Store<File>, release: Release) -> Result<(), Error> {
    let version = |bucket, key| -> Result<Option<Release>, Error> {
        let text = store.value(bucket, key).map_err(read)?;
        Ok(text.and_then(|text| Release::read(&String::from_utf8_lossy(&text))))
    };
    let storage = version("meta", "storageVersion")?;
    if storage.max(version("cluster", "clusterVersion")?) <= Some(release) {
        return Ok(());
    }
    // An older server refuses the version of a newer cluster; the new cluster finds its own.
    patch.replace(b"cluster", Vec::new()).map_err(write)?;
    let fitted = match (storage, release.storage_version()) {
        (None, _) => Ok(()),
        (Some(_), Some(version)) => patch.set(b"meta", b"storageVersion", version.as_bytes()),
        (Some(_), None) => patch.remove(b"meta", b"storageVersion"),
    };
    fitted.map_err(write)
}

/// The leases of keys that are alive at `revision` which the database does not know any more.
fn missing_leases(store: &Store<File>, revision: Revision) -> Result<Vec<i64>, Error> {
    let mut known = HashSet::new();
    if let Some(bucket) = store.bucket("lease") {
        let visit = &mut |_, leaf: bolt::Leaf<'_>| {
            let ids = leaf
                .elements()
                .filter_map(|element| Some(i64::from_be_bytes(element.key.try_into().ok()?)));
            known.extend(ids);
            ControlFlow::Continue(())
        };
        Walk::new(store.database())
            .leaves(bucket, &[], Order::Ascending, visit)
            .map_err(|source| read(source.into()))?;
    }
    let leased = backend::leases_at(store, revision).map_err(read)?;
    Ok(leased
        .into_iter()
        .filter(|lease| !known.contains(lease))
        .collect())
}

/// Writes the database anew, with the records that are wanted, and puts it in the place of the other.
fn rebuild(path: &Path, prefix: Option<&[u8]>, later: &mut Later<'_>) -> Result<(), Error> {
    let store = open(path)?;
    let temporary = path.with_extension("rebuilt");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(replace)?;
    let page_size = store.database().meta().page_size;
    let mut loader = Loader::create(file, page_size).map_err(write)?;
    for bucket in store.buckets() {
        loader.begin_bucket(&bucket.name).map_err(write)?;
        match bucket.name == b"key" {
            true => copy_records(&store, &mut loader, prefix, later)?,
            false => copy(&store, bucket, &mut loader)?,
        }
    }
    loader.finish().map_err(write)?;
    std::fs::rename(&temporary, path).map_err(replace)
}

fn copy(store: &Store<File>, bucket: &bolt::Bucket, loader: &mut Loader) -> Result<(), Error> {
    let mut failure = None;
    let visit = &mut |_, leaf: bolt::Leaf<'_>| {
        for element in leaf.elements() {
            if let Err(error) = loader.push(element.key, element.value) {
                failure = Some(write(error));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    Walk::new(store.database())
        .leaves(bucket, &[], Order::Ascending, visit)
        .map_err(|source| read(source.into()))?;
    failure.map_or(Ok(()), Err)
}

fn copy_records(
    store: &Store<File>,
    loader: &mut Loader,
    prefix: Option<&[u8]>,
    later: &mut Later<'_>,
) -> Result<(), Error> {
    let wanted = |record: &[u8]| match (prefix, KeyValue::read(record)) {
        (Some(prefix), Ok(read)) => read.key.starts_with(prefix),
        _ => true,
    };
    let mut failure = None;
    let mut last = RecordKey::default();
    let copied = store.records(0, Order::Ascending, &mut |record| {
        last = record.key;
        if wanted(record.raw_value)
            && let Err(error) = loader.push(record.raw_key, record.raw_value)
        {
            failure = Some(write(error));
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    });
    copied.map_err(read)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    for (next, record) in later {
        if next <= last {
            return Err(Error::NotNext { last, next });
        }
        last = next;
        if wanted(&record) {
            loader.push(&next.to_bytes(), &record).map_err(write)?;
        }
    }
    Ok(())
}
