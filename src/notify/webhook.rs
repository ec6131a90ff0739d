//! A JSON document for whoever wants to hear of failures: posted to a URL, in bounded time.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Serialize;
use thiserror::Error;
use tokio::time::sleep;

/// What is told must not hold up the command that tells it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before the one repetition.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a document did not arrive; never a reason for a command to fail.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// The configured text is no URL.
    #[error("the webhook URL is not a URL such as https://...")]
    BadUrl,

    /// The service did not answer, or not with success.
    #[error("the webhook did not take the message")]
    NotTaken {
        /// What went wrong; without the URL, which is a secret.
        source: reqwest::Error,
    },
}

/// A URL that takes messages.
pub struct Webhook {
    client: Client,
    url: Url,
}

impl Webhook {
    /// Reads the URL.
    ///
    /// # Errors
    /// If it is none for HTTP or HTTPS.
    pub fn open(url: &str) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_| WebhookError::BadUrl)?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(WebhookError::BadUrl);
        }
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(|source| WebhookError::NotTaken { source })?;
        Ok(Self { client, url })
    }

    /// Posts a document as JSON; what is not taken is posted once more. Takes eleven seconds at most.
    ///
    /// # Errors
    /// If it is not taken the second time either.
    pub async fn post(&self, document: &impl Serialize) -> Result<(), WebhookError> {
        let body = serde_json::to_string(document).expect("a message holds nothing JSON cannot");
        if self.post_once(&body).await.is_ok() {
            return Ok(());
        }
        sleep(PAUSE).await;
        self.post_once(&body).await
    }

    async fn post_once(&self, body: &str) -> Result<(), WebhookError> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(|source| WebhookError::NotTaken {
            source: source.without_url(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_url_for_http_is_taken() {
        for text in ["", "hooks.internal/x", "ftp://hooks.internal/x"] {
            assert!(
                matches!(Webhook::open(text), Err(WebhookError::BadUrl)),
                "{text}"
            );
        }
        assert!(Webhook::open("https://hooks.internal/x").is_ok());
    }
}
