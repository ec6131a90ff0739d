//! What `/health` says: the one question that etcd answers to everybody, also with auth on and without a quorum.

use std::time::Duration;

use serde_json::Value;

use super::http::{exchange, odd};
use crate::etcd::Error;
use crate::etcd::credentials::Identity;

/// What `/health` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether the member has a leader, and no alarm is raised.
    pub is_healthy: bool,
    /// Why not; etcd 3.4 gives no reason.
    pub reason: String,
}

impl Health {
    /// Whether it says that there is no leader (3.5 and later).
    #[must_use]
    pub fn has_no_leader(&self) -> bool {
        self.reason.contains("NO LEADER")
    }
}

/// Asks a member at its client URL.
///
/// # Errors
/// If it cannot be reached, or has nothing at this path: `--listen-client-http-urls` moves it to another port.
pub async fn health(
    client_url: &str,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<Health, Error> {
    let what = "GET /health";
    let answer = exchange(client_url, what, "", identity, patience).await?;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match body["health"].as_str() {
        Some(health) => Ok(Health {
            is_healthy: health == "true",
            reason: body["reason"].as_str().unwrap_or_default().to_owned(),
        }),
        None => Err(odd(client_url, what, answer.status)),
    }
}
