//! MinIO and SeaweedFS: two stores that speak S3.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use serde_json::json;

use super::administration::{http_client, sendable, unsigned, until_accepted};
use super::pki::{Leaf, Pki};
use super::process::{self, Server};
use super::store::{self, BUCKET, Endpoint, READY_LIMIT, Store, Variables, variables};
use super::{ports, tools};

const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "scratch";
const SECRET_KEY: &str = "scratch-secret";
const READER_KEY: &str = "reader";
const READER_SECRET: &str = "reader-secret";

impl Store {
    /// MinIO over plain HTTP.
    pub(crate) async fn minio() -> Store {
        minio("http").await
    }

    /// MinIO over HTTPS, with a certificate from a CA of its own.
    pub(crate) async fn minio_tls() -> Store {
        minio("https").await
    }

    /// SeaweedFS with its S3 gateway, over plain HTTP.
    pub(crate) async fn seaweedfs() -> Store {
        let directory = store::directory("seaweedfs");
        let folder = directory.path().to_owned();
        let identities = folder.join("s3.json");
        write(&identities, &seaweedfs_identities().to_string());
        // The port of each service, and the one of its gRPC: without a word the second is 10,000 more.
        let services = ["master", "volume", "filer", "s3"].map(|service| {
            let ports = (ports::free_port(), ports::free_port());
            (service, ports.0, ports.1)
        });
        let mut command = process::command(&tools::expect_tool("seaweedfs"));
        command.args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
        ]);
        for (service, port, grpc) in services {
            command.arg(format!("-{service}.port={port}"));
            command.arg(format!("-{service}.port.grpc={grpc}"));
        }
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        // One master asks nobody; it sends no statistics; its volumes fit a small disk.
        command.args(["-master.peers=none", "-master.telemetry=false"]);
        command.args(["-master.volumeSizeLimitMB=128", "-volume.max=50"]);
        command.arg(format!("-s3.config={}", identities.display()));
        let data = folder.join("data");
        create(&data);
        command
            .arg(format!("-dir={}", data.display()))
            .current_dir(&folder);
        // It logs into TMPDIR as well.
        command.env("HOME", &folder).env("TMPDIR", &folder);
        let server = Server::start("seaweedfs", command, &folder.join("seaweedfs.log"));
        let address = SocketAddr::from(([127, 0, 0, 1], services[3].1));
        let mut store = s3_store(server, "http", address, directory);
        store.litter = services
            .iter()
            .flat_map(|service| sockets(*service))
            .collect();
        store.create_bucket().await;
        store.read_only = Some(credentials(READER_KEY, READER_SECRET));
        store
    }

    async fn create_bucket(&self) {
        self.ask("PUT", BUCKET, &[], "").await;
    }

    /// Makes another bucket, which keeps old versions.
    pub(crate) async fn create_versioned_bucket(&self, name: &str) {
        let configuration =
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.ask("PUT", name, &[], "").await;
        self.ask("PUT", &format!("{name}?versioning="), &[], configuration)
            .await;
    }

    /// Makes another bucket, which locks every object for a day: `COMPLIANCE` or `GOVERNANCE`.
    pub(crate) async fn create_locked_bucket(&self, name: &str, mode: &str) {
        self.create_bucket_with_holds(name).await;
        let configuration = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>{mode}</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
        );
        self.ask("PUT", &format!("{name}?object-lock="), &[], &configuration)
            .await;
    }

    /// Creates a bucket in which single objects can be held; MinIO only.
    pub(crate) async fn create_bucket_with_holds(&self, name: &str) {
        let with_locks = [("x-amz-bucket-object-lock-enabled", "true".to_owned())];
        self.ask("PUT", name, &with_locks, "").await;
    }

    /// Puts a legal hold on an object, or ends it.
    pub(crate) async fn hold(&self, bucket: &str, key: &str, is_held: bool) {
        let status = if is_held { "ON" } else { "OFF" };
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        let sha256 = digest::digest(&digest::SHA256, body.as_bytes());
        let checksum = [("x-amz-checksum-sha256", BASE64_STANDARD.encode(sha256))];
        let target = format!("{bucket}/{key}?legal-hold=");
        self.ask("PUT", &target, &checksum, &body).await;
    }

    /// The keys of all objects that a bucket keeps, old versions and hidden ones too.
    pub(crate) async fn kept_in(&self, bucket: &str) -> Vec<String> {
        let answer = self
            .ask("GET", &format!("{bucket}?versions="), &[], "")
            .await;
        let kept = answer.split("<Version>").skip(1);
        let key = |version: &str| {
            let (_, rest) = version.split_once("<Key>")?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        kept.filter_map(key).collect()
    }

    async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> String {
        let endpoint = self.endpoint().expect("an S3 store has an endpoint");
        let url = format!("{endpoint}/{target}");
        let client = http_client(self.ca());
        until_accepted(&self.server, async || {
            let body = body.as_bytes().to_vec();
            client
                .execute(sign(method, &url, "s3", headers, body))
                .await
        })
        .await
    }
}

