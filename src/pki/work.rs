//! What is there is taken, what is missing is issued, and everything is written at once in the end.

use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::hold::{create, lock};
use super::place::{NewFile, place};
use super::signing::{Authorities, Peers, Signing};
use super::{Error, Found};
use crate::certs::authority::{self, Authority, Issued};
use crate::certs::judge::judge;
use crate::certs::key::PrivateKey;
use crate::certs::layout::{Layout, Pair};
use crate::certs::pem;
use crate::certs::profile::{Kind, Profile};
use crate::certs::{Certificate, Host};

/// The directory, and how things are done in it.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The directory.
    pub root: &'a Path,
    /// How files are named.
    pub layout: Layout,
    /// The profile of each kind.
    pub profiles: &'a dyn Fn(Kind) -> Profile,
    /// Whether the client port's authority signs for the peer port, too.
    pub single_authority: bool,
    /// Whether files that are something else may be replaced; they are kept.
    pub replace: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

impl<'a> Setting<'a> {
    /// Our own layout and profiles, an authority for each port, and nothing replaced.
    #[must_use]
    pub fn of(root: &'a Path, now: DateTime<Utc>) -> Self {
        Self {
            root,
            layout: Layout::Etcdrx,
            profiles: &Profile::embedded,
            single_authority: false,
            replace: false,
            now,
        }
    }
}

/// What became of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its file, below the directory.
    pub path: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// Whether it was made now; else it was there and right.
    pub is_new: bool,
    /// The certificate.
    pub certificate: Certificate,
}

/// What is there now.
#[derive(Debug)]
pub struct Generated {
    /// Every certificate.
    pub certificates: Vec<Made>,
    /// Where replaced files were put, if any were.
    pub replaced: Option<PathBuf>,
}

pub(super) struct Work<'a> {
    setting: &'a Setting<'a>,
    /// The directory, locked, if there is one.
    lock: Option<File>,
    made: Vec<Made>,
    files: Vec<NewFile>,
}

impl<'a> Work<'a> {
    /// Begins; no other run may be at work in the directory until this one is done.
    pub(super) fn begin(setting: &'a Setting<'a>) -> Result<Self, Error> {
        Ok(Self {
            setting,
            lock: lock(setting.root)?,
            made: Vec::new(),
            files: Vec::new(),
        })
    }

    /// Writes what was planned.
    pub(super) fn finish(self) -> Result<Generated, Error> {
        let setting = self.setting;
        let replaced = aside(setting);
        let any_replaced = self.files.iter().any(|file| file.replaces);
        // Who makes the directory holds it.
        let _lock = match self.lock {
            None if !self.files.is_empty() => create(setting.root)?,
            lock => lock,
        };
        place(setting.root, &self.files, &replaced)?;
        Ok(Generated {
            certificates: self.made,
            replaced: any_replaced.then(|| setting.root.join(replaced)),
        })
    }

    pub(super) fn setting(&self) -> &'a Setting<'a> {
        self.setting
    }

    /// Forgets what was noted of certificates that are only used here.
    pub(super) fn forget_notes(&mut self) {
        self.made.clear();
    }

    /// Adds a file to what will be written.
    pub(super) fn plan(&mut self, file: NewFile) {
        self.files.push(file);
    }

    /// Takes or makes the authorities.
    pub(super) fn authorities(&mut self) -> Result<Authorities, Error> {
        let ca = self.authority(Kind::Ca)?;
        let peers = match self.setting.single_authority || self.is_of_one_authority()? {
            true => Peers::TheSame,
            false => Peers::Own(Box::new(self.authority(Kind::PeerCa)?)),
        };
        Ok(Authorities { ca, peers })
    }

    /// Takes the authorities that are there, of which the client port's must be.
    pub(super) fn present_authorities(&mut self) -> Result<Authorities, Error> {
        let file = |kind| {
            let pair = self.setting.layout.authority(kind);
            self.setting.root.join(pair.certificate)
        };
        let (certificate, of_peers) = (file(Kind::Ca), file(Kind::PeerCa));
        if !certificate.exists() {
            return Err(Error::NoAuthority { certificate });
        }
        if !self.setting.single_authority && !of_peers.exists() {
            return Ok(Authorities {
                ca: self.authority(Kind::Ca)?,
                peers: Peers::Nobody(of_peers),
            });
        }
        self.authorities()
    }

