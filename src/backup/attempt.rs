//! One member after the other, until one gives a snapshot that holds.

use std::cmp::Reverse;
use std::time::Duration;

use futures_util::future::join_all;

use super::prove::{Proof, prove};
use super::{Error, Run};
use crate::codec::Encoded;
use crate::codec::encryption::AGE;
use crate::etcd::{self, Candidate, Choice, Member, MemberStatus};
use crate::id::Revision;
use crate::manifest::{self, Finding, MANIFEST, Manifest, SIGNATURE};
use crate::progress::told;

/// How long a member may take to answer a call that it should answer at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A member that we are connected to, and what it read for the whole cluster.
struct Ready {
    candidate: Candidate,
    member: Member,
    /// The revision of a linearizable read; `None` without quorum.
    linearizable: Option<Revision>,
}

impl Run<'_> {
    pub(super) async fn try_candidates(
        &mut self,
        choice: Choice,
        members: &[MemberStatus],
    ) -> Result<Manifest, Error> {
        let mut ready = self.connect(choice.candidates).await?;
        // With a single member there is no other to turn to; a broken stream deserves a second try all the same.
        let attempts = ready.len().max(2);
        let mut last = None;
        for attempt in 0..attempts {
            let index = attempt % ready.len();
            let failure = match self.attempt(&mut ready[index], members).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => error,
            };
            if !another_member_may_do_better(&failure) {
                return Err(failure);
            }
            if let Some(upload) = self.upload.take() {
                upload
                    .abort()
                    .await
                    .map_err(|source| Error::Repository { source })?;
            }
            if attempt + 1 < attempts {
                self.find(Finding::warning("attempt-failed", told(&failure)));
            }
            last = Some(failure);
        }
        Err(Error::AllFailed {
            source: Box::new(last.expect("at least two attempts were made")),
        })
    }

    /// Connects to every candidate and makes a linearizable read through it: those that can come first.
    async fn connect(&mut self, candidates: Vec<Candidate>) -> Result<Vec<Ready>, Error> {
        let connections = candidates.into_iter().map(|candidate| async {
            let endpoint = &candidate.status.endpoint;
            let member = self.request.access.member(endpoint, PATIENCE).await?;
            let read = member.linearizable_revision().await;
            Ok::<_, etcd::Error>((candidate, member, read))
        });
        let mut with_quorum = Vec::new();
        let mut without = Vec::new();
        let mut failure = None;
        for connection in join_all(connections).await {
            let (candidate, member, read) = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let linearizable = match read {
                Ok(revision) => Some(revision),
                // Nobody else will let us either.
                Err(error @ etcd::Error::NotAllowed { .. }) => {
                    return Err(Error::Etcd { source: error });
                }
                Err(_) => None,
            };
            let list = match linearizable {
                Some(_) => &mut with_quorum,
                None => &mut without,
            };
            list.push(Ready {
                candidate,
                member,
                linearizable,
            });
        }
        if !with_quorum.is_empty() {
            return Ok(with_quorum);
        }
        if let (true, Some(source)) = (without.is_empty(), failure) {
            return Err(Error::Etcd { source });
        }
        without.sort_by_key(|ready| Reverse(ready.candidate.status.applied_index));
        self.find(Finding::error(
            "no-quorum",
            "the cluster has no quorum: this is what the best survivor holds, and it may lack the last acknowledged writes",
        ));
        Ok(without)
    }

    async fn attempt(
        &mut self,
        ready: &mut Ready,
        members: &[MemberStatus],
    ) -> Result<Manifest, Error> {
        let status = ready.candidate.status.clone();
        self.stage(&format!(
            "streaming a snapshot from {} ({}): {}",
            status.label(),
            status.endpoint,
            ready.candidate.because
        ));
        // Without quorum it would only be waited for in vain.
        if ready.linearizable.is_some()
            && let Ok(revision) = ready.member.linearizable_revision().await
        {
            ready.linearizable = Some(revision);
        }
        let encoded = self.transfer(&ready.member).await?;
        let snapshot = encoded.plain.facts.revision;
        if let Some(linearizable) = ready.linearizable.filter(|revision| *revision > snapshot) {
            return Err(Error::Stale {
                endpoint: status.endpoint,
                snapshot,
                linearizable,
            });
        }
        self.stage(match self.request.read_back {
            true => "reading the stored object back",
            false => "storing the rest",
        });
        let proof = prove(self.request.access, &status, members, &encoded);
        let (stored, proof) = tokio::join!(self.upload_proven(&encoded), proof);
        stored?;
        for finding in &proof.findings {
            self.find(finding.clone());
        }
        Ok(self.manifest(ready, &encoded, &proof))
    }

    fn manifest(&self, ready: &Ready, encoded: &Encoded, proof: &Proof) -> Manifest {
        let status = &ready.candidate.status;
        let facts = &encoded.plain.facts;
        let completed_at = (self.request.now)();
        let proven = self.request.read_back;
        let recipients = self.request.folder.keys().recipients();
        Manifest {
            format: manifest::FORMAT,
            etcdrx_version: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.id.clone(),
            cluster: self.request.cluster.clone(),
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
            started_at: self.started_at,
            completed_at,
            db_size_bytes: encoded.plain.db_size_bytes,
            stored_size_bytes: encoded.stored.size_bytes,
            snapshot_sha256: encoded.plain.sha256,
            stored_sha256: encoded.stored.sha256,
            object: self.object().to_owned(),
            compression: "zstd".to_owned(),
            encryption: recipients.map(|_| AGE.to_owned()),
            recipients: recipients.map_or_else(Vec::new, |all| all.words().to_vec()),
            hashkv: proof.hashkv,
            keys: encoded.deep.as_ref().ok().map(|surveyed| surveyed.keys),
            verified_at: proven.then_some(completed_at),
            verified_how: proven.then(|| "read-back".to_owned()),
            findings: self.findings.clone(),
        }
    }

    /// Writes the manifest, which makes the backup exist, and reads it back.
    pub(super) async fn commit(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let repository = |source| Error::Repository { source };
        let lock = |source| Error::Lock { source };
        self.lock.confirm().await.map_err(lock)?;
        let key = format!("{}/{MANIFEST}", self.id);
        let json = manifest.to_json();
        let folder = self.request.folder;
        if let Some(signing) = &self.signing {
            let key = format!("{}/{SIGNATURE}", self.id);
            let put = folder.put(&key, signing.sign(&json)).await;
            put.map_err(repository)?;
        }
        // From here on the data may belong to a backup that exists: it is not to be removed any more.
        self.upload = None;
        folder
            .create(&key, json.clone())
            .await
            .map_err(repository)?;
        let found = folder.read(&key).await.map_err(repository)?;
        let held = self.lock.confirm().await.map_err(lock);
        if found == json && held.is_ok() {
            return Ok(());
        }
        // A record that reads differently, or whose data another run may be sweeping away, is not to be listed.
        folder.remove(&key).await.map_err(repository)?;
        held.and(Err(Error::ManifestReadBack {
            id: self.id.clone(),
        }))
    }
}

/// Whether the failure lies with the member or the way to it.
fn another_member_may_do_better(failure: &Error) -> bool {
    match failure {
        Error::Etcd { source } => !matches!(source, etcd::Error::NotAllowed { .. }),
        Error::Damaged { .. } | Error::Stale { .. } => true,
        Error::Repository { .. }
        | Error::Lock { .. }
        | Error::Catalog { .. }
        | Error::AllFailed { .. }
        | Error::ReadBack { .. }
        | Error::ManifestReadBack { .. }
        | Error::Keys { .. }
        | Error::TimedOut { .. }
        | Error::Interrupted => false,
    }
}
