//! Where the files of a cluster's certificates lie.

use std::path::{Path, PathBuf};

use super::profile::Kind;

/// A custom of naming them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// A directory a member, which is the member's bundle; clients beside them.
    #[default]
    Etcdrx,
    /// As kubeadm has them below `/etc/kubernetes/pki`, a directory a control plane node; one authority.
    Kubeadm,
    /// As `cfssl` names them: `server.pem` and `server-key.pem`.
    Cfssl,
}

/// A certificate and its key, relative to the directory of them all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Layout {
    /// Where an authority lies. Its key is apart from everything that goes to a member.
    #[must_use]
    pub fn authority(self, kind: Kind) -> Pair {
        self.pair("", "private", kind.name())
    }

    /// The copy of an authority's certificate in a member's bundle.
    #[must_use]
    pub fn bundled(self, kind: Kind, member: &str) -> PathBuf {
        self.pair(&self.directory(member), "", kind.name())
            .certificate
    }

    /// Where a member's certificate lies.
    #[must_use]
    pub fn of_member(self, kind: Kind, member: &str) -> Pair {
        let directory = self.directory(member);
        self.pair(&directory, &directory, kind.name())
    }

    /// Where a client's certificate lies.
    #[must_use]
    pub fn of_client(self, name: &str) -> Pair {
        self.pair("clients", "clients", name)
    }

    /// The clients that belong to a member's bundle, by their common names.
    #[must_use]
    pub fn bundled_clients(self, member: &str) -> Vec<(&'static str, Pair)> {
        let etcd = self.directory(member);
        match self {
            Self::Etcdrx | Self::Cfssl => Vec::new(),
            Self::Kubeadm => vec![
                (
                    "kube-etcd-healthcheck-client",
                    self.pair(&etcd, &etcd, "healthcheck-client"),
                ),
                (
                    "kube-apiserver-etcd-client",
                    self.pair(member, member, "apiserver-etcd-client"),
                ),
            ],
        }
    }

    fn directory(self, member: &str) -> String {
        match self {
            Self::Etcdrx | Self::Cfssl => member.to_owned(),
            Self::Kubeadm => format!("{member}/etcd"),
        }
    }

    fn pair(self, directory: &str, key_directory: &str, name: &str) -> Pair {
        let (certificate, key) = match self {
            Self::Etcdrx | Self::Kubeadm => (format!("{name}.crt"), format!("{name}.key")),
            Self::Cfssl => (format!("{name}.pem"), format!("{name}-key.pem")),
        };
        Pair {
            certificate: Path::new(directory).join(certificate),
            key: Path::new(key_directory).join(key),
        }
    }

    /// Whether it knows one authority only.
    #[must_use]
    pub fn has_one_authority(self) -> bool {
        self == Self::Kubeadm
    }

    /// Where a member's bundle lies on its node, by custom.
    #[must_use]
    pub fn on_node(self) -> &'static Path {
        Path::new(match self {
            Self::Etcdrx | Self::Cfssl => "/etc/etcd/pki",
            Self::Kubeadm => "/etc/kubernetes/pki/etcd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(pair: &Pair) -> String {
        format!("{} {}", pair.certificate.display(), pair.key.display())
    }

    #[test]
    fn every_layout_names_files_as_its_custom_is() {
        let server = |layout: Layout| pair(&layout.of_member(Kind::Server, "m1"));
        assert_eq!(server(Layout::Etcdrx), "m1/server.crt m1/server.key");
        assert_eq!(
            server(Layout::Kubeadm),
            "m1/etcd/server.crt m1/etcd/server.key"
        );
        assert_eq!(server(Layout::Cfssl), "m1/server.pem m1/server-key.pem");
        let authority = |layout: Layout| pair(&layout.authority(Kind::PeerCa));
        assert_eq!(authority(Layout::Etcdrx), "peer-ca.crt private/peer-ca.key");
        assert_eq!(
            authority(Layout::Cfssl),
            "peer-ca.pem private/peer-ca-key.pem"
        );
    }
}
