//! Clients that write, remember what was acknowledged, and hold a cluster to it later.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::etcd::{self, Access, Member};
use crate::id::Revision;

/// What every key of a drill begins with.
pub const PREFIX: &str = "etcdrx-drill/";

/// How long a write may take before it counts as neither done nor not done.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the count of all writes is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long a client rests after each write: it is there to lose something, and not to keep the machine busy.
const REST: Duration = Duration::from_millis(30);

/// A write that etcd acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The value.
    pub value: String,
    /// The revision that it got.
    pub revision: Revision,
}

/// What was written, by keys: each is written once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// What etcd acknowledged.
    pub acknowledged: BTreeMap<String, Acknowledged>,
    /// The values of writes that failed or got no answer: they may be there or not.
    pub ambiguous: BTreeMap<String, String>,
    /// The longest time in which no write was acknowledged, of any client.
    pub longest_gap: Duration,
}

impl Written {
    /// Takes what others wrote.
    pub fn extend(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.ambiguous.extend(other.ambiguous);
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }

    /// The newest revision that was acknowledged.
    #[must_use]
    pub fn newest(&self) -> Option<Revision> {
        let revisions = self.acknowledged.values().map(|write| write.revision);
        revisions.max()
    }

    /// Holds what a cluster has against what was written; writes of the revisions in `gone` are known to have no copy left, and what
    /// was there at `began_at` is nobody's.
    ///
    /// # Errors
    /// If the cluster cannot be read.
    pub async fn compare(
        &self,
        member: &Member,
        gone: Option<RangeInclusive<i64>>,
        began_at: Revision,
    ) -> Result<Compared, etcd::Error> {
        let found = member.keys_below(PREFIX).await?.into_iter();
        let found = found.filter(|(_, live)| live.mod_revision > began_at.0);
        let found = found.map(|(key, live)| {
            let value = String::from_utf8_lossy(&live.value).into_owned();
            let key = String::from_utf8_lossy(&key).into_owned();
            let revision = Revision(live.mod_revision);
            (key, Acknowledged { value, revision })
        });
        Ok(self.hold_against(&found.collect(), gone.as_ref()))
    }

    fn hold_against(
        &self,
        found: &BTreeMap<String, Acknowledged>,
        gone: Option<&RangeInclusive<i64>>,
    ) -> Compared {
        let is_gone =
            |write: &Acknowledged| gone.is_some_and(|gone| gone.contains(&write.revision.0));
        let mut compared = Compared::default();
        for (key, write) in &self.acknowledged {
            match found.get(key) {
                Some(other) if other == write => compared.kept += 1,
                Some(_) => compared.changed.push(key.clone()),
                None if is_gone(write) => compared.given_up += 1,
                None => compared.lost.push(key.clone()),
            }
        }
        for (key, other) in found {
            match (self.acknowledged.get(key), self.ambiguous.get(key)) {
                (Some(_), _) => {}
                (None, Some(value)) if *value == other.value => compared.appeared += 1,
                (None, _) => compared.foreign.push(key.clone()),
            }
        }
        compared
    }
}

/// What became of what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Acknowledged writes that are there, with the same value and revision.
    pub kept: usize,
    /// Acknowledged writes that are not there, and are known to be gone.
    pub given_up: usize,
    /// Acknowledged writes that are not there and should be.
    pub lost: Vec<String>,
    /// Acknowledged writes that are there with another value or revision.
    pub changed: Vec<String>,
    /// How many writes are there that were not acknowledged; they may be.
    pub appeared: usize,
    /// Keys or values that nobody wrote.
    pub foreign: Vec<String>,
}

impl Compared {
    /// Whether nothing was lost, changed or invented.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.changed.is_empty() && self.foreign.is_empty()
    }
}

/// Clients at work.
pub struct Writers {
    stop: CancellationToken,
    tasks: JoinSet<Written>,
    count: Arc<Mutex<Count>>,
}

/// What all clients together got acknowledged.
struct Count {
    acknowledged: usize,
    last: Instant,
    longest_gap: Duration,
}

impl Count {
    fn acknowledge(&mut self) {
        self.acknowledged += 1;
        self.longest_gap = self.longest_gap.max(self.last.elapsed());
        self.last = Instant::now();
    }
}

