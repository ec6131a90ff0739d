//! Certificates replaced before they end: the same names and the same user, from the same authority, live without a restart.

use chrono::{DateTime, Duration, Utc};

use super::Error;
use super::inventory::{Entry, leaves};
use super::place::NewFile;
use super::signing::{Authorities, Signing};
use super::work::{Generated, Setting, Work, to_pem};
use crate::certs::authority::{self, Issued};
use crate::certs::certificate::KeyKind;
use crate::certs::judge::Usage;
use crate::certs::key::{KeyType, PrivateKey};
use crate::certs::{Certificate, profile};

/// Who is renewed whatever else: fewer days than these are left.
const LEAST_LEFT: Duration = Duration::days(30);

/// Which certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// Those of which less than a third of their life is left, or less than 30 days.
    Due,
    /// Those of members and clients of these names.
    Of(Vec<String>),
}

/// How certificates are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Which ones.
    pub which: Which,
    /// Whether they keep their keys.
    pub keeps_key: bool,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The certificate that was there.
    pub old: Certificate,
    /// Its file, below the directory.
    pub path: std::path::PathBuf,
    /// What it is for.
    pub kind: profile::Kind,
    /// The new one; none in a dry run.
    pub new: Option<Certificate>,
    /// What the new one may do that the old one could not, as etcd demands it.
    pub gained: Vec<&'static str>,
}

/// Whether a certificate should be renewed by now.
#[must_use]
pub fn is_due(certificate: &Certificate, now: DateTime<Utc>) -> bool {
    let life = certificate.not_after - certificate.not_before;
    let left = certificate.not_after - now;
    left < life / 3 || left < LEAST_LEFT
}

/// Renews certificates. A key and its certificate appear at once, and what they replace is kept.
///
/// # Errors
/// If nothing has one of the names, the authority or its key is not here, or what comes out would not do.
pub fn renew(setting: &Setting<'_>, renewal: &Renewal) -> Result<(Vec<Renewed>, Generated), Error> {
    let mut work = Work::begin(setting)?;
    let authorities = work.present_authorities()?;
    work.forget_notes();
    let mut renewed = Vec::new();
    for entry in chosen(setting, &renewal.which)? {
        let signing = signer(&entry, &authorities)?;
        let new = match renewal.dry_run {
            true => None,
            false => Some(renew_one(&mut work, &entry, signing, renewal.keeps_key)?),
        };
        renewed.push(Renewed {
            gained: gained(setting, &entry),
            path: entry.pair.certificate,
            kind: entry.kind,
            old: entry.certificate,
            new,
        });
    }
    Ok((renewed, work.finish()?))
}

fn chosen(setting: &Setting<'_>, which: &Which) -> Result<Vec<Entry>, Error> {
    let mut entries = leaves(setting)?;
    match which {
        Which::All => {}
        Which::Due => entries.retain(|entry| is_due(&entry.certificate, setting.now)),
        Which::Of(names) => {
            let unknown = |name: &&String| !entries.iter().any(|entry| entry.name == **name);
            if let Some(name) = names.iter().find(unknown) {
                return Err(Error::NobodyOfThatName {
                    name: name.clone(),
                    root: setting.root.to_owned(),
                });
            }
            entries.retain(|entry| names.contains(&entry.name));
        }
    }
    Ok(entries)
}

/// The authority that issued it.
fn signer<'a>(entry: &Entry, authorities: &'a Authorities) -> Result<&'a Signing, Error> {
    let issuer = &entry.certificate.issuer;
    let all = [Some(&authorities.ca), authorities.of_peers().ok()];
    let found = all
        .into_iter()
        .flatten()
        .find(|signing| signing.certificate.subject.der == issuer.der);
    found.ok_or_else(|| Error::IssuedElsewhere {
        path: entry.pair.certificate.clone(),
        issuer: issuer.text.clone(),
    })
}

/// Issues a successor of `entry` and plans to write it.
pub(super) fn renew_one(
    work: &mut Work<'_>,
    entry: &Entry,
    signing: &Signing,
    keeps_key: bool,
) -> Result<Certificate, Error> {
    let setting = work.setting();
    let old = &entry.certificate;
    let authority = signing.with_key(setting.root)?;
    let mut profile = (setting.profiles)(entry.kind);
    profile.common_name = old.subject.common_name.clone().unwrap_or_default();
    profile.key_type = key_type(&old.key.kind).unwrap_or(profile.key_type);
    let request = authority::Request {
        profile: &profile,
        name: &entry.name,
        hosts: old.hosts().into_iter().collect(),
    };
    let issue = |source| Error::Issue { source };
    // A key that is elsewhere is kept: what it has signed for it is all that can be renewed here.
    if keeps_key || entry.key.is_none() {
        let certificate = authority.certify(&request, &old.key.der, setting.now);
        let certificate = certificate.map_err(issue)?;
        plan(work, entry, None, &certificate);
        return Ok(certificate);
    }
    let Issued { certificate, key } = authority.issue(&request, setting.now).map_err(issue)?;
    plan(work, entry, Some(&key), &certificate);
    Ok(certificate)
}

fn plan(work: &mut Work<'_>, entry: &Entry, key: Option<&PrivateKey>, certificate: &Certificate) {
    if let Some(key) = key {
        work.plan(NewFile::key(&entry.pair.key, key, true));
    }
    let path = &entry.pair.certificate;
    work.plan(NewFile::public(path, to_pem(certificate), true));
    work.note(entry.kind, path, true, certificate);
}

/// The type that makes a key of this kind.
fn key_type(kind: &KeyKind) -> Option<KeyType> {
    match kind {
        KeyKind::Rsa(bits) if *bits >= 4096 => Some(KeyType::Rsa4096),
        KeyKind::Rsa(bits) if *bits >= 3072 => Some(KeyType::Rsa3072),
        KeyKind::Rsa(_) => Some(KeyType::Rsa2048),
        KeyKind::P256 => Some(KeyType::EcdsaP256),
        KeyKind::P384 => Some(KeyType::EcdsaP384),
        KeyKind::P521 => Some(KeyType::EcdsaP521),
        KeyKind::Ed25519 => Some(KeyType::Ed25519),
        _ => None,
    }
}

fn gained(setting: &Setting<'_>, entry: &Entry) -> Vec<&'static str> {
    let Some(old) = &entry.certificate.extended_key_usage else {
        return Vec::new();
    };
    let usages = (setting.profiles)(entry.kind).extended_key_usage;
    let lacked = usages.into_iter().filter(|usage| match usage {
        Usage::Server => !old.server_auth && !old.any,
        Usage::Client => !old.client_auth && !old.any,
    });
    lacked.map(Usage::oid_name).collect()
}
