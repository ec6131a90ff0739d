//! What etcd's own configuration says about how it is reached and where it lies, so that nobody has to type it again.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Error, EtcdFlags, Node, Reach, ServiceKind};

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
    /// The members: this machine's with all that its files say, the others with what they must have alike.
    pub nodes: Vec<Node>,
}

impl Discovered {
    /// Reads etcd's configuration file, which lies at `path`.
    ///
    /// The server's own certificate is taken as the client's: etcd demands one that is good for both.
    ///
    /// # Errors
    /// If it is not YAML, or advertises no client URL.
    pub fn from_etcd_config(text: &str, path: &Path) -> Result<Self, Error> {
        let origin = path.display().to_string();
        let flags = EtcdFlags::from_config(text, &origin)?;
        let alike = Node {
            config_file: Some(path.to_owned()),
            ..Node::default()
        };
        Ok(Self {
            endpoints: endpoints(&flags, &origin)?,
            ca: file(&flags, "trusted-ca-file"),
            cert: file(&flags, "cert-file"),
            key: file(&flags, "key-file"),
            nodes: nodes(&flags, &alike),
        })
    }

    /// Reads the manifest of the static pod that kubeadm makes, which lies at `path`.
    ///
    /// kubeadm keeps a client certificate for health checks beside the server's, which is taken.
    ///
    /// # Errors
    /// If it is not such a manifest, or advertises no client URL.
    pub fn from_kubeadm(text: &str, path: &Path) -> Result<Self, Error> {
        let origin = path.display().to_string();
        let flags = EtcdFlags::from_manifest(text, &origin)?;
        let beside_server = |name: &str| Some(file(&flags, "cert-file")?.parent()?.join(name));
        let alike = Node {
            service: Some(ServiceKind::StaticPod(path.to_owned())),
            ..Node::default()
        };
        Ok(Self {
            endpoints: endpoints(&flags, &origin)?,
            ca: file(&flags, "trusted-ca-file"),
            cert: beside_server("healthcheck-client.crt"),
            key: beside_server("healthcheck-client.key"),
            nodes: nodes(&flags, &alike),
        })
    }
}

fn file(flags: &EtcdFlags, name: &str) -> Option<PathBuf> {
    flags.get(name).map(PathBuf::from)
}

/// The members that `initial-cluster` names, or this one alone: like `alike`, and where this one lies.
///
/// Where the others' data and settings lie nobody has said; they are taken to be furnished alike, and reached by hand until somebody says how.
fn nodes(flags: &EtcdFlags, alike: &Node) -> Vec<Node> {
    let own_name = flags.get("name").unwrap_or("default");
    let alike = Node {
        data_dir: file(flags, "data-dir"),
        wal_dir: file(flags, "wal-dir"),
        ..alike.clone()
    };
    let own = Node {
        name: own_name.to_owned(),
        reach: Reach::Local,
        peer_url: first(flags, "initial-advertise-peer-urls"),
        client_url: first(flags, "advertise-client-urls"),
        ..alike.clone()
    };
    let client_url = own.client_url.clone();
    let mut nodes = vec![own];
    for entry in flags.list("initial-cluster") {
        let Some((name, url)) = entry.split_once('=') else {
            continue;
        };
        let (name, url) = (name.trim(), url.trim().trim_end_matches('/'));
        if let Some(known) = nodes.iter_mut().find(|node| node.name == name) {
            // A member may have several; the first is enough to recognise it by.
            known.peer_url.get_or_insert_with(|| url.to_owned());
            continue;
        }
        nodes.push(Node {
            name: name.to_owned(),
            peer_url: Some(url.to_owned()),
            client_url: client_url.as_deref().and_then(|own| at_host_of(own, url)),
            ..alike.clone()
        });
    }
    nodes
}

fn first(flags: &EtcdFlags, name: &str) -> Option<String> {
    let url = flags.list(name).next()?;
    Some(url.trim_end_matches('/').to_owned())
}

/// The URL `alike` at the host of the URL `peer`.
fn at_host_of(alike: &str, peer: &str) -> Option<String> {
    let mut endpoint = Url::parse(alike).ok()?;
    endpoint.set_host(Url::parse(peer).ok()?.host_str()).ok()?;
    Some(endpoint.as_str().trim_end_matches('/').to_owned())
}

/// This member's client URLs, and for every other host of `initial-cluster` one that is alike.
fn endpoints(flags: &EtcdFlags, origin: &str) -> Result<Vec<String>, Error> {
    let advertised = flags.list("advertise-client-urls");
    let mut endpoints: Vec<String> = advertised
        .map(|url| url.trim_end_matches('/').to_owned())
        .collect();
    let Some(own) = endpoints
        .first()
        .filter(|url| Url::parse(url).is_ok())
        .cloned()
    else {
        return Err(Error::NotEtcd {
            origin: origin.to_owned(),
            problem: "it advertises no client URL (advertise-client-urls)".to_owned(),
        });
    };
    let entries = flags.list("initial-cluster");
    let peers = entries.filter_map(|entry| at_host_of(&own, entry.split_once('=')?.1.trim()));
    for endpoint in peers {
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
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
        let found =
            Discovered::from_etcd_config(text, Path::new("/etc/etcd/etcd.conf.yml")).unwrap();
        assert_eq!(
            found.endpoints,
            ["https://10.0.0.10:2379", "https://10.0.0.11:2379"]
        );
        assert_eq!(found.ca, Some(PathBuf::from("/etc/etcd/pki/ca.crt")));
        assert_eq!(found.key, Some(PathBuf::from("/etc/etcd/pki/server.key")));
        let [own, other] = found.nodes.as_slice() else {
            panic!("{:?}", found.nodes)
        };
        assert_eq!((own.name.as_str(), &own.reach), ("etcd-1", &Reach::Local));
        assert_eq!(own.peer_url.as_deref(), Some("https://10.0.0.10:2380"));
        assert_eq!(own.data_dir, Some(PathBuf::from("/var/lib/etcd")));
        assert_eq!(
            own.config_file,
            Some(PathBuf::from("/etc/etcd/etcd.conf.yml"))
        );
        assert_eq!(
            (other.name.as_str(), &other.reach),
            ("etcd-2", &Reach::Manual)
        );
        assert_eq!(other.client_url.as_deref(), Some("https://10.0.0.11:2379"));
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
    - --data-dir=/var/lib/etcd
    - --name=cp
    - --initial-advertise-peer-urls=https://192.168.0.5:2380
    - --initial-cluster=cp=https://192.168.0.5:2380
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
  hostNetwork: true
";
        let manifest = Path::new("/etc/kubernetes/manifests/etcd.yaml");
        let found = Discovered::from_kubeadm(text, manifest).unwrap();
        assert_eq!(found.endpoints, ["https://192.168.0.5:2379"]);
        assert_eq!(
            found.cert,
            Some(PathBuf::from(
                "/etc/kubernetes/pki/etcd/healthcheck-client.crt"
            ))
        );
        let [own] = found.nodes.as_slice() else {
            panic!("{:?}", found.nodes)
        };
        assert_eq!(
            own.service,
            Some(ServiceKind::StaticPod(manifest.to_owned()))
        );
        assert_eq!(own.config_file, None);
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_its_name() {
        let error =
            Discovered::from_etcd_config("name: etcd-1\n", Path::new("etcd.conf.yml")).unwrap_err();
        assert!(error.to_string().contains("etcd.conf.yml"), "{error}");
        assert!(Discovered::from_kubeadm("kind: Pod\n", Path::new("etcd.yaml")).is_err());
    }
}