    /// Whether the directory was begun with one authority: its two files are then the same.
    fn is_of_one_authority(&self) -> Result<bool, Error> {
        let file = |kind| {
            let pair = self.setting.layout.authority(kind);
            super::read(&self.setting.root.join(pair.certificate))
        };
        let ca = file(Kind::Ca)?;
        Ok(ca.is_some() && ca == file(Kind::PeerCa)?)
    }

    fn profile(&self, kind: Kind) -> Profile {
        (self.setting.profiles)(kind)
    }

    /// Takes the authority that is there, or makes one.
    fn authority(&mut self, kind: Kind) -> Result<Signing, Error> {
        let (root, now) = (self.setting.root, self.setting.now);
        let pair = self.setting.layout.authority(kind);
        let found = Found::at(root, &pair)?;
        let issue = |source| Error::Issue { source };
        if let Some(certificates) = found.certificates {
            let text = certificates.iter().map(to_pem).collect();
            let fits = |certificate: &&Certificate| {
                found.key.as_ref().is_none_or(|key| key.fits(certificate))
            };
            let certificate = certificates.iter().find(fits).unwrap_or(&certificates[0]);
            self.note(kind, &pair.certificate, false, certificate);
            let open = |key| Authority::open(certificate.clone(), key, now).map_err(issue);
            return Ok(Signing {
                certificate: certificate.clone(),
                text,
                authority: found.key.map(open).transpose()?,
                pair,
                trusted: certificates,
            });
        }
        let profile = self.profile(kind);
        let place = match found.key {
            Some(_) => Place::KeyAlone,
            None => Place::Free,
        };
        let Issued { certificate, key } =
            Authority::create(&profile, found.key, now).map_err(issue)?;
        let text = to_pem(&certificate);
        self.note(kind, &pair.certificate, true, &certificate);
        self.write(&pair, &key, &certificate, place);
        Ok(Signing {
            authority: Some(Authority::open(certificate.clone(), key, now).map_err(issue)?),
            trusted: vec![certificate.clone()],
            certificate,
            text,
            pair,
        })
    }

    /// Puts the copy of an authority into a member's bundle, where it is not yet.
    pub(super) fn bundle(&mut self, path: PathBuf, text: &str) -> Result<(), Error> {
        let there = super::read(&self.setting.root.join(&path))?;
        if there.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        if there.is_some() && !self.setting.replace {
            return Err(Error::WouldReplace {
                path: self.setting.root.join(path),
                why: "it is not the authority of this directory".to_owned(),
            });
        }
        self.files
            .push(NewFile::public(&path, text, there.is_some()));
        Ok(())
    }

