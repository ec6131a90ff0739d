//! Clients shut out before their certificates end, by a revocation list that etcd reads at every connection.

use std::path::{Path, PathBuf};

use super::inventory::members;
use super::place::NewFile;
use super::work::{Setting, Work};
use super::{Error, read, read_certificates};
use crate::certs::profile::Kind;
use crate::certs::revocation::RevocationList;

/// A revocation list that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its file; every member's bundle has a copy of the same name.
    pub path: PathBuf,
    /// The serial numbers that it holds, in hex.
    pub serials: Vec<String>,
    /// How many of them are new.
    pub added: usize,
}

/// Adds the certificates of these files to the revocation list of the client port's authority, and signs it anew. With no
/// files it is only signed anew.
///
/// # Errors
/// If a file is of another authority, which etcd does not tell apart: it compares serial numbers only.
pub fn revoke(setting: &Setting<'_>, files: &[PathBuf]) -> Result<Revoked, Error> {
    let mut work = Work::begin(setting)?;
    let authorities = work.present_authorities()?;
    let signing = &authorities.ca;
    let authority = signing.with_key(setting.root)?;
    let certificate = setting.layout.authority(Kind::Ca).certificate;
    let path = certificate.with_extension("crl");
    let list_error = |source| Error::RevocationList {
        path: setting.root.join(&path),
        source,
    };
    let there = read(&setting.root.join(&path))?;
    let mut list = match &there {
        Some(der) => RevocationList::from_der(der, &authority.certificate).map_err(list_error)?,
        None => RevocationList::default(),
    };
    let before = list.revoked.len();
    for file in files {
        let serial = serial_of(file, &authority.certificate.subject.der)?;
        list.revoked.entry(serial).or_insert(setting.now);
    }
    let der = authority
        .revocation_list(&list, setting.now)
        .map_err(list_error)?;
    let copies = members(setting)?.into_iter().map(|member| {
        let bundle = setting.layout.bundled(Kind::Ca, &member);
        bundle.with_extension("crl")
    });
    for path in copies.chain([path.clone()]) {
        let replaces = setting.root.join(&path).exists();
        work.plan(NewFile::public(&path, der.clone(), replaces));
    }
    work.finish()?;
    Ok(Revoked {
        path: setting.root.join(path),
        serials: list.revoked.keys().map(hex::encode).collect(),
        added: list.revoked.len() - before,
    })
}

fn serial_of(file: &Path, issuer: &[u8]) -> Result<Vec<u8>, Error> {
    let certificates = read_certificates(file)?.ok_or_else(|| Error::NotThere {
        path: file.to_owned(),
    })?;
    let certificate = &certificates[0];
    match certificate.issuer.der == issuer {
        true => Ok(certificate.serial.clone()),
        false => Err(Error::IssuedElsewhere {
            path: file.to_owned(),
            issuer: certificate.issuer.text.clone(),
        }),
    }
}
