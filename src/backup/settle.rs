//! What follows the stream, in each repository by itself: read back, commit, read the manifest back.
//!
//! A repository commits as soon as its copy is proven and does not wait for the others: a slow one, a signal or the time
//! limit takes nothing from one that has the backup already.

use std::future::pending;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::attach::Attached;
use super::attempt::Ready;
use super::place::Place;
use super::prove::prove;
use super::{Error, Limits, Request, Run};
use crate::codec::encryption::AGE;
use crate::codec::{Encoded, StoredTotals};
use crate::etcd::MemberStatus;
use crate::id::BackupId;
use crate::keys::signature::SigningKey;
use crate::manifest::{self, Manifest, SIGNATURE};
use crate::progress::Event;
use crate::repository::CommitError;

/// A snapshot that was streamed into every repository that is left, and shows nowhere yet.
pub(super) struct Streamed {
    pub(super) ready: Ready,
    pub(super) members: Vec<MemberStatus>,
    pub(super) encoded: Encoded,
}

/// What goes into a repository besides the data.
#[derive(Clone, Copy)]
struct Rest<'a> {
    id: &'a BackupId,
    attached: Option<&'a Attached>,
    signing: Option<&'a SigningKey>,
}

impl<'a> Run<'a> {
    /// Proves and commits, everywhere at once, while the members are asked for their hashes.
    pub(super) async fn settle(&mut self, streamed: Streamed, limits: Limits<'_>) {
        let request = self.request;
        self.stage(match request.read_back {
            true => "reading the stored object back",
            false => "storing the rest",
        });
        let draft = self.draft(&streamed);
        let draft = draft.shared();
        let settling = self.places.all.iter_mut().enumerate();
        let settling = settling.filter(|(_, place)| place.outcome.is_none());
        let settling = settling.map(|(index, place)| {
            let draft = draft.clone();
            let encoded = &streamed.encoded;
            let rest = Rest {
                id: &self.id,
                attached: self.attached.as_ref(),
                signing: self.signing.as_ref(),
            };
            async move {
                let settled = place.settle(request, encoded, draft, rest, limits).await;
                (index, settled)
            }
        });
        let settled = tokio::select! {
            settled = join_all(settling) => settled,
            // The members are asked while the stores read.
            () = async { draft.clone().await; pending().await } => Vec::new(),
        };
        for (index, outcome) in settled {
            match outcome {
                Ok(manifest) => self.places.all[index].outcome = Some(Ok(manifest)),
                Err(error) => self.places.drop_out(index, error),
            }
        }
    }

    /// The manifest as it is everywhere, but for the times at which each copy is proven.
    fn draft<'s>(&self, streamed: &'s Streamed) -> impl Future<Output = Manifest> + use<'s, 'a> {
        let Streamed {
            ready,
            members,
            encoded,
        } = streamed;
        let (request, findings) = (self.request, self.findings.clone());
        let attachments = self.attached.as_ref().map(|attached| attached.told.clone());
        let (id, started_at) = (self.id.clone(), self.started_at);
        async move {
            let status = &ready.candidate.status;
            let proof = prove(request.access, status, members, encoded).await;
            for finding in &proof.findings {
                let message = finding.message.clone();
                request.progress.event(Event::Warning(message));
            }
            let facts = &encoded.plain.facts;
            let recipients = request.recipients();
            Manifest {
                format: manifest::FORMAT,
                etcdrx_version: env!("CARGO_PKG_VERSION").to_owned(),
                id,
                cluster: request.cluster.clone(),
                cluster_id: status.cluster_id,
                member_id: status.member_id,
                member_name: status.name.clone(),
                endpoint: status.endpoint.clone(),
                member_choice: ready.candidate.because.clone(),
                etcd_version: status.version.clone(),
                storage_version: facts.storage_version.clone(),
                revision: facts.revision,
                compact_revision: facts.compact_revision,
                raft_index: facts.consistent_index.unwrap_or(status.applied_index),
                raft_term: facts.term.unwrap_or(status.raft_term),
                quorum: ready.linearizable.is_some(),
                linearizable_revision: ready.linearizable,
                started_at,
                completed_at: started_at,
                db_size_bytes: encoded.plain.db_size_bytes,
                stored_size_bytes: encoded.stored.size_bytes,
                snapshot_sha256: encoded.plain.sha256,
                stored_sha256: encoded.stored.sha256,
                object: request.object().to_owned(),
                compression: "zstd".to_owned(),
                encryption: recipients.map(|_| AGE.to_owned()),
                recipients: recipients.map_or_else(Vec::new, |all| all.words().to_vec()),
                attachments,
                hashkv: proof.hashkv,
                keys: encoded.deep.as_ref().ok().map(|surveyed| surveyed.keys),
                verified_at: None,
                verified_how: None,
                findings: findings.into_iter().chain(proof.findings).collect(),
            }
        }
    }
}

