//! Each store, as `object_store` sees it.

use std::collections::BTreeSet;
use std::fs;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, Result, parse_url_opts,
};
use url::{Position, Url};

use crate::scratch::store::{BUCKET, Variables};
use crate::scratch::{FlakyHttp, Store, require};

#[tokio::test]
async fn minio_does_all_that_a_repository_needs() {
    require!("minio");
    let store = Store::minio().await;
    let (objects, root) = open(&store);

    keeps_objects(&*objects, &root).await;
    creates_once(&*objects, &root).await;
    takes_parts(&*objects, &root).await;
    keeps_strangers_out(&store).await;
    lets_readers_read(&store).await;
}

#[tokio::test]
async fn seaweedfs_does_all_that_a_repository_needs() {
    require!("seaweedfs");
    let store = Store::seaweedfs().await;
    let (objects, root) = open(&store);

    keeps_objects(&*objects, &root).await;
    creates_once(&*objects, &root).await;
    takes_parts(&*objects, &root).await;
    keeps_strangers_out(&store).await;
    lets_readers_read(&store).await;
}

#[tokio::test]
async fn the_google_stand_in_does_all_that_a_repository_needs() {
    require!("minio");
    let store = Store::gcs().await;
    let (objects, root) = open(&store);

    keeps_objects(&*objects, &root).await;
    creates_once(&*objects, &root).await;
    takes_parts(&*objects, &root).await;
}

#[tokio::test]
async fn azurite_does_all_that_a_repository_needs() {
    require!("azurite");
    let store = Store::azurite().await;
    let (objects, root) = open(&store);

    keeps_objects(&*objects, &root).await;
    creates_once(&*objects, &root).await;
    takes_parts(&*objects, &root).await;
    keeps_strangers_out(&store).await;
}

#[tokio::test]
async fn webdav_keeps_whole_objects_only() {
    require!("wsgidav");
    let store = Store::webdav();
    let (objects, root) = open(&store);

    keeps_objects(&*objects, &root).await;
    let parts = objects.put_multipart(&root.clone().join("parts")).await;
    let once = create(&*objects, &root.clone().join("once")).await;

    assert!(matches!(parts, Err(Error::NotImplemented { .. })));
    assert!(matches!(once, Err(Error::NotImplemented { .. })));
}

