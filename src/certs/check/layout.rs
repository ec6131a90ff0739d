//! Finds the files: in the layout of `etcdrx certs gen` and of kubeadm, or where a member's flags say.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Client, File, Member, Pair, Subject};
use crate::config::{self, EtcdFlags};

/// Why there is nothing to check.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The directory cannot be listed.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// What says how a member is started cannot be read.
    #[error("{} does not say how the member is started", .path.display())]
    Flags {
        path: PathBuf,
        source: Box<config::Error>,
    },

    /// It holds nothing that is called as certificates of etcd are.
    #[error("{} holds no certificates of etcd", .path.display())]
    Nothing { path: PathBuf },
}

/// Reads a file, or notes why that is not possible.
#[must_use]
pub fn read_file(path: &Path) -> File {
    File {
        path: path.to_owned(),
        content: fs::read(path).map_err(|error| format!("it cannot be read: {error}")),
        mode: fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode()),
    }
}

/// Reads a directory with the certificates of a whole cluster, or of one member.
///
/// A member's `etcd.conf.yml`, `etcd.yaml` (the pod) or `etcd.service` beside its certificates says how it is started.
///
/// # Errors
/// If it cannot be listed, or holds nothing of the kind.
pub fn read_directory(directory: &Path) -> Result<Subject, Error> {
    let mut subject = Subject::default();
    if is_member(directory) {
        subject.members.push(member_in(directory, None)?);
    }
    for folder in folders(directory)? {
        if is_member(&folder) {
            subject.members.push(member_in(&folder, Some(directory))?);
        }
    }
    let trusted = existing(&directory.join("ca.crt"));
    for path in clients_in(directory)? {
        subject.clients.push(Client {
            pair: pair(&path),
            trusted: trusted.clone(),
        });
    }
    match subject.members.is_empty() && subject.clients.is_empty() {
        true => Err(Error::Nothing {
            path: directory.to_owned(),
        }),
        false => Ok(subject),
    }
}

/// Reads a directory that holds one directory for each member, as it was collected from them.
///
/// # Errors
/// If it cannot be listed, or holds no member.
pub fn read_inventory(directory: &Path) -> Result<Subject, Error> {
    let mut subject = Subject::default();
    for folder in folders(directory)? {
        // An empty collection of one member must not hide the others.
        match read_directory(&folder) {
            Ok(one) => {
                subject.members.extend(one.members);
                subject.clients.extend(one.clients);
            }
            Err(Error::Nothing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match subject.members.is_empty() {
        true => Err(Error::Nothing {
            path: directory.to_owned(),
        }),
        false => Ok(subject),
    }
}

/// Reads the files that a member's flags name.
#[must_use]
pub fn read_member(flags: EtcdFlags) -> Member {
    let file = |flag: &str| flags.get(flag).map(|path| read_file(Path::new(path)));
    let pair = |cert: &str, key: &str| {
        Some(Pair {
            cert: file(cert)?,
            key: file(key),
        })
    };
    Member {
        name: flags.get("name").unwrap_or("default").to_owned(),
        server: pair("cert-file", "key-file"),
        peer: pair("peer-cert-file", "peer-key-file"),
        client: pair("client-cert-file", "client-key-file"),
        peer_client: pair("peer-client-cert-file", "peer-client-key-file"),
        trusted: file("trusted-ca-file"),
        peer_trusted: file("peer-trusted-ca-file"),
        authority_keys: Vec::new(),
        flags,
    }
}

/// Finds the files in a directory that are called as certificates are, however deep; copies of what was replaced are left out.
///
/// # Errors
/// If it cannot be listed.
pub fn find_certificates(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    /// Deeper than any layout goes, and not deep enough for a link to lead in a circle for long.
    const DEEPEST: usize = 5;
    let mut found = Vec::new();
    let mut folders = vec![(directory.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for path in entries(&folder)? {
            let kind = path.extension().and_then(|kind| kind.to_str());
            if path.is_dir() && depth < DEEPEST {
                if !path.ends_with("replaced") {
                    folders.push((path, depth + 1));
                }
            } else if matches!(kind, Some("crt" | "pem" | "cert")) && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_member(directory: &Path) -> bool {
    ["server.crt", "peer.crt"]
        .iter()
        .any(|name| directory.join(name).is_file())
}

/// A member whose authorities lie with it, or in the directory above.
fn member_in(directory: &Path, above: Option<&Path>) -> Result<Member, Error> {
    let authority = |name: &str| {
        let above = above.and_then(|above| existing(&above.join(name)));
        existing(&directory.join(name)).or(above)
    };
    let with_key = |name: &str| {
        let path = directory.join(name);
        path.is_file().then(|| pair(&path))
    };
    let keys = ["ca.key", "peer-ca.key"].map(|name| directory.join(name));
    let name = directory.file_name().unwrap_or(directory.as_os_str());
    Ok(Member {
        name: name.to_string_lossy().into_owned(),
        flags: flags_in(directory)?,
        server: with_key("server.crt"),
        peer: with_key("peer.crt"),
        client: None,
        peer_client: None,
        trusted: authority("ca.crt"),
        peer_trusted: authority("peer-ca.crt").or_else(|| authority("ca.crt")),
        authority_keys: keys.into_iter().filter(|key| key.is_file()).collect(),
    })
}

/// How a member is started, if what says so was collected with its certificates.
fn flags_in(directory: &Path) -> Result<EtcdFlags, Error> {
    type Read = fn(&str, &str) -> Result<EtcdFlags, config::Error>;
    let kinds: [(&str, Read); 4] = [
        ("etcd.conf.yml", EtcdFlags::from_config),
        ("etcd.conf.yaml", EtcdFlags::from_config),
        ("etcd.yaml", EtcdFlags::from_manifest),
        ("etcd.service", |text, _| Ok(EtcdFlags::from_unit(text))),
    ];
    for (name, read) in kinds {
        let path = directory.join(name);
        if !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let flags = read(&text, &path.to_string_lossy());
        let mut flags = flags.map_err(|source| Error::Flags {
            source: Box::new(source),
            path,
        })?;
        // The paths are those of the member's machine: here, everything lies in one place.
        for list in ["client-crl-file", "peer-crl-file"] {
            if let Some(value) = flags.values.get_mut(list) {
                let file = directory.join(Path::new(value).file_name().unwrap_or_default());
                *value = file.to_string_lossy().into_owned();
            }
        }
        return Ok(flags);
    }
    Ok(EtcdFlags::default())
}

/// The certificates of clients, of the health check included.
fn clients_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let health = directory.join("healthcheck-client.crt");
    found.extend(health.is_file().then_some(health));
    let clients = directory.join("clients");
    if clients.is_dir() {
        let files = entries(&clients)?.into_iter();
        found.extend(files.filter(|path| path.extension().is_some_and(|kind| kind == "crt")));
    }
    Ok(found)
}

fn pair(cert: &Path) -> Pair {
    Pair {
        cert: read_file(cert),
        key: Some(read_file(&cert.with_extension("key"))),
    }
}

fn existing(path: &Path) -> Option<File> {
    path.exists().then(|| read_file(path))
}

fn folders(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = entries(directory)?.into_iter();
    Ok(entries.filter(|path| path.is_dir()).collect())
}

/// What a directory holds, by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(directory)?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(|source| Error::Read {
        path: directory.to_owned(),
        source,
    })
}
