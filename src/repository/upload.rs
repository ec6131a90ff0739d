//! A large object on its way into the store: bounded memory, visible only when whole.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::folder::Folder;
use super::open::Large;
use super::webdav::Sending;
use super::{Error, briefly, classify};
use crate::progress::told;

/// The size of every part but the last: the least that S3 takes, and equal as some stores ask.
const PART_BYTES: usize = 5 << 20;
/// How many parts are on their way at once.
const PARALLEL: usize = 2;
/// S3 takes no more parts in one object.
const MOST_PARTS: usize = 10_000;

const ACTION: &str = "write";

/// A large object that is being written.
///
/// Nothing shows under its name before [`Upload::finish`]. Dropping one leaves its parts in the store: call
/// [`Upload::abort`].
pub struct Upload {
    folder: Folder,
    key: String,
    path: Path,
    way: Way,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    parts_begun: usize,
    on_the_way: JoinSet<object_store::Result<Option<(usize, PartId)>>>,
    arrived: Vec<(usize, PartId)>,
    complete: bool,
}

enum Way {
    /// Not one part is full yet: a small object needs no parts.
    Undecided(Arc<dyn MultipartStore>),
    Multipart {
        store: Arc<dyn MultipartStore>,
        id: String,
    },
    Local(Box<dyn MultipartUpload>),
    WebDav(Sending),
}

impl Folder {
    /// Begins a large object.
    ///
    /// # Errors
    /// If the store cannot take it.
    pub async fn upload(&self, key: &str) -> Result<Upload, Error> {
        let path = self.path(key);
        let way = match &self.repository.large {
            Large::Multipart(store) => Way::Undecided(store.clone()),
            Large::Local(_) => {
                let upload = self.repository.store.put_multipart(&path).await;
                Way::Local(upload.map_err(|source| classify(ACTION, &self.shown(key), source))?)
            }
            Large::WebDav(webdav) => Way::WebDav(webdav.send(&path).await?),
        };
        Ok(Upload {
            folder: self.clone(),
            key: key.to_owned(),
            path,
            way,
            pending: Vec::new(),
            pending_bytes: 0,
            parts_begun: 0,
            on_the_way: JoinSet::new(),
            arrived: Vec::new(),
            complete: false,
        })
    }

    /// Ends a multipart upload that another run began and did not live to end; one that is gone already is fine.
    pub(super) async fn abort_upload(&self, key: &str, id: &str) -> Result<(), Error> {
        let Large::Multipart(store) = &self.repository.large else {
            return Ok(());
        };
        let abort = store.abort_multipart(&self.path(key), &id.to_owned()).await;
        match abort.map_err(|source| classify("abort the upload of", &self.shown(key), source)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Upload {
    /// The key of the object.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What a later run needs in order to abort this upload, once there is something to abort.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.way {
            Way::Multipart { id, .. } => Some(id),
            Way::Undecided(_) | Way::Local(_) | Way::WebDav(_) => None,
        }
    }

    /// Takes the next bytes; waits while too much is on its way already.
    ///
    /// # Errors
    /// If the store fails; the upload is to be aborted then.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if let Way::WebDav(sending) = &mut self.way {
            return sending.write(bytes).await;
        }
        while self.pending_bytes + bytes.len() >= PART_BYTES {
            let fits = bytes.split_to(PART_BYTES - self.pending_bytes);
            self.hold(fits);
            self.send_part().await?;
        }
        if !bytes.is_empty() {
            self.hold(bytes);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: Bytes) {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        while self.on_the_way.len() >= PARALLEL {
            self.await_part().await?;
        }
        if let Way::Undecided(store) = &self.way {
            let store = store.clone();
            let id = self.store(store.create_multipart(&self.path).await)?;
            self.way = Way::Multipart { store, id };
        }
        let index = self.parts_begun;
        if index == MOST_PARTS {
            return Err(Error::TooLarge {
                object: self.folder.shown(&self.key),
                size_bytes: (MOST_PARTS * PART_BYTES) as u64,
            });
        }
        self.parts_begun += 1;
        self.pending_bytes = 0;
        let payload: PutPayload = std::mem::take(&mut self.pending).into_iter().collect();
        match &mut self.way {
            Way::Multipart { store, id } => {
                let (store, id, path) = (store.clone(), id.clone(), self.path.clone());
                self.on_the_way.spawn(async move {
                    let part = store.put_part(&path, &id, index, payload).await?;
                    Ok(Some((index, part)))
                });
            }
            Way::Local(upload) => {
                let part = upload.put_part(payload);
                self.on_the_way
                    .spawn(async move { part.await.map(|()| None) });
            }
            Way::Undecided(_) | Way::WebDav(_) => unreachable!("both were dealt with above"),
        }
        Ok(())
    }

