//! Certificates for scratch clusters: good ones as etcdrx issues them, and bad ones to be refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// The names that every scratch server answers to.
pub(crate) const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: Duration = Duration::from_hours(24);

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) cert: PathBuf,
    /// The PKCS#8 key, readable by its owner only.
    pub(crate) key: PathBuf,
}

/// What the two servers of one member show.
#[derive(Clone, Debug)]
pub(crate) struct MemberIdentity {
    /// For the client port.
    pub(crate) server: Identity,
    /// For the peer port, in both directions.
    pub(crate) peer: Identity,
}

/// A client CA and a peer CA, with what they issued, in the layout of `etcdrx certs gen`.
pub(crate) struct Pki {
    directory: PathBuf,
    authority: Authority,
    peer_authority: Authority,
    foreign_authority: Authority,
}

/// What stands in a leaf; the defaults are a good server certificate.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    common_name: String,
    names: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    begins_days_ago: u32,
    ends_in_days: i32,
}

impl Leaf {
    /// serverAuth and clientAuth, for loopback, valid for a year.
    pub(crate) fn server(common_name: &str) -> Leaf {
        Leaf {
            common_name: common_name.to_owned(),
            names: NAMES.map(str::to_owned).to_vec(),
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            begins_days_ago: 1,
            ends_in_days: 365,
        }
    }

    /// clientAuth, no names, valid for a year; the common name is the etcd user.
    pub(crate) fn client(common_name: &str) -> Leaf {
        Leaf {
            names: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            ..Leaf::server(common_name)
        }
    }

    /// The names and addresses that it stands for.
    pub(crate) fn names(mut self, names: &[&str]) -> Leaf {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// What it may be used for.
    pub(crate) fn usages(mut self, usages: &[ExtendedKeyUsagePurpose]) -> Leaf {
        self.usages = usages.to_vec();
        self
    }

    /// When it ends; a negative number of days is in the past.
    pub(crate) fn ends_in_days(mut self, days: i32) -> Leaf {
        self.ends_in_days = days;
        self.begins_days_ago = days.unsigned_abs() + 30;
        self
    }
}

impl Pki {
    /// Makes the authorities below `directory`, which need not exist yet.
    pub(crate) fn create(directory: &Path) -> Pki {
        let private = directory.join("private");
        fs::create_dir_all(&private)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", private.display()));
        let authority = Authority::new("etcd-ca");
        let peer_authority = Authority::new("etcd-peer-ca");
        let foreign_authority = Authority::new("another-ca");
        authority.write(&directory.join("ca.crt"), &private.join("ca.key"));
        peer_authority.write(&directory.join("peer-ca.crt"), &private.join("peer-ca.key"));
        foreign_authority.write(
            &directory.join("other-ca.crt"),
            &private.join("other-ca.key"),
        );
        Pki {
            directory: directory.to_owned(),
            authority,
            peer_authority,
            foreign_authority,
        }
    }

    /// Where everything lies.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The CA of servers and clients.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The CA of peers.
    pub(crate) fn peer_ca(&self) -> PathBuf {
        self.directory.join("peer-ca.crt")
    }

    /// A CA that no server here trusts.
    pub(crate) fn other_ca(&self) -> PathBuf {
        self.directory.join("other-ca.crt")
    }

    /// Issues `<name>/server.crt` and `<name>/peer.crt`.
    pub(crate) fn member(&self, name: &str) -> MemberIdentity {
        let folder = self.directory.join(name);
        let peer = Leaf::server("etcd-peer");
        MemberIdentity {
            server: self.issue(&Leaf::server(name), &folder.join("server")),
            peer: self.peer_authority.issue(&peer, &folder.join("peer")),
        }
    }

    /// Issues `clients/<common name>.crt`.
    pub(crate) fn client(&self, common_name: &str) -> Identity {
        self.issue(&Leaf::client(common_name), &self.client_path(common_name))
    }

    /// A client certificate that ended yesterday.
    pub(crate) fn expired_client(&self, common_name: &str) -> Identity {
        let path = self.client_path(&format!("{common_name}-expired"));
        self.issue(&Leaf::client(common_name).ends_in_days(-1), &path)
    }