impl Place<'_> {
    /// Makes the data object appear, proves it, and commits.
    async fn settle(
        &mut self,
        request: &Request<'_>,
        encoded: &Encoded,
        draft: impl Future<Output = Manifest>,
        rest: Rest<'_>,
        limits: Limits<'_>,
    ) -> Result<Manifest, Error> {
        let proven = async {
            self.upload_proven(encoded, request.read_back).await?;
            if let Some(attached) = rest.attached {
                self.store_attachments(rest.id, attached, request.read_back)
                    .await?;
            }
            Ok(draft.await)
        };
        let mut manifest = limits.bound(proven).await?;
        manifest.completed_at = (request.now)();
        if request.read_back {
            manifest.verified_at = Some(manifest.completed_at);
            manifest.verified_how = Some("read-back".to_owned());
        }
        self.commit(&manifest, rest.signing).await?;
        Ok(manifest)
    }

    /// Makes the data object appear and, unless told not to, reads all of it back.
    async fn upload_proven(&mut self, encoded: &Encoded, read_back: bool) -> Result<(), Error> {
        let repository = |source| Error::Repository { source };
        let upload = self.upload.as_mut().expect("a transfer came before");
        upload.finish().await.map_err(repository)?;
        let key = upload.key().to_owned();
        match read_back {
            true => self.read_back(&key, encoded.stored).await,
            false => Ok(()),
        }
    }

    /// Stores the attachments and, unless told not to, reads them back.
    async fn store_attachments(
        &self,
        id: &BackupId,
        attached: &Attached,
        read_back: bool,
    ) -> Result<(), Error> {
        let told = &attached.told;
        let key = format!("{id}/{}", told.object);
        let put = self.folder.put(&key, attached.sealed.clone()).await;
        put.map_err(|source| Error::Repository { source })?;
        let sent = StoredTotals {
            sha256: told.stored_sha256,
            size_bytes: told.stored_size_bytes,
        };
        match read_back {
            true => self.read_back(&key, sent).await,
            false => Ok(()),
        }
    }

    /// Holds what the store gives back against what was sent.
    async fn read_back(&self, key: &str, sent: StoredTotals) -> Result<(), Error> {
        let found = self.folder.digest(key).await;
        let (found, found_bytes) = found.map_err(|source| Error::Repository { source })?;
        if found != sent.sha256 || found_bytes != sent.size_bytes {
            return Err(Error::ReadBack {
                sent: sent.sha256,
                sent_bytes: sent.size_bytes,
                found,
                found_bytes,
            });
        }
        Ok(())
    }

    /// Writes the manifest, which makes the backup exist, and reads it back.
    async fn commit(
        &mut self,
        manifest: &Manifest,
        signing: Option<&SigningKey>,
    ) -> Result<(), Error> {
        let json = manifest.to_json();
        if let Some(signing) = signing {
            let key = format!("{}/{SIGNATURE}", manifest.id);
            let put = self.folder.put(&key, signing.sign(&json)).await;
            put.map_err(|source| Error::Repository { source })?;
        }
        // From here on the data may belong to a backup that exists: it is not to be removed any more.
        self.upload = None;
        let lock = self.lock.as_ref().expect("nothing is written without it");
        let committed = lock.commit(&manifest.id, &json).await;
        committed.map_err(|error| match error {
            CommitError::Lock { source } => Error::Lock { source },
            CommitError::Store { source } => Error::Repository { source },
            CommitError::ReadBack { id } => Error::ManifestReadBack { id },
        })
    }
}
