//! What etcd's own configuration says about how it is reached, so that nobody has to type it again.

use std::path::PathBuf;

use url::Url;

use super::{Error, EtcdFlags};

/// How a cluster is reached, as far as one member's files tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovered {
    /// The client URLs: this member's as it advertises them, the others' as their peer URLs suggest.
    pub endpoints: Vec<String>,
    /// The authority of the client port.
    pub ca: Option<PathBuf>,
    /// A client certificate that this machine has.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl Discovered {
    /// Reads etcd's configuration file.
    ///
    /// The server's own certificate is taken as the client's: etcd demands one that is good for both.
    ///
    /// # Errors
    /// If it is not YAML, or advertises no client URL.
    pub fn from_etcd_config(text: &str, origin: &str) -> Result<Self, Error> {
        let flags = EtcdFlags::from_config(text, origin)?;
        Ok(Self {
            endpoints: endpoints(&flags, origin)?,
            ca: path(&flags, "trusted-ca-file"),
            cert: path(&flags, "cert-file"),
            key: path(&flags, "key-file"),
        })
    }

    /// Reads the manifest of the static pod that kubeadm makes.
    ///
    /// kubeadm keeps a client certificate for health checks beside the server's, which is taken.
    ///
    /// # Errors
    /// If it is not such a manifest, or advertises no client URL.
    pub fn from_kubeadm(text: &str, origin: &str) -> Result<Self, Error> {
        let flags = EtcdFlags::from_manifest(text, origin)?;
        let beside_server = |name: &str| Some(path(&flags, "cert-file")?.parent()?.join(name));
        Ok(Self {
            endpoints: endpoints(&flags, origin)?,
            ca: path(&flags, "trusted-ca-file"),
            cert: beside_server("healthcheck-client.crt"),
            key: beside_server("healthcheck-client.key"),
        })
    }
}

fn path(flags: &EtcdFlags, name: &str) -> Option<PathBuf> {
    flags.get(name).map(PathBuf::from)
}

/// This member's client URLs, and for every other host of `initial-cluster` one that is alike.
fn endpoints(flags: &EtcdFlags, origin: &str) -> Result<Vec<String>, Error> {
    let advertised = flags.list("advertise-client-urls");
    let mut endpoints: Vec<String> = advertised
        .map(|url| url.trim_end_matches('/').to_owned())
        .collect();
    let Some(own) = endpoints.first().and_then(|url| Url::parse(url).ok()) else {
        return Err(Error::NotEtcd {
            origin: origin.to_owned(),
            problem: "it advertises no client URL (advertise-client-urls)".to_owned(),
        });
    };
    let peers = flags
        .list("initial-cluster")
        .filter_map(|entry| Url::parse(entry.split_once('=')?.1.trim()).ok());
    for peer in peers {
        let mut endpoint = own.clone();
        if endpoint.set_host(peer.host_str()).is_ok() {
            let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_own_configuration_tells_endpoints_and_certificates() {
        let text = "\
name: etcd-1
data-dir: /var/lib/etcd
advertise-client-urls: https://10.0.0.10:2379
initial-cluster: etcd-1=https://10.0.0.10:2380,etcd-2=https://10.0.0.11:2380
client-transport-security:
  cert-file: /etc/etcd/pki/server.crt
  key-file: /etc/etcd/pki/server.key
  client-cert-auth: true
  trusted-ca-file: /etc/etcd/pki/ca.crt
";
        let found = Discovered::from_etcd_config(text, "etcd.conf.yml").unwrap();
        assert_eq!(
            found.endpoints,
            ["https://10.0.0.10:2379", "https://10.0.0.11:2379"]
        );
        assert_eq!(found.ca, Some(PathBuf::from("/etc/etcd/pki/ca.crt")));
        assert_eq!(found.key, Some(PathBuf::from("/etc/etcd/pki/server.key")));
    }

    #[test]
    fn kubeadms_manifest_tells_endpoints_and_certificates() {
        let text = "\
apiVersion: v1
kind: Pod
metadata:
  name: etcd
spec:
  containers:
  - name: etcd
    command:
    - etcd
    - --advertise-client-urls=https://192.168.0.5:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --initial-cluster=cp=https://192.168.0.5:2380
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
  hostNetwork: true
";
        let found = Discovered::from_kubeadm(text, "etcd.yaml").unwrap();
        assert_eq!(found.endpoints, ["https://192.168.0.5:2379"]);
        assert_eq!(
            found.cert,
            Some(PathBuf::from(
                "/etc/kubernetes/pki/etcd/healthcheck-client.crt"
            ))
        );
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_its_name() {
        let error = Discovered::from_etcd_config("name: etcd-1\n", "etcd.conf.yml").unwrap_err();
        assert!(error.to_string().contains("etcd.conf.yml"), "{error}");
        assert!(Discovered::from_kubeadm("kind: Pod\n", "etcd.yaml").is_err());
    }
}
