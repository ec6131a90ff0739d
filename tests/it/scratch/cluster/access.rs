//! How a scratch cluster is reached: clients, etcd's own tools, and the environment for etcdrx.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, TlsOptions};

use super::{Cluster, ROOT_PASSWORD};
use crate::scratch::pki::{Identity, install_crypto};
use crate::scratch::program::Output;
use crate::scratch::{process, program};

const TOOL_LIMIT: Duration = Duration::from_mins(1);

impl Cluster {
    /// A client, as the user `root`, that talks to all the members which run now.
    pub(crate) async fn client(&self) -> Client {
        let running = self.members.iter().filter(|member| member.answers());
        let endpoints: Vec<&str> = running.map(super::Member::client_url).collect();
        let client = Client::connect(endpoints, Some(self.connect_options())).await;
        client.unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.last_words()))
    }

    /// A client, as the user `root`, that talks to one member only.
    pub(crate) async fn member_client(&self, index: usize) -> Client {
        let member = &self.members[index];
        let client = self.try_member_client(index).await;
        client.unwrap_or_else(|error| {
            let words = member.last_words();
            panic!("cannot connect to {}: {error}\n{words}", member.name())
        })
    }

    pub(super) async fn try_member_client(&self, index: usize) -> Result<Client, Error> {
        let url = self.members[index].client_url();
        Client::connect([url], Some(self.connect_options())).await
    }

    /// How etcd-client logs in as `root`; for an endpoint that is a proxy, say.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        match &self.security {
            // The common name is the user: a password would be a second login.
            Some(security) => self.options_with(&security.root),
            None if self.has_auth => patient().with_user("root", ROOT_PASSWORD),
            None => patient(),
        }
    }

    /// How etcd-client shows another client certificate, in a cluster with TLS.
    pub(crate) fn options_with(&self, identity: &Identity) -> ConnectOptions {
        install_crypto();
        let pki = self.pki().expect("the cluster has TLS");
        let read = |path: &Path| {
            fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let shown = etcd_client::Identity::from_pem(read(&identity.cert), read(&identity.key));
        let trusted = Certificate::from_pem(read(&pki.ca()));
        let tls = TlsOptions::new().ca_certificate(trusted).identity(shown);
        patient().with_tls(tls)
    }

    /// The `ETCDCTL_` variables that let etcdctl and etcdrx in as `root`.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![("ETCDCTL_ENDPOINTS".to_owned(), self.endpoints().join(","))];
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        if let Some(security) = &self.security {
            set("ETCDCTL_CACERT", security.pki.ca().display().to_string());
            set("ETCDCTL_CERT", security.root.cert.display().to_string());
            set("ETCDCTL_KEY", security.root.key.display().to_string());
        } else if self.has_auth {
            set("ETCDCTL_USER", format!("root:{ROOT_PASSWORD}"));
        }
        variables
    }

    /// Runs the cluster's own etcdctl as `root`, in the cluster's folder.
    pub(crate) fn etcdctl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        let mut command = process::command(&self.release.etcdctl());
        command.args(args).envs(self.environment());
        command.current_dir(self.directory());
        program::run(command, TOOL_LIMIT)
    }

    /// Runs the cluster's own etcdutl in the cluster's folder; of 3.4 its etcdctl, which has those commands.
    pub(crate) fn etcdutl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        let mut command = process::command(&self.release.etcdutl());
        command.args(args).current_dir(self.directory());
        program::run(command, TOOL_LIMIT)
    }
}

fn patient() -> ConnectOptions {
    ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(10))
}