async fn minio(scheme: &'static str) -> Store {
    let directory = store::directory("minio");
    let folder = directory.path().to_owned();
    let certificates = folder.join("certs");
    create(&certificates);
    let ca = (scheme == "https").then(|| minio_certificate(&certificates));
    let address = ports::free_address();
    let mut command = process::command(&tools::expect_tool("minio"));
    command.arg("server").arg("--certs-dir").arg(&certificates);
    command.arg(format!("--address={address}"));
    command.arg("--quiet").arg(folder.join("data"));
    command.env("HOME", &folder);
    // No console, no look for a newer version.
    command
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off");
    command
        .env("MINIO_ROOT_USER", ACCESS_KEY)
        .env("MINIO_ROOT_PASSWORD", SECRET_KEY);
    let server = Server::start("minio", command, &folder.join("minio.log"));
    let mut store = s3_store(server, scheme, address, directory);
    store.ca = ca;
    store.create_bucket().await;
    store.read_only = Some(store.minio_read_only().await);
    store
}

impl Store {
    /// Temporary credentials whose policy allows to list and to read.
    async fn minio_read_only(&self) -> Variables {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": [format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")],
        }]});
        let endpoint = self.endpoint().expect("an S3 store has an endpoint");
        let form = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("DurationSeconds", "3600"),
            ("Policy", &policy.to_string()),
        ];
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let client = http_client(self.ca());
        let url = format!("{endpoint}/");
        let kind = [(
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        )];
        let answer = until_accepted(&self.server, async || {
            let form = form.clone().into_bytes();
            client.execute(sign("POST", &url, "sts", &kind, form)).await
        })
        .await;
        let field = |name: &str| {
            let text = answer.split(&format!("<{name}>")).nth(1);
            let text = text.and_then(|text| text.split("</").next());
            text.unwrap_or_else(|| panic!("MinIO gave no {name}: {answer}"))
                .to_owned()
        };
        let mut reader = credentials(&field("AccessKeyId"), &field("SecretAccessKey"));
        reader.push(("AWS_SESSION_TOKEN".to_owned(), field("SessionToken")));
        reader
    }
}

fn s3_store(
    server: Server,
    scheme: &'static str,
    address: SocketAddr,
    directory: tempfile::TempDir,
) -> Store {
    server.wait_for_port(address, READY_LIMIT);
    Store {
        server,
        address,
        url: format!("s3://{BUCKET}/clusters"),
        endpoint: Endpoint::InVariables {
            scheme,
            path: "",
            endpoint: "AWS_ENDPOINT_URL",
            allow_http: "AWS_ALLOW_HTTP",
        },
        credentials: credentials(ACCESS_KEY, SECRET_KEY),
        read_only: None,
        stranger: Some(credentials(ACCESS_KEY, "not-the-secret")),
        user: None,
        ca: None,
        litter: Vec::new(),
        front: None,
        directory,
    }
}

fn credentials(key: &str, secret: &str) -> Variables {
    variables(&[
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", REGION),
    ])
}

/// Writes what MinIO looks for in its folder of certificates, and gives the CA.
fn minio_certificate(folder: &Path) -> PathBuf {
    let pki = Pki::create(&folder.with_file_name("pki"));
    let identity = pki.issue(&Leaf::server("minio"), &pki.directory().join("minio"));
    let copied = fs::copy(identity.cert, folder.join("public.crt"))
        .and_then(|_| fs::copy(identity.key, folder.join("private.key")));
    copied.unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
    pki.ca()
}

fn seaweedfs_identities() -> serde_json::Value {
    let identity = |key: &str, secret: &str, actions: &[String]| {
        let credentials = json!([{"accessKey": key, "secretKey": secret}]);
        json!({"name": key, "credentials": credentials, "actions": actions})
    };
    let everything = ["Admin", "Read", "Write", "List", "Tagging"].map(str::to_owned);
    let reading = ["Read", "List"].map(|action| format!("{action}:{BUCKET}"));
    json!({"identities": [
        identity(ACCESS_KEY, SECRET_KEY, &everything),
        identity(READER_KEY, READER_SECRET, &reading),
    ]})
}

/// The sockets that SeaweedFS leaves in `/tmp` when it is killed.
fn sockets((service, port, grpc): (&str, u16, u16)) -> [PathBuf; 2] {
    let socket = |name: String| Path::new("/tmp").join(format!("seaweedfs-{name}.sock"));
    [
        socket(format!("{service}-{port}")),
        socket(format!("{service}-grpc-{grpc}")),
    ]
}

/// A request with the signature of the store's owner.
pub(super) fn sign(
    method: &str,
    url: &str,
    service: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> reqwest::Request {
    let mut request = unsigned(method, url, body);
    for (name, value) in headers {
        let value = value.parse().expect("the value is one of a header");
        request.headers_mut().insert(*name, value);
    }
    let owner = AwsCredential {
        key_id: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        token: None,
    };
    let authorizer = AwsAuthorizer::new(&owner, service, REGION);
    let signed = authorizer.try_authorize(&mut request, None);
    signed.expect("a request can be signed");
    sendable(&request)
}

fn create(folder: &Path) {
    fs::create_dir_all(folder)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
