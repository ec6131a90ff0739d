//! One member after the other, until one gives a snapshot that holds.

use std::cmp::Reverse;
use std::time::Duration;

use futures_util::future::join_all;

use super::place::Place;
use super::settle::Streamed;
use super::{Error, Run};
use crate::codec::Encoded;
use crate::etcd::{self, Candidate, Choice, Member, MemberStatus};
use crate::id::Revision;
use crate::manifest::Finding;
use crate::progress::told;

/// How long a member may take to answer a call that it should answer at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A member that we are connected to, and what it read for the whole cluster.
pub(super) struct Ready {
    pub(super) candidate: Candidate,
    member: Member,
    /// The revision of a linearizable read; `None` without quorum.
    pub(super) linearizable: Option<Revision>,
}

impl Run<'_> {
    pub(super) async fn try_candidates(
        &mut self,
        choice: Choice,
        members: Vec<MemberStatus>,
    ) -> Result<Option<Streamed>, Error> {
        let mut ready = self.connect(choice.candidates).await?;
        // With a single member there is no other to turn to; a broken stream deserves a second try all the same.
        let attempts = ready.len().max(2);
        let mut last = None;
        for attempt in 0..attempts {
            let index = attempt % ready.len();
            let failure = match self.attempt(&mut ready[index]).await {
                Ok(encoded) => {
                    let ready = ready.swap_remove(index);
                    return Ok(encoded.map(|encoded| Streamed {
                        ready,
                        members,
                        encoded,
                    }));
                }
                Err(error) => error,
            };
            if !another_member_may_do_better(&failure) {
                return Err(failure);
            }
            let begin_anew = async |place: &mut Place<'_>| place.begin_anew().await;
            self.places.in_all(begin_anew).await;
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

    /// Streams from one member; gives `None` if no repository is left that would take it.
    async fn attempt(&mut self, ready: &mut Ready) -> Result<Option<Encoded>, Error> {
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
        let Some(encoded) = self.transfer(&ready.member).await? else {
            return Ok(None);
        };
        let snapshot = encoded.plain.facts.revision;
        if let Some(linearizable) = ready.linearizable.filter(|revision| *revision > snapshot) {
            return Err(Error::Stale {
                endpoint: status.endpoint,
                snapshot,
                linearizable,
            });
        }
        self.not_older_than_before(snapshot);
        Ok(Some(encoded))
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
        | Error::Silent { .. }
        | Error::Nowhere { .. }
        | Error::Keys { .. }
        | Error::TimedOut { .. }
        | Error::Interrupted => false,
    }
}