    /// A client certificate that an authority issued which no server here trusts.
    pub(crate) fn foreign_client(&self, common_name: &str) -> Identity {
        let path = self.client_path(&format!("{common_name}-foreign"));
        self.foreign_authority
            .issue(&Leaf::client(common_name), &path)
    }

    /// A client certificate that may only be used by servers.
    pub(crate) fn client_for_servers_only(&self, common_name: &str) -> Identity {
        let path = self.client_path(&format!("{common_name}-server-auth"));
        let leaf = Leaf::client(common_name).usages(&[ExtendedKeyUsagePurpose::ServerAuth]);
        self.issue(&leaf, &path)
    }

    /// A server certificate that ended yesterday, as `<name>/server-expired.crt`.
    pub(crate) fn expired_server(&self, name: &str) -> Identity {
        let path = self.directory.join(name).join("server-expired");
        self.issue(&Leaf::server(name).ends_in_days(-1), &path)
    }

    /// Issues a leaf of the client CA as `<path>.crt` and `<path>.key`.
    pub(crate) fn issue(&self, leaf: &Leaf, path: &Path) -> Identity {
        self.authority.issue(leaf, path)
    }

    /// Issues a leaf of the peer CA as `<path>.crt` and `<path>.key`.
    pub(crate) fn issue_peer(&self, leaf: &Leaf, path: &Path) -> Identity {
        self.peer_authority.issue(leaf, path)
    }

    fn client_path(&self, name: &str) -> PathBuf {
        self.directory.join("clients").join(name)
    }
}

/// Makes aws-lc-rs the TLS of this process, once.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    // It fails when the program installed one already: then that one it is.
    ONCE.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

/// A self-signed CA whose subject no other has.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        let common_name = format!("{name}-{:08x}", rand::random::<u32>());
        params.distinguished_name = distinguished_name(&common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.not_before = date_time_ymd(1970, 1, 1) + now() - DAY * 365;
        params.not_after = date_time_ymd(1970, 1, 1) + now() + DAY * 3650;
        let key = KeyPair::generate().expect("P-256 keys can be made");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a CA can sign itself"))
    }

    fn issue(&self, leaf: &Leaf, path: &Path) -> Identity {
        let mut params =
            CertificateParams::new(leaf.names.clone()).expect("the names are host names");
        params.distinguished_name = distinguished_name(&leaf.common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&leaf.usages);
        params.use_authority_key_identifier_extension = true;
        let now = date_time_ymd(1970, 1, 1) + now();
        params.not_before = now - DAY * leaf.begins_days_ago;
        params.not_after = match DAY * leaf.ends_in_days.unsigned_abs() {
            days if leaf.ends_in_days < 0 => now - days,
            days => now + days,
        };
        let key = KeyPair::generate().expect("P-256 keys can be made");
        let cert = params
            .signed_by(&key, &self.0)
            .expect("the leaf can be signed");
        // Not with_extension: a common name may hold a dot.
        let cert_path = PathBuf::from(format!("{}.crt", path.display()));
        let key_path = PathBuf::from(format!("{}.key", path.display()));
        write_pair(&cert_path, &cert.pem(), &key_path, &key)
    }

    fn write(&self, cert: &Path, key: &Path) {
        write_pair(cert, &self.0.pem(), key, self.0.key());
    }
}

fn distinguished_name(common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// The time since 1970, in whole seconds, as certificates count it.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Duration::from_secs(now.expect("the clock is past 1970").as_secs())
}

fn write_pair(cert: &Path, pem: &str, key: &Path, key_pair: &KeyPair) -> Identity {
    let folder = cert.parent().expect("certificates lie in a folder");
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(cert, pem))
        .and_then(|()| write_private(key, &key_pair.serialize_pem()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", cert.display()));
    Identity {
        cert: cert.to_owned(),
        key: key.to_owned(),
    }
}

fn write_private(path: &Path, pem: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(pem.as_bytes())
}
