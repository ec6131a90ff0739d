//! Keys that go away by themselves.

use etcd_client::{LeaseGrantOptions, PutOptions, ResponseHeader};

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