    pub(super) fn leaf<'h>(
        &mut self,
        kind: Kind,
        name: &str,
        hosts: impl Iterator<Item = &'h Host>,
        pair: Pair,
        authorities: &Authorities,
    ) -> Result<(), Error> {
        let (root, now) = (self.setting.root, self.setting.now);
        let profile = self.profile(kind);
        let signing = authorities.signing(&profile)?;
        let wanted = authority::Request {
            profile: &profile,
            name,
            hosts: all_hosts(&profile, hosts).map_err(|source| Error::Issue { source })?,
        };
        let found = Found::at(root, &pair)?;
        let certificate = found.certificates.as_ref().map(|all| &all[0]);
        let difference = certificate
            .map(|certificate| difference(certificate, found.key.as_ref(), &wanted, signing, now));
        match (certificate, difference) {
            (Some(certificate), Some(None)) => {
                self.note(kind, &pair.certificate, false, certificate);
                return Ok(());
            }
            (Some(_), Some(Some(why))) if !self.setting.replace => {
                let path = root.join(pair.certificate);
                return Err(Error::WouldReplace { path, why });
            }
            _ => {}
        }
        let authority = signing.with_key(root)?;
        let issue = |source| Error::Issue { source };
        let (issued, place) = match (found.key, certificate) {
            (Some(key), None) => {
                let certificate = authority.certify(&wanted, &key.public_key(), now);
                let certificate = certificate.map_err(issue)?;
                (Issued { certificate, key }, Place::KeyAlone)
            }
            (_, there) => {
                let place = match there {
                    Some(_) => Place::Taken,
                    None => Place::Free,
                };
                (authority.issue(&wanted, now).map_err(issue)?, place)
            }
        };
        self.note(kind, &pair.certificate, true, &issued.certificate);
        self.write(&pair, &issued.key, &issued.certificate, place);
        Ok(())
    }

    pub(super) fn note(
        &mut self,
        kind: Kind,
        path: &Path,
        is_new: bool,
        certificate: &Certificate,
    ) {
        self.made.push(Made {
            path: path.to_owned(),
            kind,
            is_new,
            certificate: certificate.clone(),
        });
    }

    /// Plans to write a key, unless it is the one that was found, and then its certificate.
    fn write(&mut self, pair: &Pair, key: &PrivateKey, certificate: &Certificate, found: Place) {
        let replaces = found == Place::Taken;
        if found != Place::KeyAlone {
            self.plan(NewFile::key(&pair.key, key, replaces));
        }
        let text = to_pem(certificate);
        self.plan(NewFile::public(&pair.certificate, text, replaces));
    }
}

/// What stood where a pair is to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    /// A key without its certificate, as a killed run leaves it; it is taken up.
    KeyAlone,
    Taken,
}

/// The member's hosts and those that the profile adds.
pub(super) fn all_hosts<'h>(
    profile: &Profile,
    hosts: impl Iterator<Item = &'h Host>,
) -> Result<Vec<Host>, authority::Error> {
    let mut all: Vec<Host> = hosts.cloned().collect();
    for name in &profile.names {
        let host = name
            .parse::<Host>()
            .map_err(|source| authority::Error::Profile {
                kind: profile.kind,
                source,
            })?;
        if !all.contains(&host) {
            all.push(host);
        }
    }
    Ok(all)
}

/// What keeps the certificate that is there from being the one that is wanted.
fn difference(
    certificate: &Certificate,
    key: Option<&PrivateKey>,
    wanted: &authority::Request<'_>,
    signing: &Signing,
    now: DateTime<Utc>,
) -> Option<String> {
    let Some(key) = key else {
        return Some("its key is missing".to_owned());
    };
    if !key.fits(certificate) {
        return Some("its key is another's".to_owned());
    }
    let common_name = wanted.profile.common_name.replace("{name}", wanted.name);
    let own = certificate.subject.common_name.clone().unwrap_or_default();
    if own != common_name {
        return Some(format!("it is of `{own}`, and not of `{common_name}`"));
    }
    let hosts = certificate.hosts();
    if let Some(missing) = wanted.hosts.iter().find(|host| !hosts.contains(host)) {
        return Some(format!("it does not answer to {missing}"));
    }
    let trusted = &signing.trusted;
    let usages = wanted.profile.extended_key_usage.iter();
    let mut refusals = usages.filter_map(|usage| {
        let chain = std::slice::from_ref(certificate);
        judge(chain, trusted, *usage, now).err()
    });
    refusals.next().map(|refusal| refusal.to_string())
}

/// Where this run puts what it replaces: a directory of its own.
fn aside(setting: &Setting<'_>) -> PathBuf {
    let moment = setting.now.format("%Y%m%dT%H%M%SZ");
    let names = (1..).map(|count| match count {
        1 => Path::new("replaced").join(moment.to_string()),
        count => Path::new("replaced").join(format!("{moment}-{count}")),
    });
    let mut free = names.filter(|name| !setting.root.join(name).exists());
    free.next().expect("numbers do not end")
}

pub(super) fn to_pem(certificate: &Certificate) -> String {
    pem::write("CERTIFICATE", certificate.der())
}
