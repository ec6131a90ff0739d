//! Keys that go away by themselves.

use etcd_client::{
    Compare, CompareOp, LeaseGrantOptions, PutOptions, ResponseHeader, Txn, TxnOp, TxnOpResponse,
};

use super::Error;
use super::access::Member;
use crate::id::Revision;

/// A lease that was granted; the keys put with it go when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// How long it lasts: etcd gives no less than one and a half election timeouts, rounded up.
    pub ttl_seconds: i64,
}

impl Member {
    /// Asks for a lease of so many seconds.
    ///
    /// # Errors
    /// If there is no quorum, no space, or we may not.
    pub async fn grant_lease(&self, ttl_seconds: i64) -> Result<Lease, Error> {
        let mut client = self.client.clone();
        let granted = client.lease_grant(ttl_seconds, None::<LeaseGrantOptions>);
        let granted = self.answered("a lease", granted).await?;
        Ok(Lease {
            id: granted.id(),
            ttl_seconds: granted.ttl(),
        })
    }

    /// Puts a key that lasts as long as a lease, and gives the revision that it got.
    ///
    /// # Errors
    /// If there is no quorum, no space, no such lease, or we may not write.
    pub async fn put_leased(
        &self,
        key: &str,
        value: &str,
        lease: Lease,
    ) -> Result<Revision, Error> {
        let mut client = self.client.clone();
        let options = PutOptions::new().with_lease(lease.id);
        let put = client.put(key, value, Some(options));
        let put = self.answered("a write", put).await?;
        Ok(Revision(put.header().map_or(0, ResponseHeader::revision)))
    }

    /// Prolongs a lease by its whole life, and says whether it was still there.
    ///
    /// # Errors
    /// If there is no quorum, or we may not.
    pub async fn renew_lease(&self, lease: Lease) -> Result<bool, Error> {
        let mut client = self.client.clone();
        let renewed = async {
            let (mut keeper, mut answers) = client.lease_keep_alive(lease.id).await?;
            keeper.keep_alive().await?;
            let answer = answers.message().await?;
            Ok(answer.is_some_and(|answer| answer.ttl() > 0))
        };
        self.answered("a lease", renewed).await
    }

    /// Puts a key that lasts as long as a lease if nobody has it, and gives its value: ours, or that of who was first.
    ///
    /// # Errors
    /// If there is no quorum, no space, no such lease, or we may not.
    pub async fn claim(&self, key: &str, value: &str, lease: Lease) -> Result<String, Error> {
        let options = PutOptions::new().with_lease(lease.id);
        let is_free = Compare::create_revision(key, CompareOp::Equal, 0);
        let transaction = Txn::new()
            .when([is_free])
            .and_then([TxnOp::put(key, value, Some(options))])
            .or_else([TxnOp::get(key, None)]);
        let mut client = self.client.clone();
        let answer = self
            .answered("a transaction", client.txn(transaction))
            .await?;
        let found = answer.op_responses().into_iter().find_map(|one| match one {
            TxnOpResponse::Get(got) => {
                let first = got.kvs().first()?;
                Some(String::from_utf8_lossy(first.value()).into_owned())
            }
            _ => None,
        });
        Ok(found.unwrap_or_else(|| value.to_owned()))
    }

    /// Ends a lease, and with it its keys.
    ///
    /// # Errors
    /// If there is no quorum, or it has ended already.
    pub async fn revoke_lease(&self, lease: Lease) -> Result<(), Error> {
        let mut client = self.client.clone();
        let revoked = client.lease_revoke(lease.id);
        self.answered("the end of a lease", revoked).await.map(drop)
    }
}