    async fn await_part(&mut self) -> Result<(), Error> {
        let Some(joined) = self.on_the_way.join_next().await else {
            return Ok(());
        };
        let part = joined.expect("sending a part does not panic");
        self.arrived.extend(self.store(part)?);
        Ok(())
    }

    /// Sends the rest and makes the object appear under its name.
    ///
    /// # Errors
    /// If the store fails; the upload is to be aborted then.
    pub async fn finish(&mut self) -> Result<(), Error> {
        match &mut self.way {
            Way::WebDav(sending) => return sending.finish().await,
            Way::Undecided(_) => {
                let payload: PutPayload = std::mem::take(&mut self.pending).into_iter().collect();
                let store = self.folder.repository.store.clone();
                let put = store.put(&self.path, payload).await;
                return self.store(put).map(drop);
            }
            Way::Multipart { .. } | Way::Local(_) => {}
        }
        if self.pending_bytes > 0 {
            self.send_part().await?;
        }
        while !self.on_the_way.is_empty() {
            self.await_part().await?;
        }
        let completed = match &mut self.way {
            Way::Local(upload) => upload.complete().await,
            Way::Multipart { store, id } => {
                self.arrived.sort_by_key(|(index, _)| *index);
                let parts = self.arrived.drain(..).map(|(_, part)| part).collect();
                store.complete_multipart(&self.path, id, parts).await
            }
            Way::Undecided(_) | Way::WebDav(_) => unreachable!("both returned above"),
        };
        self.store(completed)?;
        self.complete = true;
        Ok(())
    }

    /// Gives the upload up and frees what the store holds of it.
    ///
    /// # Errors
    /// If the store fails; a later run sweeps the rest.
    pub async fn abort(mut self) -> Result<(), Error> {
        let object = self.folder.shown(&self.key);
        briefly("abort the upload of", &object, self.clean_up()).await
    }

    /// Gives it up, as [`Upload::abort`] does, where nothing depends on that: a failure is in the log.
    pub async fn give_up(self) {
        if let Err(error) = self.abort().await {
            tracing::warn!(
                error = told(&error),
                "cannot abort the upload; a later run sweeps it"
            );
        }
    }

    async fn clean_up(&mut self) -> Result<(), Error> {
        self.on_the_way.shutdown().await;
        let aborted = match &mut self.way {
            Way::Undecided(_) => Ok(()),
            Way::Multipart { store, id } => store.abort_multipart(&self.path, id).await,
            Way::Local(upload) => {
                // After a failed rename it knows nothing of its file any more; `tidy` below does.
                let _ = upload.abort().await;
                Ok(())
            }
            Way::WebDav(sending) => {
                sending.abort().await;
                Ok(())
            }
        };
        // Where the failure came after the object had appeared, it is not to stay either.
        let removed = self.folder.remove(&self.key).await;
        let removed = removed.and(self.folder.tidy(&self.key));
        match self.store(aborted) {
            Ok(()) | Err(Error::NotFound { .. }) => removed,
            Err(_) if self.complete => removed,
            Err(error) => Err(error),
        }
    }

    fn store<T>(&self, result: object_store::Result<T>) -> Result<T, Error> {
        result.map_err(|source| classify(ACTION, &self.folder.shown(&self.key), source))
    }
}