impl Writers {
    /// Starts so many clients, each of which writes one key after the other through whichever endpoint answers.
    ///
    /// `name` is part of their keys: no two starts on one cluster may have the same.
    #[must_use]
    pub fn start(access: &Access, clients: usize, name: &str) -> Self {
        let stop = CancellationToken::new();
        let count = Arc::new(Mutex::new(Count {
            acknowledged: 0,
            last: Instant::now(),
            longest_gap: Duration::ZERO,
        }));
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let writer = Writer {
                access: access.clone(),
                prefix: format!("{PREFIX}{name}/{number:02}/"),
                endpoint: number,
                written: Written::default(),
                count: Arc::clone(&count),
            };
            tasks.spawn(writer.write_until(stop.clone()));
        }
        Self { stop, tasks, count }
    }

    /// Waits until `more` further writes are acknowledged, and says whether that came about in time.
    pub async fn wait_for(&self, more: usize, limit: Duration) -> bool {
        let acknowledged = || lock(&self.count).acknowledged;
        let goal = acknowledged() + more;
        let reached = async {
            while acknowledged() < goal {
                sleep(POLL).await;
            }
        };
        timeout(limit, reached).await.is_ok()
    }

    /// Lets every client end the write that it is at, and gives what all of them wrote.
    pub async fn stop(mut self) -> Written {
        self.stop.cancel();
        let mut written = Written::default();
        while let Some(of_one) = self.tasks.join_next().await {
            written.extend(of_one.expect("a writer does not panic"));
        }
        let count = lock(&self.count);
        written.longest_gap = count.longest_gap.max(count.last.elapsed());
        drop(count);
        written
    }
}

struct Writer {
    access: Access,
    prefix: String,
    endpoint: usize,
    written: Written,
    count: Arc<Mutex<Count>>,
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().expect("nobody panics while counting")
}

impl Writer {
    async fn write_until(mut self, stop: CancellationToken) -> Written {
        let mut number = 0_u64;
        while !stop.is_cancelled() {
            let endpoints = self.access.endpoints();
            let endpoint = &endpoints[self.endpoint % endpoints.len()];
            self.endpoint += 1;
            if let Ok(member) = self.access.member(endpoint, PATIENCE).await {
                while !stop.is_cancelled() && self.write(&member, number).await {
                    number += 1;
                    sleep(REST).await;
                }
                number += 1;
            }
            if !stop.is_cancelled() {
                sleep(REST).await;
            }
        }
        self.written
    }

    /// Writes one key, and says whether that was acknowledged.
    async fn write(&mut self, member: &Member, number: u64) -> bool {
        let key = format!("{}{number:08}", self.prefix);
        let value = format!("{number}-{:016x}", rand::random::<u64>());
        if let Ok(revision) = member.put(&key, &value).await {
            let write = Acknowledged { value, revision };
            self.written.acknowledged.insert(key, write);
            lock(&self.count).acknowledge();
            true
        } else {
            self.written.ambiguous.insert(key, value);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &str, revision: i64) -> Acknowledged {
        Acknowledged {
            value: value.to_owned(),
            revision: Revision(revision),
        }
    }

    #[test]
    fn a_cluster_is_held_to_what_was_acknowledged_and_to_nothing_else() {
        let keys = ["kept", "changed", "moved", "lost", "late", "after"];
        let acknowledged = keys.map(|key| {
            let revision = match key {
                "late" => 20,
                "after" => 40,
                _ => 5,
            };
            (key.to_owned(), write(key, revision))
        });
        let ambiguous = ["maybe", "never"].map(|key| (key.to_owned(), key.to_owned()));
        let written = Written {
            acknowledged: acknowledged.into(),
            ambiguous: ambiguous.into(),
            longest_gap: Duration::ZERO,
        };
        let found = [
            ("kept", write("kept", 5)),
            ("changed", write("other", 5)),
            ("moved", write("moved", 6)),
            ("maybe", write("maybe", 7)),
            ("stranger", write("stranger", 8)),
        ];
        let found = found.map(|(key, write)| (key.to_owned(), write)).into();

        let compared = written.hold_against(&found, Some(&(11..=30)));

        assert!(!compared.is_sound());
        assert_eq!(compared.lost, ["after", "lost"]);
        assert_eq!(compared.changed, ["changed", "moved"]);
        assert_eq!(compared.foreign, ["stranger"]);
        let counts = (compared.kept, compared.given_up, compared.appeared);
        assert_eq!(counts, (1, 1, 1));
        assert_eq!(
            written.hold_against(&found, None).lost,
            ["after", "late", "lost"]
        );
        assert_eq!(written.newest(), Some(Revision(40)));
    }
}
