//! What an S3 store can be asked and `object_store` cannot ask: for uploads that nobody ended, and for what the bucket keeps
//! from removal.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer;
use reqwest::{Client, Method, Response};
use url::Url;

use super::Error;
use super::open::unusable;

/// How long the question may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a bucket does with what is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// Whether it keeps old versions: a removal then hides an object, and its bytes stay.
    pub versions: bool,
    /// The rule that locks every new object, in words: `COMPLIANCE, 30 days`.
    pub locks: Option<String>,
}

/// Until when the bucket keeps an object from removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Object Lock, until this time.
    Until(DateTime<Utc>),
    /// A legal hold, until somebody ends it.
    Held,
}

/// A bucket of an S3 store.
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    region: String,
    client: Client,
}

impl Bucket {
    pub(super) fn new(store: Arc<AmazonS3>, region: String, client: Client) -> Self {
        Self {
            store,
            region,
            client,
        }
    }

    /// The ids of the uploads of the object at `path`, whoever began them.
    pub(super) async fn unfinished(&self, path: &Path) -> Result<Vec<String>, Error> {
        let asked = self.uploads(path).await;
        let answer =
            asked.map_err(|source| unanswered("list the unfinished uploads of", path, source))?;
        Ok(all_between(&answer, "<UploadId>"))
    }

    /// What the bucket does with what is removed; `path` is any object of it.
    pub(super) async fn protection(&self, path: &Path) -> Result<Protection, Error> {
        let answers = async {
            let versioning = self.configuration(path, "versioning").await?;
            let lock = self.configuration(path, "object-lock").await?;
            Ok::<_, Cause>((versioning, lock))
        };
        let (versioning, lock) = answers
            .await
            .map_err(|source| unanswered("ask for the versions and locks of", path, source))?;
        Ok(Protection {
            versions: versioning.contains("<Status>Enabled</Status>"),
            locks: rule(&lock),
        })
    }

    /// Until when the newest version of an object is locked.
    ///
    /// Who may not ask for that (`s3:GetObjectRetention`) is told nothing.
    pub(super) async fn locked(&self, path: &Path) -> Result<Option<Locked>, Error> {
        let asked = async {
            let mut url = self.store.signed_url(Method::GET, path, PATIENCE).await?;
            url.set_query(None);
            Ok::<_, Cause>(self.send(Method::HEAD, url).await?.error_for_status()?)
        };
        let answer = asked.await;
        let answer = answer.map_err(|source| unanswered("ask for the lock of", path, source))?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        if header("x-amz-object-lock-legal-hold") == Some("ON") {
            return Ok(Some(Locked::Held));
        }
        let until = header("x-amz-object-lock-retain-until-date");
        let until = until.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        Ok(until.map(|until| Locked::Until(until.to_utc())))
    }

    async fn uploads(&self, path: &Path) -> Result<String, Cause> {
        let mut url = self.bucket(path).await?;
        url.query_pairs_mut()
            .append_pair("prefix", path.as_ref())
            .append_pair("uploads", "");
        let answer = self.send(Method::GET, url).await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// A part of the bucket's configuration; empty where it has none of the kind.
    async fn configuration(&self, path: &Path, part: &str) -> Result<String, Cause> {
        let mut url = self.bucket(path).await?;
        url.query_pairs_mut().append_pair(part, "");
        let answer = self.send(Method::GET, url).await?;
        // Stores that know nothing of it, and buckets that have none.
        if matches!(answer.status().as_u16(), 400 | 404 | 405 | 501) {
            return Ok(String::new());
        }
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn send(&self, method: Method, url: Url) -> Result<Response, Cause> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.as_str().parse()?;
        *request.uri_mut() = url.as_str().parse()?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let asked = self
            .client
            .request(method, url)
            .headers(request.headers().clone());
        Ok(asked.timeout(PATIENCE).send().await?)
    }

    /// The bucket's URL, which only a signed URL of an object tells: whether the bucket is in the host or in the path.
    async fn bucket(&self, path: &Path) -> Result<Url, Cause> {
        let signed = self.store.signed_url(Method::GET, path, PATIENCE).await?;
        let mut url = signed;
        url.set_query(None);
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| unusable("the endpoint cannot have a path"))?;
        for _ in path.parts() {
            segments.pop();
        }
        drop(segments);
        Ok(url)
    }
}

fn unanswered(action: &'static str, path: &Path, source: Cause) -> Error {
    Error::Unreachable {
        action,
        object: path.to_string(),
        source: object_store::Error::Generic {
            store: "S3",
            source,
        },
    }
}

/// The rule for new objects in an answer to `?object-lock`, in words.
fn rule(answer: &str) -> Option<String> {
    let one = |tag: &str| all_between(answer, tag).into_iter().next();
    let mode = one("<Mode>")?;
    let period = match (one("<Days>"), one("<Years>")) {
        (Some(one), _) if one == "1" => "1 day".to_owned(),
        (Some(days), _) => format!("{days} days"),
        (None, Some(one)) if one == "1" => "1 year".to_owned(),
        (None, Some(years)) => format!("{years} years"),
        (None, None) => return None,
    };
    Some(format!("{mode}, {period}"))
}

/// The texts between each `tag` and the next one.
fn all_between(answer: &str, tag: &str) -> Vec<String> {
    let found = answer.split(tag).skip(1);
    let found = found.filter_map(|rest| rest.split_once('<'));
    found.map(|(text, _)| text.to_owned()).collect()
}
