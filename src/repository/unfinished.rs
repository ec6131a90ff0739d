//! The multipart uploads that an S3 store holds unfinished: `object_store` begins and ends them, and cannot list them.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer;
use reqwest::{Client, Method};
use url::Url;

use super::Error;
use super::open::unusable;

/// How long the question may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A way to ask an S3 store for its unfinished uploads.
pub(super) struct Unfinished {
    store: Arc<AmazonS3>,
    region: String,
    client: Client,
}

impl Unfinished {
    pub(super) fn new(store: Arc<AmazonS3>, region: String, client: Client) -> Self {
        Self {
            store,
            region,
            client,
        }
    }

    /// The ids of the uploads of the object at `path`, whoever began them.
    pub(super) async fn of(&self, path: &Path) -> Result<Vec<String>, Error> {
        let asked = self.ask(path).await;
        let answer = asked.map_err(|source| Error::Unreachable {
            action: "list the unfinished uploads of",
            object: path.to_string(),
            source: object_store::Error::Generic {
                store: "S3",
                source,
            },
        })?;
        let ids = answer.split("<UploadId>").skip(1);
        Ok(ids
            .filter_map(|rest| rest.split_once('<'))
            .map(|(id, _)| id.to_owned())
            .collect())
    }

    async fn ask(&self, path: &Path) -> Result<String, Cause> {
        let mut url = self.bucket(path).await?;
        url.query_pairs_mut()
            .append_pair("prefix", path.as_ref())
            .append_pair("uploads", "");
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse()?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let asked = self.client.get(url).headers(request.headers().clone());
        let answer = asked.timeout(PATIENCE).send().await?;
        Ok(answer.error_for_status()?.text().await?)
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
