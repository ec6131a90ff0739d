//! Keys that stay where they are made, and authorities that were made elsewhere.

use std::path::{Path, PathBuf};

use super::place::NewFile;
use super::work::{Generated, Setting, Work, all_hosts, to_pem};
use super::{Error, Found, read, read_certificates, read_key};
use crate::certs::Host;
use crate::certs::authority::{self, Authority};
use crate::certs::key::PrivateKey;
use crate::certs::layout::Pair;
use crate::certs::profile::Kind;
use crate::certs::signing_request::SigningRequest;

/// Where a key and its signing request were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The key.
    pub key: PathBuf,
    /// The request.
    pub request: PathBuf,
}

/// Makes a signing request where the key is to stay, and the key where there is none.
///
/// # Errors
/// If the key cannot be used, or a file cannot be written.
pub fn request<'h>(
    setting: &Setting<'_>,
    kind: Kind,
    name: &str,
    hosts: impl Iterator<Item = &'h Host>,
) -> Result<Requested, Error> {
    let pair = pair_of(setting, kind, name);
    let profile = (setting.profiles)(kind);
    let issue = |source| Error::Issue { source };
    let hosts = all_hosts(&profile, hosts).map_err(issue)?;
    let mut work = Work::begin(setting)?;
    let found = Found::at(setting.root, &pair)?;
    let is_new = found.key.is_none();
    let key = match found.key {
        Some(key) => Ok(key),
        None => PrivateKey::generate(profile.key_type),
    };
    let key = key.map_err(|source| issue(authority::Error::Key { source }))?;
    if is_new {
        work.plan(NewFile::key(&pair.key, &key, false));
    }
    let common_name = profile.common_name.replace("{name}", name);
    let text = SigningRequest::create(&key, &common_name, &hosts)
        .map_err(|source| Error::Request { source })?;
    let path = pair.certificate.with_extension("csr");
    // An older request is of no use once there is a newer one.
    let replaces = setting.root.join(&path).exists();
    work.plan(NewFile::public(&path, text, replaces));
    work.finish()?;
    Ok(Requested {
        key: setting.root.join(pair.key),
        request: setting.root.join(path),
    })
}

/// Reads a signing request.
///
/// # Errors
/// If the file is not there, or holds none that is signed with its own key.
pub fn read_request(path: &Path) -> Result<SigningRequest, Error> {
    let bytes = read(path)?.ok_or_else(|| Error::NotThere {
        path: path.to_owned(),
    })?;
    SigningRequest::from_pem(&bytes).map_err(|source| Error::BadRequest {
        path: path.to_owned(),
        source,
    })
}

/// Signs for a public key, and writes the certificate to `output`.
///
/// # Errors
/// If the authority's key is not here, what comes out would not do, or the file is there already and may not be replaced.
pub fn sign(
    setting: &Setting<'_>,
    kind: Kind,
    name: &str,
    (hosts, public_key): (&[Host], &[u8]),
    output: &Path,
) -> Result<Generated, Error> {
    let mut held = Work::begin(setting)?;
    let authorities = held.present_authorities()?;
    let profile = (setting.profiles)(kind);
    let wanted = authority::Request {
        profile: &profile,
        name,
        hosts: hosts.to_vec(),
    };
    let signing = authorities.signing(&profile)?;
    let authority = signing.with_key(setting.root)?;
    let certificate = authority
        .certify(&wanted, public_key, setting.now)
        .map_err(|source| Error::Issue { source })?;
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = Path::new(output.file_name().unwrap_or_default());
    if output.exists() && !setting.replace {
        return Err(Error::WouldReplace {
            path: output.to_owned(),
            why: "another file is there".to_owned(),
        });
    }
    // The certificate may go into the same directory, which the next one holds then.
    drop(held);
    let beside = Setting {
        root: directory,
        ..*setting
    };
    let mut work = Work::begin(&beside)?;
    work.note(kind, file, true, &certificate);
    work.plan(NewFile::public(file, to_pem(&certificate), output.exists()));
    work.finish()
}

/// Takes authorities that were made elsewhere, after proving on a trial certificate that etcd accepts what they sign.
///
/// # Errors
/// If one cannot be used, or there is another one already.
pub fn import(
    setting: &Setting<'_>,
    ca: (&Path, &Path),
    peer_ca: Option<(&Path, &Path)>,
) -> Result<Generated, Error> {
    let mut work = Work::begin(setting)?;
    import_one(&mut work, setting, Kind::Ca, ca)?;
    if let Some(peer_ca) = peer_ca {
        import_one(&mut work, setting, Kind::PeerCa, peer_ca)?;
    }
    work.finish()
}

fn import_one(
    work: &mut Work<'_>,
    setting: &Setting<'_>,
    kind: Kind,
    (certificate_path, key_path): (&Path, &Path),
) -> Result<(), Error> {
    let missing = |path: &Path| Error::NotThere {
        path: path.to_owned(),
    };
    let certificates =
        read_certificates(certificate_path)?.ok_or_else(|| missing(certificate_path))?;
    let key = read_key(key_path)?.ok_or_else(|| missing(key_path))?;
    let own = certificates
        .iter()
        .find(|certificate| key.fits(certificate));
    let certificate = own.unwrap_or(&certificates[0]).clone();
    let pair = setting.layout.authority(kind);
    let found = Found::at(setting.root, &pair)?;
    let is_there = found
        .certificates
        .is_some_and(|there| there.contains(&certificate));
    if setting.root.join(&pair.certificate).exists() && !is_there && !setting.replace {
        return Err(Error::WouldReplace {
            path: setting.root.join(&pair.certificate),
            why: "it is another authority".to_owned(),
        });
    }
    let there = |path: &Path| setting.root.join(path).exists();
    let key_file = NewFile::key(&pair.key, &key, there(&pair.key));
    Authority::open(certificate.clone(), key, setting.now)
        .map_err(|source| Error::Issue { source })?;
    work.note(kind, &pair.certificate, !is_there, &certificate);
    if is_there && found.key.is_some() {
        return Ok(());
    }
    let text: String = certificates.iter().map(to_pem).collect();
    let path = &pair.certificate;
    work.plan(key_file);
    work.plan(NewFile::public(path, text, there(path)));
    Ok(())
}

/// Where the certificate of a member or client lies.
pub(super) fn pair_of(setting: &Setting<'_>, kind: Kind, name: &str) -> Pair {
    match kind.is_of_a_member() {
        true => setting.layout.of_member(kind, name),
        false => setting.layout.of_client(name),
    }
}
