//! Keys put into a live cluster one by one, and all of those below a prefix.

use etcd_client::{GetOptions, ResponseHeader};

use super::Error;
use super::access::Member;
use super::write::Live;
use crate::id::Revision;

/// The most keys of one answer.
const PAGE_KEYS: i64 = 1000;

impl Member {
    /// Puts a key, and gives the revision that it got. After an error it may have been put or not.
    ///
    /// # Errors
    /// If there is no quorum, or we may not write.
    pub async fn put(&self, key: &str, value: &str) -> Result<Revision, Error> {
        let mut client = self.client.clone();
        let answer = self
            .answered("a write", client.put(key, value, None))
            .await?;
        Ok(Revision(
            answer.header().map_or(0, ResponseHeader::revision),
        ))
    }

    /// How many keys there are, and as of which revision.
    ///
    /// # Errors
    /// If there is no quorum, or we may not read.
    pub async fn count_keys(&self) -> Result<(u64, Revision), Error> {
        let options = GetOptions::new().with_all_keys().with_count_only();
        let mut client = self.client.clone();
        let answer = self
            .answered("a count", client.get("", Some(options)))
            .await?;
        let revision = answer.header().map_or(0, ResponseHeader::revision);
        Ok((
            u64::try_from(answer.count()).unwrap_or(0),
            Revision(revision),
        ))
    }

    /// Every key that begins with `prefix`, in their order, all as of one linearizable read.
    ///
    /// # Errors
    /// If there is no quorum, or we may not read.
    pub async fn keys_below(&self, prefix: &str) -> Result<Vec<(Vec<u8>, Live)>, Error> {
        let mut found: Vec<(Vec<u8>, Live)> = Vec::new();
        let mut revision = 0;
        loop {
            let from = match found.last() {
                // The smallest key behind the last one.
                Some((last, _)) => [last.as_slice(), &[0]].concat(),
                None => prefix.as_bytes().to_vec(),
            };
            let options = GetOptions::new()
                .with_range(end_of(prefix))
                .with_limit(PAGE_KEYS)
                .with_revision(revision);
            let mut client = self.client.clone();
            let answer = self
                .answered("a read", client.get(from, Some(options)))
                .await?;
            if revision == 0 {
                revision = answer.header().map_or(0, ResponseHeader::revision);
            }
            let more = answer.more();
            found.extend(answer.kvs().iter().map(|kv| {
                let live = Live {
                    mod_revision: kv.mod_revision(),
                    value: kv.value().to_vec(),
                };
                (kv.key().to_vec(), live)
            }));
            if !more {
                return Ok(found);
            }
        }
    }
}

/// The first key behind all that begin with `prefix`, which is text: its last byte is never 0xff.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        // What etcd takes for no end at all.
        None => end.push(0),
    }
    end
}
