//! Certificates to be judged, good and bad: made with rcgen, and with the `openssl` command line what rcgen cannot make.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SignatureAlgorithm,
    date_time_ymd,
};
use tempfile::TempDir;

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// An authority that signs whatever it is given.
pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A good root with a name of its own, changed as a test likes.
    pub(crate) fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        Authority::root_with(name, key(&rcgen::PKCS_ECDSA_P256_SHA256), change)
    }

    pub(crate) fn root_with(
        name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Authority {
        let mut params = authority(name);
        change(&mut params);
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A good intermediate below it.
    pub(crate) fn below(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Authority {
        let mut params = authority(name);
        change(&mut params);
        let key = key(&rcgen::PKCS_ECDSA_P256_SHA256);
        Authority(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    /// A good leaf for servers and clients.
    pub(crate) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Forged {
        self.leaf_with(&rcgen::PKCS_ECDSA_P256_SHA256, change)
    }

    pub(crate) fn leaf_with(
        &self,
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Forged {
        let mut params = leaf();
        change(&mut params);
        let key = key(algorithm);
        Forged {
            cert: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// What a good authority of that name holds.
    pub(crate) fn params(name: &str) -> CertificateParams {
        authority(name)
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// As a pair for `openssl`.
    pub(crate) fn forged(&self) -> Forged {
        Forged {
            cert: self.pem(),
            key: self.0.key().serialize_pem(),
        }
    }
}

pub(crate) fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    in_date(&mut params);
    params.not_after += DAY * 3650;
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf() -> CertificateParams {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = common_name("leaf");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    in_date(&mut params);
    params
}

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Valid from yesterday for a year.
pub(crate) fn in_date(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970() - DAY;
    params.not_after = params.not_before + DAY * 366;
}

pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970() - DAY * 30;
    params.not_after = params.not_before + DAY * 29;
}

pub(crate) fn not_yet(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970() + DAY;
    params.not_after = params.not_before + DAY * 30;
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if !name.is_empty() {
        subject.push(DnType::CommonName, name);
    }
    subject
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(crate) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Duration::from_secs(now.unwrap().as_secs())
}

/// The `openssl` command line, for what rcgen does not make.
pub(crate) struct Openssl {
    program: PathBuf,
    folder: TempDir,
}

impl Openssl {
    /// Nothing, and a loud word, if it is not there.
    pub(crate) fn find(test: &str) -> Option<Openssl> {
        let program = system_program("openssl", test)?;
        let folder = TempDir::with_prefix("etcdrx-forge-").unwrap();
        let config = "[req]\ndistinguished_name=dn\n[dn]\n";
        fs::write(folder.path().join("req.cnf"), config).unwrap();
        Some(Openssl { program, folder })
    }

    /// A leaf; `key` is for `openssl genpkey`, `extensions` may be empty for X.509 version 1, `more` is for `openssl x509 -req`.
    pub(crate) fn leaf(&self, by: &Forged, key: &str, extensions: &str, more: &str) -> Forged {
        self.write("ca.crt", &by.cert);
        self.write("ca.key", &by.key);
        self.request("/CN=leaf", key);
        let sign = "x509 -req -in x.csr -CA ca.crt -CAkey ca.key -out x.crt -days 90";
        self.sign(sign, extensions, more)
    }

    /// A self-signed certificate.
    pub(crate) fn root(&self, name: &str, key: &str, extensions: &str, more: &str) -> Forged {
        self.request(&format!("/CN={name}"), key);
        let sign = "x509 -req -in x.csr -signkey x.key -out x.crt -days 90";
        self.sign(sign, extensions, more)
    }

    /// Whether `openssl verify` takes a leaf for `sslserver` or `sslclient`.
    pub(crate) fn verifies(&self, chain: &str, trusted: &str, purpose: &str) -> bool {
        self.write("chain.crt", chain);
        self.write("trusted.crt", trusted);
        let verify =
            format!("verify -purpose {purpose} -CAfile trusted.crt -untrusted chain.crt chain.crt");
        self.try_run(&verify).is_ok()
    }

    fn request(&self, subject: &str, key: &str) {
        self.run(&format!("genpkey -out x.key {key}"));
        let request = "req -new -config req.cnf -key x.key -out x.csr -subj";
        self.run(&format!("{request} {subject}"));
    }

    fn sign(&self, command: &str, extensions: &str, more: &str) -> Forged {
        let mut command = format!("{command} {more}");
        if !extensions.is_empty() {
            self.write("ext.cnf", extensions);
            command += " -extfile ext.cnf";
        }
        if !more.contains("-set_serial") {
            command = format!("{command} -set_serial {}", rand::random::<u32>());
        }
        self.run(&command);
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap();
        Forged {
            cert: read("x.crt"),
            key: read("x.key"),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &str) {
        if let Err(words) = self.try_run(arguments) {
            panic!("openssl {arguments}: {words}");
        }
    }

    fn try_run(&self, arguments: &str) -> Result<(), String> {
        let output = Command::new(&self.program)
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(words)
    }
}

/// A program of the system, found in `PATH`; a loud word if it is not there.
pub(crate) fn system_program(name: &str, test: &str) -> Option<PathBuf> {
    let found = crate::scratch::process::find_program(name);
    if found.is_none() {
        crate::scratch::tools::skip(test, name);
    }
    found
}