#[tokio::test]
async fn webdav_asks_for_a_password() {
    require!("wsgidav");
    let store = Store::webdav_with_password();
    let (name, password) = store.user().unwrap();
    // A name in the URL is not enough: object_store does not make a header of it.
    let login = reqwest::Client::new().get(store.url());
    let login = login.basic_auth(name, Some(password)).build().unwrap();
    let headers = login.headers().clone();
    let options = ClientOptions::new()
        .with_default_headers(headers)
        .with_allow_http(true);
    let url: Url = store.url().parse().unwrap();
    // Nor may its own URL have a path: what it lists would then not be what it takes.
    let known = HttpBuilder::new()
        .with_url(&url[..Position::BeforePath])
        .with_client_options(options);
    let root = Path::from_url_path(url.path()).unwrap();

    keeps_objects(&known.build().unwrap(), &root).await;
    let (objects, root) = open(&store);
    let refused = objects.put(&root.clone().join("x"), payload("x")).await;

    assert!(
        matches!(refused, Err(Error::Unauthenticated { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn minio_shows_the_certificate_of_its_own_ca() {
    require!("minio");
    let store = Store::minio_tls().await;
    let pem = fs::read(store.ca().unwrap()).unwrap();
    let trusting = ClientOptions::new().with_root_certificate(Certificate::from_pem(&pem).unwrap());
    let builder = || {
        let pairs = store.environment();
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), value));
        let builder = AmazonS3Builder::new().with_bucket_name(BUCKET);
        pairs.fold(builder, |builder, (name, value)| {
            builder.with_config(name.parse().unwrap(), value)
        })
    };
    let path = Path::from("object");

    let trusted = builder().with_client_options(trusting).build().unwrap();
    trusted.put(&path, payload("hello")).await.unwrap();
    let no_retry = object_store::RetryConfig {
        max_retries: 0,
        ..Default::default()
    };
    let distrusted = builder().with_retry(no_retry).build().unwrap();

    assert!(distrusted.get(&path).await.is_err());
}

#[tokio::test]
async fn a_store_behind_a_flaky_proxy_fails_now_and_then() {
    require!("minio");
    let store = Store::minio().await;
    let flaky = FlakyHttp::to(store.address());
    let (objects, root) = open_at(store.url(), &store.environment_at(&flaky.url()));

    // object_store asks again after a 503, and so do these.
    flaky.fail_every(2);
    keeps_objects(&*objects, &root).await;
    let (seen, failed) = (flaky.requests(), flaky.failed());
    flaky.fail_when(|request| request.target.ends_with("/refused"));
    flaky.heal();
    keeps_objects(&*objects, &root).await;

    assert_eq!(failed, seen / 2);
    assert_eq!(flaky.failed(), failed);
}

fn open(store: &Store) -> (Box<dyn ObjectStore>, Path) {
    open_at(store.url(), &store.environment())
}

fn open_at(url: &str, variables: &Variables) -> (Box<dyn ObjectStore>, Path) {
    let mut options = variables.clone();
    if url.starts_with("http:") {
        options.push(("allow_http".to_owned(), "true".to_owned()));
    }
    parse_url_opts(&url.parse().unwrap(), options).unwrap()
}

fn payload(text: &'static str) -> PutPayload {
    PutPayload::from_static(text.as_bytes())
}

async fn create(objects: &dyn ObjectStore, path: &Path) -> Result<object_store::PutResult> {
    objects
        .put_opts(path, payload("once"), PutOptions::from(PutMode::Create))
        .await
}

/// Put, get, range, head, list with and without folders, copy, delete.
async fn keeps_objects(objects: &dyn ObjectStore, root: &Path) {
    let path = root.clone().join("one").join("manifest.json");
    let copy = root.clone().join("two").join("copy");

    objects.put(&path, payload("hello")).await.unwrap();
    let read = objects.get(&path).await.unwrap().bytes().await.unwrap();
    let range = objects.get_range(&path, 1..3).await.unwrap();
    let head = objects.head(&path).await.unwrap();
    objects.copy(&path, &copy).await.unwrap();
    let folders = objects.list_with_delimiter(Some(root)).await.unwrap();
    // WebDAV lists in the order of the disk.
    let folders = BTreeSet::from_iter(folders.common_prefixes);
    let before: Vec<_> = objects.list(Some(root)).try_collect().await.unwrap();
    objects.delete(&path).await.unwrap();
    let after: Vec<_> = objects.list(Some(root)).try_collect().await.unwrap();

    assert_eq!(
        (&read[..], &range[..], head.size),
        (&b"hello"[..], &b"el"[..], 5)
    );
    assert_eq!(
        folders,
        BTreeSet::from(["one", "two"].map(|folder| root.clone().join(folder)))
    );
    assert_eq!(before.len(), 2);
    assert_eq!(after.len(), 1);
    let gone = objects.get(&path).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
    objects.delete(&copy).await.unwrap();
}

/// Put-if-absent: the second one is told so.
async fn creates_once(objects: &dyn ObjectStore, root: &Path) {
    let path = root.clone().join("once");

    create(objects, &path).await.unwrap();
    let again = create(objects, &path).await.unwrap_err();

    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
}

/// Multipart uploads: finished ones are there, aborted ones are not.
async fn takes_parts(objects: &dyn ObjectStore, root: &Path) {
    const PART: usize = 5 * 1024 * 1024;
    let (kept, dropped) = (root.clone().join("kept"), root.clone().join("dropped"));

    let mut upload = objects.put_multipart(&kept).await.unwrap();
    upload
        .put_part(PutPayload::from(vec![1; PART]))
        .await
        .unwrap();
    upload
        .put_part(PutPayload::from(vec![2; 100]))
        .await
        .unwrap();
    upload.complete().await.unwrap();
    let mut upload = objects.put_multipart(&dropped).await.unwrap();
    upload
        .put_part(PutPayload::from(vec![1; PART]))
        .await
        .unwrap();
    upload.abort().await.unwrap();

    let size = objects.head(&kept).await.unwrap().size;
    assert_eq!(size, PART as u64 + 100);
    assert!(matches!(
        objects.head(&dropped).await,
        Err(Error::NotFound { .. })
    ));
}

async fn keeps_strangers_out(store: &Store) {
    let (objects, root) = open_as(store, store.wrong_credentials().unwrap());

    let refused = objects
        .put(&root.clone().join("x"), payload("x"))
        .await
        .unwrap_err();

    assert!(
        matches!(refused, Error::PermissionDenied { .. }),
        "{refused}"
    );
}

async fn lets_readers_read(store: &Store) {
    let (objects, root) = open(store);
    let path = root.clone().join("readable");
    objects.put(&path, payload("hello")).await.unwrap();
    let (reader, _) = open_as(store, store.read_only_credentials().unwrap());

    reader.get(&path).await.unwrap();
    let listed: Vec<_> = reader.list(Some(&root)).try_collect().await.unwrap();
    let put = reader.put(&path, payload("changed")).await.unwrap_err();
    let delete = reader.delete(&path).await;

    assert!(!listed.is_empty());
    assert!(matches!(put, Error::PermissionDenied { .. }), "{put}");
    assert!(delete.is_err());
}

fn open_as(store: &Store, credentials: &Variables) -> (Box<dyn ObjectStore>, Path) {
    let mut variables = store.environment();
    variables.extend(credentials.iter().cloned());
    open_at(store.url(), &variables)
}
