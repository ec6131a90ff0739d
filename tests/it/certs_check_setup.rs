//! The certificates of three members, to be broken and then checked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use tempfile::TempDir;

use crate::certs_forge::{Authority, Forged};
use crate::scratch::{Etcdrx, Output};

/// Certificates in the layout of `certs gen`, for the members m1, m2 and m3.
pub(crate) struct Pki {
    pub(crate) folder: TempDir,
    pub(crate) ca: Authority,
    pub(crate) peer_ca: Authority,
}

impl Pki {
    pub(crate) fn good() -> Pki {
        let pki = Pki {
            folder: TempDir::with_prefix("etcdrx-check-").unwrap(),
            ca: Authority::root("etcd-ca", |_| ()),
            peer_ca: Authority::root("etcd-peer-ca", |_| ()),
        };
        for (number, member) in ["m1", "m2", "m3"].iter().enumerate() {
            let address = |params: &mut CertificateParams| {
                let ip = format!("10.0.0.{}", number + 1).parse().unwrap();
                params.subject_alt_names.push(SanType::IpAddress(ip));
            };
            pki.write_pair(&format!("{member}/server"), &pki.ca.leaf(address));
            pki.write_pair(&format!("{member}/peer"), &pki.peer_ca.leaf(address));
            pki.write(&format!("{member}/ca.crt"), pki.ca.pem());
            pki.write(&format!("{member}/peer-ca.crt"), pki.peer_ca.pem());
        }
        pki.write("ca.crt", pki.ca.pem());
        pki.write("peer-ca.crt", pki.peer_ca.pem());
        pki.write_pair("clients/root", &pki.ca.leaf(client));
        pki
    }

    /// Replaces m1's server certificate.
    pub(crate) fn server(&self, change: impl FnOnce(&mut CertificateParams)) {
        self.write_pair("m1/server", &self.ca.leaf(change));
    }

    /// Replaces m1's peer certificate.
    pub(crate) fn peer(&self, change: impl FnOnce(&mut CertificateParams)) {
        self.write_pair("m1/peer", &self.peer_ca.leaf(change));
    }

    /// Replaces the authority of servers and clients, and all that it signed.
    pub(crate) fn authority(&mut self, change: impl FnOnce(&mut CertificateParams)) {
        self.ca = Authority::root("etcd-ca", change);
        for member in ["m1", "m2", "m3"] {
            self.write_pair(&format!("{member}/server"), &self.ca.leaf(|_| ()));
            self.write(&format!("{member}/ca.crt"), self.ca.pem());
        }
        self.write("ca.crt", self.ca.pem());
        self.write_pair("clients/root", &self.ca.leaf(client));
    }

    pub(crate) fn write_pair(&self, name: &str, forged: &Forged) {
        self.write(&format!("{name}.crt"), &forged.cert);
        self.write(&format!("{name}.key"), &forged.key);
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.mode(name, 0o600);
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.path(name), permissions).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration file of m1, with more lines at its top and in its section for clients.
    pub(crate) fn config(&self, top: &str, section: &str) -> PathBuf {
        let folder = self.path("m1").display().to_string();
        let text = format!(
            "name: m1
listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379
advertise-client-urls: https://10.0.0.1:2379
listen-peer-urls: https://10.0.0.1:2380
initial-advertise-peer-urls: https://10.0.0.1:2380
{top}
client-transport-security:
  cert-file: {folder}/server.crt
  key-file: {folder}/server.key
  trusted-ca-file: {folder}/ca.crt
  client-cert-auth: true
{section}
peer-transport-security:
  cert-file: {folder}/peer.crt
  key-file: {folder}/peer.key
  trusted-ca-file: {folder}/peer-ca.crt
  client-cert-auth: true
"
        );
        let path = self.path("etcd.conf.yml");
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn check(&self, arguments: &[&str]) -> Output {
        let directory = self.folder.path().to_string_lossy().into_owned();
        let mut all = vec!["--json", "certs", "check"];
        all.extend(arguments);
        if arguments.is_empty() || arguments == ["--strict"] {
            all.push(&directory);
        }
        etcdrx(self.folder.path()).run(all)
    }

    /// The codes of the findings.
    pub(crate) fn codes(&self, arguments: &[&str]) -> BTreeSet<String> {
        codes(&self.check(arguments))
    }
}

pub(crate) fn client(params: &mut CertificateParams) {
    params.subject_alt_names = vec![];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

pub(crate) fn etcdrx(folder: &Path) -> Etcdrx {
    Etcdrx::new(env!("CARGO_BIN_EXE_etcdrx")).directory(folder)
}

pub(crate) fn codes(output: &Output) -> BTreeSet<String> {
    let document = output.json();
    let findings = document["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}
