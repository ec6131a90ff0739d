//! A random history of a live server, that a seed repeats: puts, deletes, transactions, leases, compactions.

use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, LeaseGrantOptions, PutOptions,
    Txn, TxnOp,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Makes one step after another, from a seed that is printed and can be given again as `ETCDRX_TEST_SEED`.
pub(crate) struct History {
    random: StdRng,
    client: Client,
    leases: Vec<i64>,
    next_lease: i64,
    /// The newest revision.
    pub(crate) revision: i64,
    /// The revision of the last compaction; 0 before the first.
    pub(crate) compacted: i64,
}

impl History {
    pub(crate) fn new(client: Client) -> History {
        let given = std::env::var("ETCDRX_TEST_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        println!("ETCDRX_TEST_SEED={seed}");
        History {
            random: StdRng::seed_from_u64(seed),
            client,
            leases: Vec::new(),
            next_lease: 1,
            revision: 1,
            compacted: 0,
        }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        self.random.random_range(0..end)
    }

    /// A revision that the server still answers for.
    pub(crate) fn some_revision(&mut self) -> i64 {
        let first = self.compacted.max(1);
        self.random.random_range(first..=self.revision)
    }

    /// Makes so many steps.
    pub(crate) async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.below(20) {
                0..=8 => self.put().await,
                9..=11 => self.delete().await,
                12..=16 => self.transaction().await,
                17 => self.grant().await,
                18 => self.revoke().await,
                _ => self.delete_range().await,
            }
        }
    }

    /// Compacts to some revision, and removes what is to be removed before it returns.
    pub(crate) async fn compact(&mut self) {
        // From the second on, so that there is a revision before that is compacted away.
        let first = self.compacted + 2;
        let to = self.random.random_range(first..=self.revision);
        let physically = CompactionOptions::new().with_physical();
        self.client.compact(to, Some(physically)).await.unwrap();
        self.compacted = to;
    }

    /// Few keys, so that much happens to each; some are the beginning of others, and some are no text.
    fn key(&mut self) -> Vec<u8> {
        let number = self.below(24);
        match number % 4 {
            0 => format!("k/{}", number / 4).into_bytes(),
            1 => format!("k/{}/below", number / 4).into_bytes(),
            2 => vec![b'k', 0xff, u8::try_from(number).unwrap()],
            _ => format!("z{}", "long".repeat(usize::try_from(number).unwrap() * 4)).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        // Now and then one that needs a page of its own, or several.
        let length = match self.below(12) {
            0 => 0,
            1 => 9000,
            _ => self.below(200),
        };
        (0..length)
            .map(|_| self.random.random_range(0..=255))
            .collect()
    }

    fn lease(&mut self) -> Option<PutOptions> {
        let count = i64::try_from(self.leases.len()).unwrap();
        if count == 0 || self.below(4) > 0 {
            return None;
        }
        let index = usize::try_from(self.below(count)).unwrap();
        Some(PutOptions::new().with_lease(self.leases[index]))
    }

    async fn put(&mut self) {
        let (key, value, lease) = (self.key(), self.value(), self.lease());
        let answer = self.client.put(key, value, lease).await.unwrap();
        self.revision = answer.header().unwrap().revision();
    }

    async fn delete(&mut self) {
        let key = self.key();
        let answer = self.client.delete(key, None).await.unwrap();
        self.revision = answer.header().unwrap().revision();
    }

    async fn delete_range(&mut self) {
        let (from, to) = (self.key(), self.key());
        if from >= to || self.below(3) > 0 {
            return;
        }
        let range = DeleteOptions::new().with_range(to);
        let answer = self.client.delete(from, Some(range)).await.unwrap();
        self.revision = answer.header().unwrap().revision();
    }

    /// Of different keys, as etcd asks for; part of it in an inner one.
    async fn transaction(&mut self) {
        let mut keys: Vec<Vec<u8>> = (0..6).map(|_| self.key()).collect();
        keys.sort();
        keys.dedup();
        let mut operations: Vec<TxnOp> = Vec::new();
        for key in keys.clone() {
            let operation = match self.below(3) {
                0 => TxnOp::delete(key, None),
                _ => TxnOp::put(key, self.value(), self.lease()),
            };
            operations.push(operation);
        }
        let inner = operations.split_off(operations.len() / 2);
        let compared = Compare::version(keys[0].clone(), CompareOp::Greater, self.below(3));
        // Without the comparison coming true, the inner part changes nothing.
        let inner = Txn::new().when([compared]).and_then(inner);
        operations.push(TxnOp::txn(inner));
        let answer = self
            .client
            .txn(Txn::new().and_then(operations))
            .await
            .unwrap();
        self.revision = answer.header().unwrap().revision();
    }

    async fn grant(&mut self) {
        let options = LeaseGrantOptions::new().with_id(self.next_lease);
        let seconds = 1000 + self.below(1000);
        self.client
            .lease_grant(seconds, Some(options))
            .await
            .unwrap();
        self.leases.push(self.next_lease);
        self.next_lease *= 7;
    }

    async fn revoke(&mut self) {
        let Some(lease) = self.leases.pop() else {
            return;
        };
        let answer = self.client.lease_revoke(lease).await.unwrap();
        self.revision = answer.header().unwrap().revision().max(self.revision);
    }
}
