//! Keys read from and put into a live cluster, only where nobody changed them in between.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};

use super::Error;
use super::access::Member;

/// The most keys of one call: etcd takes 128 operations in a transaction (`--max-txn-ops`).
pub const BATCH_KEYS: usize = 100;

/// A key as the cluster has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The revision that wrote it last.
    pub mod_revision: i64,
    /// Its value.
    pub value: Vec<u8>,
}

/// A key to put, if it is still as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its new value.
    pub value: &'a [u8],
    /// The revision that wrote it last when it was seen; 0 where there was none.
    pub seen_mod_revision: i64,
}

impl Member {
    /// Reads up to [`BATCH_KEYS`] keys with quorum; `None` for those that are not there.
    ///
    /// # Errors
    /// If there is no quorum, or we may not read.
    pub async fn read_keys(&self, keys: &[&[u8]]) -> Result<Vec<Option<Live>>, Error> {
        let gets = keys.iter().map(|key| TxnOp::get(*key, None::<GetOptions>));
        let transaction = Txn::new().and_then(gets.collect::<Vec<_>>());
        let mut client = self.client.clone();
        let answer = self.answered("a read", client.txn(transaction)).await?;
        let live = |response| match response {
            TxnOpResponse::Get(get) => get.kvs().first().map(|kv| Live {
                mod_revision: kv.mod_revision(),
                value: kv.value().to_vec(),
            }),
            _ => None,
        };
        Ok(answer.op_responses().into_iter().map(live).collect())
    }

    /// Puts up to [`BATCH_KEYS`] keys at once, all or none: none if one of them is not as it was seen.
    ///
    /// # Errors
    /// If there is no quorum, or we may not write.
    pub async fn put_if_unchanged(&self, puts: &[Put<'_>]) -> Result<bool, Error> {
        let unchanged = puts
            .iter()
            .map(|put| Compare::mod_revision(put.key, CompareOp::Equal, put.seen_mod_revision));
        let writes = puts.iter().map(|put| TxnOp::put(put.key, put.value, None));
        let transaction = Txn::new()
            .when(unchanged.collect::<Vec<_>>())
            .and_then(writes.collect::<Vec<_>>());
        let mut client = self.client.clone();
        let answer = self.answered("a write", client.txn(transaction)).await?;
        Ok(answer.succeeded())
    }
}
