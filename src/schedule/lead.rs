//! Of several services for one cluster one is at work, and the others stand by: a key in the cluster itself says which.
//!
//! The key goes with its lease, so that nobody has to clean up after a service that died. Where etcd cannot be asked each of them works:
//! better a verification twice than a schedule that nobody keeps, and the repository lets only one of them write at a time.

use std::time::Duration;

use serde::Serialize;

use crate::etcd::{Access, Lease, Member};
use crate::id::ClusterName;
use crate::progress::told;

/// How long a service may be silent before another one takes its place.
const LIFE_SECONDS: i64 = 30;
/// How often it must be heard of.
pub const RENEWAL: Duration = Duration::from_secs(10);
/// How long an endpoint may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether a service is at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// It is.
    Leads,
    /// Another one is.
    StandsBy {
        /// Who.
        leader: String,
    },
    /// It is, because nobody can say who else is.
    Alone {
        /// Why.
        why: String,
    },
}

impl Standing {
    /// Whether it is at work.
    #[must_use]
    pub fn works(&self) -> bool {
        !matches!(self, Self::StandsBy { .. })
    }
}

/// A service that would lead.
pub struct Candidate {
    access: Access,
    key: String,
    name: String,
    lease: Option<Lease>,
}

impl Candidate {
    /// One of this name; no two services may have the same.
    #[must_use]
    pub fn new(access: Access, cluster: &ClusterName, name: String) -> Self {
        Self {
            access,
            key: format!("etcdrx/schedule/{cluster}/leader"),
            name,
            lease: None,
        }
    }

    /// Stands for election, or renews what was won.
    pub async fn stand(&mut self) -> Standing {
        let mut why = "there is no endpoint".to_owned();
        for endpoint in self.access.endpoints().to_vec() {
            let stood = match self.access.member(&endpoint, PATIENCE).await {
                Ok(member) => self.stand_at(&member).await,
                Err(error) => Err(error),
            };
            match stood {
                Ok(standing) => return standing,
                Err(error) => why = told(&error),
            }
        }
        Standing::Alone { why }
    }

    async fn stand_at(&mut self, member: &Member) -> Result<Standing, crate::etcd::Error> {
        let lease = match self.lease {
            Some(lease) if member.renew_lease(lease).await? => lease,
            _ => member.grant_lease(LIFE_SECONDS).await?,
        };
        self.lease = Some(lease);
        let leader = member.claim(&self.key, &self.name, lease).await?;
        Ok(match leader == self.name {
            true => Standing::Leads,
            false => Standing::StandsBy { leader },
        })
    }

    /// Makes way at once.
    pub async fn resign(self) {
        let Some(lease) = self.lease else { return };
        for endpoint in self.access.endpoints() {
            // Where it fails the lease ends by itself.
            if let Ok(member) = self.access.member(endpoint, PATIENCE).await
                && member.revoke_lease(lease).await.is_ok()
            {
                return;
            }
        }
    }
}
