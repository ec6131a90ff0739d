//! What a directory holds: every certificate of a member or a client, with its kind and name.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::work::Setting;
use super::{Error, Found, client_kind};
use crate::certs::Certificate;
use crate::certs::key::PrivateKey;
use crate::certs::layout::{Layout, Pair};
use crate::certs::profile::Kind;

/// A certificate that is there.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) pair: Pair,
    pub(super) certificate: Certificate,
    /// Its key, unless that is elsewhere.
    pub(super) key: Option<PrivateKey>,
}

/// Every leaf below the directory, members first, by their names.
pub(super) fn leaves(setting: &Setting<'_>) -> Result<Vec<Entry>, Error> {
    let layout = setting.layout;
    let mut places = Vec::new();
    for member in members(setting)? {
        for kind in [Kind::Server, Kind::Peer] {
            places.push((kind, member.clone(), layout.of_member(kind, &member)));
        }
        for (user, pair) in layout.bundled_clients(&member) {
            places.push((Kind::Client, user.to_owned(), pair));
        }
    }
    for client in clients(setting)? {
        let pair = layout.of_client(&client);
        places.push((client_kind(&client), client, pair));
    }
    let mut leaves = Vec::new();
    for (kind, name, pair) in places {
        let found = Found::at(setting.root, &pair)?;
        let Some(certificate) = found.certificates.and_then(|all| all.into_iter().next()) else {
            continue;
        };
        leaves.push(Entry {
            kind,
            name,
            pair,
            certificate,
            key: found.key,
        });
    }
    Ok(leaves)
}

/// The names of the members that have directories here.
pub(super) fn members(setting: &Setting<'_>) -> Result<Vec<String>, Error> {
    let names = names_in(setting.root)?.into_iter();
    Ok(names
        .filter(|name| {
            let bundle = setting.layout.bundled(Kind::Ca, name);
            setting.root.join(bundle).exists()
        })
        .collect())
}

fn clients(setting: &Setting<'_>) -> Result<Vec<String>, Error> {
    let extension = match setting.layout {
        Layout::Etcdrx | Layout::Kubeadm => ".crt",
        Layout::Cfssl => ".pem",
    };
    let names = names_in(&setting.root.join("clients"))?.into_iter();
    let names = names.filter_map(|name| name.strip_suffix(extension).map(str::to_owned));
    Ok(names.filter(|name| !name.ends_with("-key")).collect())
}

/// The names in a directory, in order; none if it is not there.
fn names_in(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not UTF-8 is none of ours.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
