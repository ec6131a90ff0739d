//! Data for a scratch cluster: many keys quickly, a full database, alarms.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, Error, ResponseHeader, Txn, TxnOp,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Cluster;

/// etcd takes 128 operations in a transaction, and 1.5 MiB in a request.
const KEYS_AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 1024 * 1024;
const IN_FLIGHT: usize = 8;

/// An election lasts a second or two, of which a request waits out a part.
const ATTEMPTS: usize = 20;

impl Cluster {
    /// Writes `count` keys, called `<prefix>00000000` and up, and gives the highest revision.
    ///
    /// Up to 100 keys share a transaction, and so a revision. The values are the same each time, and hex digits: they shrink to half.
    pub(crate) async fn put_many(&self, prefix: &str, count: usize, value_bytes: usize) -> i64 {
        let client = self.client().await;
        let written = put_many(&client, prefix, count, value_bytes).await;
        written.unwrap_or_else(|error| panic!("cannot write {count} keys: {error}"))
    }

    /// Writes until etcd says that the database is full, which raises the NOSPACE alarm; the quota should be small.
    pub(crate) async fn fill_up(&self) {
        let client = self.client().await;
        for round in 0..100 {
            let prefix = format!("scratch-fill/{round}/");
            match put_many(&client, &prefix, 32, 256 * 1024).await {
                Ok(_) => {}
                Err(error) if is_full(&error) => return,
                Err(error) => panic!("cannot fill the database: {error}"),
            }
        }
        panic!("the database is not full: give the cluster a small quota_bytes");
    }

    /// Raises an alarm in the name of a member, without its cause.
    pub(crate) async fn raise_alarm(&self, index: usize, alarm: AlarmType) {
        let mut client = self.member_client(index).await;
        let status = client.status().await.expect("the member answers");
        let member = status
            .header()
            .expect("every answer has a header")
            .member_id();
        let mut options = AlarmOptions::new();
        options.with_member(member);
        let raised = client
            .alarm(AlarmAction::Activate, alarm, Some(options))
            .await;
        raised.unwrap_or_else(|error| panic!("cannot raise {alarm:?}: {error}"));
    }
}

async fn put_many(client: &Client, prefix: &str, count: usize, size: usize) -> Result<i64, Error> {
    let batch = (BYTES_AT_ONCE / size.max(1)).clamp(1, KEYS_AT_ONCE);
    let puts = (0..count).step_by(batch).map(|first| {
        let operations: Vec<TxnOp> = (first..count.min(first + batch))
            .map(|number| TxnOp::put(format!("{prefix}{number:08}"), value(number, size), None))
            .collect();
        write(client.clone(), Txn::new().and_then(operations))
    });
    let revisions = stream::iter(puts).buffer_unordered(IN_FLIGHT);
    revisions
        .try_fold(0, async |highest, revision: i64| Ok(highest.max(revision)))
        .await
}

/// Writes, and tries again what fails while a leader is elected.
async fn write(mut client: Client, txn: Txn) -> Result<i64, Error> {
    let mut attempts = 1;
    loop {
        match client.txn(txn.clone()).await {
            Ok(answer) => return Ok(answer.header().map_or(0, ResponseHeader::revision)),
            Err(error) if attempts == ATTEMPTS || is_full(&error) => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        attempts += 1;
    }
}

fn is_full(error: &Error) -> bool {
    error.to_string().contains("database space exceeded")
}

/// Hex digits that differ from key to key and never change (`SplitMix64`).
fn value(number: usize, size: usize) -> Vec<u8> {
    let mut state = number as u64;
    let mut value = Vec::with_capacity(size + 16);
    while value.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        for byte in (word ^ (word >> 31)).to_be_bytes() {
            value.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
            value.push(b"0123456789abcdef"[usize::from(byte & 15)]);
        }
    }
    value.truncate(size);
    value
}
