//! The folder of one cluster: small objects whole, large ones as streams.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStoreExt, PutMode, PutOptions};
use tokio::fs::File;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::bucket::{Locked, Protection};
use super::open::{Large, Repository};
use super::{CLEANING_UP, Error, classify};
use crate::codec::Sha256;
use crate::id::{BackupId, Digest};
use crate::keys::Keys;
use crate::progress::told;

/// A manifest has a few KiB; what is larger than this is not ours.
const SMALL_BYTES: u64 = 1 << 20;

/// How much of a file is read at a time.
const FILE_PIECE_BYTES: usize = 1 << 20;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key below the cluster's folder, such as `<id>/manifest.json`.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: DateTime<Utc>,
}

impl Object {
    /// Its name in the folder of its backup.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

/// A stored object on its way to us.
pub struct Stored {
    /// The size that the store says it has.
    pub size_bytes: u64,
    stream: futures_util::stream::BoxStream<'static, object_store::Result<Bytes>>,
    object: String,
}

impl Stored {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If the store fails in the middle.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.stream.try_next().await;
        next.map_err(|source| classify("read", &self.object, source))
    }
}

/// The folder of one cluster in a repository.
#[derive(Clone)]
pub struct Folder {
    pub(super) repository: Repository,
    path: Path,
    keys: Arc<Keys>,
}

impl Folder {
    pub(super) fn new(repository: Repository, path: Path, keys: Arc<Keys>) -> Self {
        Self {
            repository,
            path,
            keys,
        }
    }

    /// The keys to what lies in it.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The repository that the folder lies in.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The full path of `key` in the store.
    pub(super) fn path(&self, key: &str) -> Path {
        key.split('/').fold(self.path.clone(), Path::join)
    }

    /// `key` as messages show it.
    pub(super) fn shown(&self, key: &str) -> String {
        let base = self.repository.url().trim_end_matches('/');
        // The repository's own prefix stands in both the URL and the path.
        let cluster = self.path.filename().unwrap_or_default();
        format!("{base}/{cluster}/{key}")
    }

    /// Every object in the folder, in the order of their keys.
    ///
    /// # Errors
    /// If the store cannot be listed. A folder that is not there yet is empty.
    pub async fn list(&self) -> Result<Vec<Object>, Error> {
        self.list_below(None).await
    }

