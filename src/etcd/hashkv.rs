//! Whether the members hold the same data: their own hashes of it, compared.

use super::Error;
use super::access::Member;
use crate::id::Revision;
use crate::manifest::HashKv;

impl Member {
    /// This member's hash of its store at `revision`; it scans the whole store for it.
    ///
    /// # Errors
    /// If the revision is compacted or not there yet, or we may not ask.
    pub async fn hashkv(&self, revision: Revision) -> Result<HashKv, Error> {
        let mut client = self.client.clone();
        let answer = client.hash_kv(revision.0);
        let response = self.answered("HashKV", answer).await?;
        Ok(HashKv {
            revision,
            compact_revision: Revision(response.compact_version()),
            hash: response.hash(),
        })
    }
}

/// The hash that one member gave.
#[derive(Debug, Clone)]
pub struct MemberHash {
    /// The member's name.
    pub member: String,
    /// What it answered.
    pub hashkv: HashKv,
}

/// The members whose hash differs from `ours`, where the two can be compared.
///
/// A hash depends on the compaction that it was computed under, so only equal ones are compared; and at the compact
/// revision itself etcd 3.5.5 and later answer from a cache that was computed under the one before.
#[must_use]
pub fn disagreements<'a>(ours: &HashKv, others: &'a [MemberHash]) -> Vec<&'a MemberHash> {
    others
        .iter()
        .filter(|other| {
            let theirs = &other.hashkv;
            theirs.revision == ours.revision
                && theirs.compact_revision == ours.compact_revision
                && ours.revision > ours.compact_revision
                && theirs.hash != ours.hash
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(revision: i64, compact_revision: i64, hash: u32) -> HashKv {
        HashKv {
            revision: Revision(revision),
            compact_revision: Revision(compact_revision),
            hash,
        }
    }

    fn others(hashkv: HashKv) -> [MemberHash; 1] {
        [MemberHash {
            member: "etcd-2".to_owned(),
            hashkv,
        }]
    }

    #[test]
    fn only_hashes_of_the_same_revision_and_compaction_can_disagree() {
        let ours = hash(10, 5, 1);
        assert!(disagreements(&ours, &others(hash(10, 5, 1))).is_empty());
        assert_eq!(disagreements(&ours, &others(hash(10, 5, 2))).len(), 1);
        assert!(disagreements(&ours, &others(hash(10, 6, 2))).is_empty());
        assert!(disagreements(&ours, &others(hash(11, 5, 2))).is_empty());
        assert!(disagreements(&hash(5, 5, 1), &others(hash(5, 5, 2))).is_empty());
    }
}
