//! Puts extracted keys back into a live cluster: plans first, and writes only what nobody changed since.

use thiserror::Error;

use crate::etcd::{self, BATCH_KEYS, Live, Member, Put};

/// Why keys could not be put back.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The cluster could not be asked or written to.
    #[error("cannot put the keys back")]
    Etcd { source: etcd::Error },
}

/// A key with the value that it is to have again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Whether it hung on a lease, which is gone.
    pub leased: bool,
}

/// What would be done with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is not there: it is put.
    Create,
    /// It has another value: it is overwritten, where that is allowed.
    Overwrite,
    /// It has that value already.
    Same,
}

/// What would be done, key by key, and what was seen of each.
#[derive(Debug)]
pub struct Plan {
    /// One for each key that is wanted, in the same order.
    pub steps: Vec<(Step, i64)>,
}

impl Plan {
    /// How many keys take this step.
    #[must_use]
    pub fn count(&self, step: Step) -> usize {
        self.steps
            .iter()
            .filter(|(other, _)| *other == step)
            .count()
    }
}

/// Looks at every wanted key with quorum and says what would be done.
///
/// # Errors
/// If the cluster cannot be read.
pub async fn plan(member: &Member, wanted: &[Wanted]) -> Result<Plan, Error> {
    let mut steps = Vec::new();
    for batch in wanted.chunks(BATCH_KEYS) {
        let keys: Vec<&[u8]> = batch.iter().map(|wanted| wanted.key.as_slice()).collect();
        let live = member.read_keys(&keys).await;
        let live = live.map_err(|source| Error::Etcd { source })?;
        steps.extend(
            batch
                .iter()
                .zip(live)
                .map(|(wanted, live)| step(wanted, live.as_ref())),
        );
    }
    Ok(Plan { steps })
}

fn step(wanted: &Wanted, live: Option<&Live>) -> (Step, i64) {
    match live {
        None => (Step::Create, 0),
        Some(live) if live.value == wanted.value => (Step::Same, live.mod_revision),
        Some(live) => (Step::Overwrite, live.mod_revision),
    }
}

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many keys were put.
    pub put: usize,
    /// The keys that somebody changed after the plan was made: they were left alone.
    pub changed_meanwhile: Vec<Vec<u8>>,
}

/// Puts what the plan says, as far as nobody changed it since; overwrites only if `overwrite`.
///
/// # Errors
/// If the cluster cannot be written to. What was put until then stays, and applying again goes on from there.
pub async fn apply(
    member: &Member,
    wanted: &[Wanted],
    plan: &Plan,
    overwrite: bool,
) -> Result<Applied, Error> {
    let puts: Vec<Put<'_>> = wanted
        .iter()
        .zip(&plan.steps)
        .filter(|(_, (step, _))| *step == Step::Create || (overwrite && *step == Step::Overwrite))
        .map(|(wanted, (_, seen))| Put {
            key: &wanted.key,
            value: &wanted.value,
            seen_mod_revision: *seen,
        })
        .collect();
    let etcd = |source| Error::Etcd { source };
    let mut applied = Applied::default();
    for batch in puts.chunks(BATCH_KEYS) {
        if member.put_if_unchanged(batch).await.map_err(etcd)? {
            applied.put += batch.len();
            continue;
        }
        // One of them was changed: each is tried by itself, so that the others are not left out.
        for put in batch {
            match member.put_if_unchanged(&[*put]).await.map_err(etcd)? {
                true => applied.put += 1,
                false => applied.changed_meanwhile.push(put.key.to_vec()),
            }
        }
    }
    Ok(applied)
}
