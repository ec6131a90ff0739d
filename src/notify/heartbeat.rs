//! Pings as healthchecks.io defines them: `/start`, nothing for success, `/fail` with the last lines of the message.

use std::time::Duration;

use reqwest::{Client, Url};
use thiserror::Error;

/// A heartbeat must never hold up a backup.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a heartbeat service keeps of a message.
const MESSAGE_BYTES: usize = 10_000;

/// Why a ping did not arrive; never a reason for a backup to fail.
#[derive(Debug, Error)]
pub enum HeartbeatError {
    /// The configured text is no URL.
    #[error("the heartbeat URL is not a URL")]
    BadUrl,

    /// The service did not answer, or not with success.
    #[error("the heartbeat service did not take the ping")]
    NotTaken {
        /// What went wrong; without the URL, which is a secret.
        source: reqwest::Error,
    },
}

/// A heartbeat URL.
pub struct Heartbeat {
    client: Client,
    url: Url,
}

impl Heartbeat {
    /// Reads the URL.
    ///
    /// # Errors
    /// If it is none.
    pub fn open(url: &str) -> Result<Self, HeartbeatError> {
        let url = Url::parse(url).map_err(|_| HeartbeatError::BadUrl)?;
        let client = Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|source| HeartbeatError::NotTaken { source })?;
        Ok(Self { client, url })
    }

    /// Says that a run begins.
    ///
    /// # Errors
    /// If the service does not take it.
    pub async fn start(&self) -> Result<(), HeartbeatError> {
        self.ping(Some("start"), "").await
    }

    /// Says that a run ended well.
    ///
    /// # Errors
    /// If the service does not take it.
    pub async fn success(&self, message: &str) -> Result<(), HeartbeatError> {
        self.ping(None, message).await
    }

    /// Says that a run failed, and the end of why.
    ///
    /// # Errors
    /// If the service does not take it.
    pub async fn fail(&self, message: &str) -> Result<(), HeartbeatError> {
        self.ping(Some("fail"), message).await
    }

    async fn ping(&self, what: Option<&str>, message: &str) -> Result<(), HeartbeatError> {
        let mut url = self.url.clone();
        if let Some(what) = what {
            let path = format!("{}/{what}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let request = self.client.post(url).body(last_bytes(message).to_owned());
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(|source| HeartbeatError::NotTaken {
            source: source.without_url(),
        })
    }
}

fn last_bytes(message: &str) -> &str {
    let mut start = message.len().saturating_sub(MESSAGE_BYTES);
    while !message.is_char_boundary(start) {
        start += 1;
    }
    &message[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_end() {
        let message = format!("{}end", "é".repeat(MESSAGE_BYTES));
        let kept = last_bytes(&message);
        assert!(kept.len() <= MESSAGE_BYTES && kept.ends_with("end"));
    }
}
