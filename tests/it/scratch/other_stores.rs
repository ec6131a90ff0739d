//! A stand-in for Azure Blob Storage, and a WebDAV server.

use std::fs;

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use serde_json::json;

use super::administration::{http_client, sendable, unsigned, until_accepted};
use super::process::{self, Server};
use super::store::{self, BUCKET, Endpoint, READY_LIMIT, Store, Variables, variables};
use super::{ports, tools};

/// Azurite's one account, the same on every machine.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const WEBDAV_USER: &str = "scratch";
const WEBDAV_PASSWORD: &str = "scratch-secret";

impl Store {
    /// Azurite's blob service.
    pub(crate) async fn azurite() -> Store {
        let directory = store::directory("azurite");
        let address = ports::free_address();
        let mut command = process::command(&tools::expect_tool("azurite"));
        command.args([
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &address.port().to_string(),
        ]);
        command.arg("--location").arg(directory.path().join("data"));
        command.args(["--skipApiVersionCheck", "--disableTelemetry", "--silent"]);
        command.env("HOME", directory.path());
        let server = Server::start("azurite", command, &directory.path().join("azurite.log"));
        server.wait_for_port(address, READY_LIMIT);
        let store = Store {
            server,
            address,
            url: format!("az://{BUCKET}/clusters"),
            endpoint: Endpoint::InVariables {
                scheme: "http",
                path: "/devstoreaccount1",
                endpoint: "AZURE_STORAGE_ENDPOINT",
                allow_http: "AZURE_ALLOW_HTTP",
            },
            credentials: account(ACCOUNT_KEY),
            read_only: None,
            stranger: Some(account("bm90LXRoZS1rZXk=")),
            user: None,
            ca: None,
            litter: Vec::new(),
            front: None,
            directory,
        };
        store.create_container().await;
        store
    }

    /// `WsgiDAV`, which lets everybody in.
    pub(crate) fn webdav() -> Store {
        webdav(&json!({"*": true}), None)
    }

    /// `WsgiDAV`, which wants a name and a password (HTTP Basic).
    pub(crate) fn webdav_with_password() -> Store {
        let user = json!({WEBDAV_USER: {"password": WEBDAV_PASSWORD}});
        let known = (WEBDAV_USER.to_owned(), WEBDAV_PASSWORD.to_owned());
        webdav(&json!({"*": user}), Some(known))
    }

    async fn create_container(&self) {
        let endpoint = self.endpoint().expect("Azurite has an endpoint");
        let url = format!("{endpoint}/{BUCKET}?restype=container");
        let key = AzureAccessKey::try_new(ACCOUNT_KEY).expect("the key is base64");
        let owner = AzureCredential::AccessKey(key);
        let client = http_client(None);
        until_accepted(&self.server, async || {
            let mut request = unsigned("PUT", &url, Vec::new());
            let length = "0".parse().expect("a number is a header's value");
            request.headers_mut().insert("content-length", length);
            let authorizer = AzureAuthorizer::new(&owner, ACCOUNT);
            let signed = authorizer.try_authorize(&mut request);
            signed.expect("a request can be signed");
            client.execute(sendable(&request)).await
        })
        .await;
    }
}

fn account(key: &str) -> Variables {
    variables(&[
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", key),
    ])
}

fn webdav(users: &serde_json::Value, user: Option<(String, String)>) -> Store {
    let directory = store::directory("wsgidav");
    let folder = directory.path();
    let data = folder.join("data");
    let address = ports::free_address();
    let settings = json!({
        "host": "127.0.0.1",
        "port": address.port(),
        "provider_mapping": {"/": data},
        "simple_dc": {"user_mapping": users},
        "http_authenticator": {"accept_basic": true, "accept_digest": false, "default_to_digest": false},
        "dir_browser": {"enable": false},
    });
    let settings_path = folder.join("wsgidav.json");
    let written = fs::create_dir_all(data.join(BUCKET))
        .and_then(|()| fs::write(&settings_path, settings.to_string()));
    written.unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
    let mut command = process::command(&tools::expect_tool("wsgidav"));
    command
        .arg("--config")
        .arg(settings_path)
        .env("HOME", folder);
    let server = Server::start("wsgidav", command, &folder.join("wsgidav.log"));
    server.wait_for_port(address, READY_LIMIT);
    Store {
        server,
        address,
        url: format!("http://{address}/{BUCKET}"),
        endpoint: Endpoint::InUrl,
        credentials: Vec::new(),
        read_only: None,
        stranger: None,
        user,
        ca: None,
        litter: Vec::new(),
        front: None,
        directory,
    }
}