    /// The objects of one backup.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub async fn list_backup(&self, id: &BackupId) -> Result<Vec<Object>, Error> {
        self.list_below(Some(id.as_str())).await
    }

    /// The objects below one sub-folder.
    pub(super) async fn list_below(&self, sub: Option<&str>) -> Result<Vec<Object>, Error> {
        let prefix = match sub {
            Some(sub) => self.path(sub),
            None => self.path.clone(),
        };
        let listing = self.repository.store.list(Some(&prefix));
        let listed: Result<Vec<_>, _> = listing.try_collect().await;
        let listed = match listed.map_err(|source| classify("list", &self.shown(""), source)) {
            Ok(listed) => listed,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut objects: Vec<Object> = listed
            .into_iter()
            .filter_map(|meta| {
                let parts = meta.location.prefix_match(&self.path)?;
                let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                Some(Object {
                    key: parts.join("/"),
                    size_bytes: meta.size,
                    modified: meta.last_modified,
                })
            })
            .collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// Reads a small object whole.
    ///
    /// # Errors
    /// If it is not there, is not small, or the store fails.
    pub async fn read(&self, key: &str) -> Result<Bytes, Error> {
        self.read_up_to(key, SMALL_BYTES).await
    }

    /// Reads an object whole.
    ///
    /// # Errors
    /// If it is not there, has more than `most_bytes`, or the store fails.
    pub async fn read_up_to(&self, key: &str, most_bytes: u64) -> Result<Bytes, Error> {
        let mut stored = self.open(key).await?;
        if stored.size_bytes > most_bytes {
            return Err(Error::TooLarge {
                object: self.shown(key),
                size_bytes: stored.size_bytes,
            });
        }
        let mut whole = Vec::new();
        while let Some(bytes) = stored.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    /// Opens an object for reading as a stream.
    ///
    /// # Errors
    /// If it is not there, or the store fails.
    pub async fn open(&self, key: &str) -> Result<Stored, Error> {
        let path = self.path(key);
        let result = self.repository.store.get(&path).await;
        let result = result.map_err(|source| classify("read", &self.shown(key), source))?;
        let size_bytes = result.meta.size;
        let stream = match result.payload {
            // The crate itself reads a file in pieces of 8 KiB, each of them on another thread.
            GetResultPayload::File(file, _) => {
                ReaderStream::with_capacity(File::from_std(file), FILE_PIECE_BYTES)
                    .map_err(|source| object_store::Error::Generic {
                        store: "file",
                        source: Box::new(source),
                    })
                    .boxed()
            }
            GetResultPayload::Stream(stream) => stream,
        };
        Ok(Stored {
            size_bytes,
            stream,
            object: self.shown(key),
        })
    }

    /// Reads all of an object, and gives its SHA-256 and its size.
    ///
    /// # Errors
    /// If it is not there, or the store fails.
    pub async fn digest(&self, key: &str) -> Result<(Digest, u64), Error> {
        let mut stored = self.open(key).await?;
        let mut sha256 = Sha256::default();
        let mut size_bytes = 0;
        while let Some(bytes) = stored.next().await? {
            sha256.update(&bytes);
            size_bytes += bytes.len() as u64;
        }
        Ok((sha256.finish(), size_bytes))
    }

    /// What the store says of one object, its content aside.
    ///
    /// # Errors
    /// If it is not there, or the store fails.
    pub async fn stat(&self, key: &str) -> Result<Object, Error> {
        let meta = self.repository.store.head(&self.path(key)).await;
        let meta = meta.map_err(|source| classify("look at", &self.shown(key), source))?;
        Ok(Object {
            key: key.to_owned(),
            size_bytes: meta.size,
            modified: meta.last_modified,
        })
    }

    /// What the store does with what is removed; nothing of the kind where it does not speak S3, or does not say.
    pub async fn protection(&self) -> Protection {
        let Some(bucket) = &self.repository.bucket else {
            return Protection::default();
        };
        match bucket.protection(&self.path("locks")).await {
            Ok(protection) => protection,
            // A right that nothing else needs.
            Err(error) => {
                tracing::debug!(
                    error = told(&error),
                    "the bucket does not say what it keeps"
                );
                Protection::default()
            }
        }
    }

    /// Until when the store itself keeps an object from removal, where it says so.
    pub async fn locked(&self, key: &str) -> Option<Locked> {
        let bucket = self.repository.bucket.as_ref()?;
        match bucket.locked(&self.path(key)).await {
            Ok(locked) => locked,
            Err(error) => {
                tracing::debug!(error = told(&error), "the store does not say what it locks");
                None
            }
        }
    }

    /// Writes a small object, over whatever was there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let path = self.path(key);
        self.make_folders(&path).await?;
        let put = self.repository.store.put(&path, bytes.into().into());
        put.await
            .map(drop)
            .map_err(|source| classify("write", &self.shown(key), source))
    }

    /// Writes a small object only if there is none of that name.
    ///
    /// Returns whether the store itself guarantees that. Where it cannot (WebDAV), it is looked for first. Where the
    /// answer was lost, what is there tells whether the object was written.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one; any other if the store fails.
    pub async fn create(&self, key: &str, bytes: impl Into<Bytes>) -> Result<bool, Error> {
        let bytes: Bytes = bytes.into();
        match self.create_once(key, bytes.clone()).await {
            Err(Error::Unreachable { .. }) if self.holds(key, &bytes).await => {
                Ok(!matches!(self.repository.large, Large::WebDav(_)))
            }
            created => created,
        }
    }

    async fn holds(&self, key: &str, bytes: &Bytes) -> bool {
        let found = timeout(CLEANING_UP, self.read(key)).await;
        matches!(found, Ok(Ok(found)) if found == *bytes)
    }

    /// As [`Folder::create`], without another look where the answer was lost.
    pub(super) async fn create_once(&self, key: &str, bytes: Bytes) -> Result<bool, Error> {
        self.make_folders(&self.path(key)).await?;
        let options = PutOptions::from(PutMode::Create);
        let store = &self.repository.store;
        match store
            .put_opts(&self.path(key), bytes.clone().into(), options)
            .await
        {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => {
                match self.stat(key).await {
                    Ok(_) => {
                        return Err(Error::Exists {
                            object: self.shown(key),
                        });
                    }
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.put(key, bytes).await?;
                Ok(false)
            }
            Err(source) => Err(classify("create", &self.shown(key), source)),
        }
    }

    /// Makes the folders above `path` where the store does not do that by itself.
    async fn make_folders(&self, path: &Path) -> Result<(), Error> {
        match &self.repository.large {
            Large::WebDav(webdav) => webdav.make_folders(path).await,
            Large::Multipart(_) | Large::Local(_) => Ok(()),
        }
    }

    /// Removes an object; one that is not there is fine.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove(&self, key: &str) -> Result<(), Error> {
        let removal = self.repository.store.delete(&self.path(key)).await;
        match removal.map_err(|source| classify("remove", &self.shown(key), source)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
