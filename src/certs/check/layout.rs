//! Finds the files: in the layouts of `etcdrx certs gen`, which are those of kubeadm and cfssl, too, or where a member's flags say.

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

/// The key that belongs to a certificate, by the custom that its name follows: `x.crt` and `x.key`, or `x.pem` and `x-key.pem`.
#[must_use]
pub fn key_beside(cert: &Path) -> PathBuf {
    let plain = cert.with_extension("key");
    let stem = cert.file_stem().unwrap_or_default().to_string_lossy();
    let of_cfssl = cert.with_file_name(format!("{stem}-key.pem"));
    let is_pem = cert.extension().is_some_and(|kind| kind == "pem");
    match of_cfssl.is_file() || is_pem && !plain.is_file() {
        true => of_cfssl,
        false => plain,
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
    let trusted = found(directory, "ca").map(|path| read_file(&path));
    if is_member(directory) {
        subject.members.push(member_in(directory, None)?);
    }
    add_clients(directory, trusted.as_ref(), &mut subject)?;
    for folder in folders(directory)? {
        // kubeadm keeps what is etcd's in a directory of its own.
        let within = folder.join("etcd");
        for bundle in [&folder, &within] {
            if is_member(bundle) {
                let mut member = member_in(bundle, Some(directory))?;
                member.name = name_of(&folder);
                for place in [&folder, &within] {
                    add_clients(place, member.trusted.as_ref(), &mut subject)?;
                }
                subject.members.push(member);
            }
        }
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

/// Adds what is started with these flags on this machine: a member, or a proxy, which is a client.
pub fn add_started(flags: EtcdFlags, subject: &mut Subject) {
    match pair_of(&flags, "cert", "key").filter(|_| flags.get("endpoints").is_some()) {
        Some(pair) => subject.clients.push(Client {
            pair,
            trusted: None,
            is_proxy: true,
        }),
        None => subject.members.push(member_of(flags).on_this_machine()),
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
    found(directory, "server").is_some() || found(directory, "peer").is_some()
}

/// A certificate by its name without the ending, for which there are two customs.
fn found(directory: &Path, stem: &str) -> Option<PathBuf> {
    let paths = ["crt", "pem"].map(|kind| directory.join(format!("{stem}.{kind}")));
    paths.into_iter().find(|path| path.is_file())
}

fn name_of(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or(directory.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The files that a member's flags name.
fn member_of(flags: EtcdFlags) -> Member {
    let file = |flag: &str| flags.get(flag).map(|path| read_file(Path::new(path)));
    Member {
        name: flags.get("name").unwrap_or("default").to_owned(),
        server: pair_of(&flags, "cert-file", "key-file"),
        peer: pair_of(&flags, "peer-cert-file", "peer-key-file"),
        client: pair_of(&flags, "client-cert-file", "client-key-file"),
        peer_client: pair_of(&flags, "peer-client-cert-file", "peer-client-key-file"),
        trusted: file("trusted-ca-file"),
        peer_trusted: file("peer-trusted-ca-file"),
        flags,
        ..Member::default()
    }
}

fn pair_of(flags: &EtcdFlags, cert: &str, key: &str) -> Option<Pair> {
    let file = |flag: &str| flags.get(flag).map(|path| read_file(Path::new(path)));
    Some(Pair {
        cert: file(cert)?,
        key: file(key),
    })
}

/// A member whose authorities lie with it, or in the directory above.
fn member_in(directory: &Path, above: Option<&Path>) -> Result<Member, Error> {
    let authority = |name: &str| {
        let above = above.and_then(|above| found(above, name));
        let path = found(directory, name).or(above)?;
        Some(read_file(&path))
    };
    let with_key = |name: &str| found(directory, name).map(|path| pair(&path));
    let keys = ["ca.key", "peer-ca.key", "ca-key.pem", "peer-ca-key.pem"];
    let keys = keys.map(|name| directory.join(name));
    Ok(Member {
        name: name_of(directory),
        flags: flags_in(directory)?,
        server: with_key("server"),
        peer: with_key("peer"),
        trusted: authority("ca"),
        peer_trusted: authority("peer-ca").or_else(|| authority("ca")),
        authority_keys: keys.into_iter().filter(|key| key.is_file()).collect(),
        ..Member::default()
    })
}

/// How a member is started, if what says so was collected with its certificates.
fn flags_in(directory: &Path) -> Result<EtcdFlags, Error> {
    type Read<'a> = &'a dyn Fn(&str, &str) -> Result<EtcdFlags, config::Error>;
    // The paths are those of the member's machine: here, everything lies in one place.
    let here = |path: &Path| directory.join(path.file_name().unwrap_or_default());
    let kinds: [(&str, Read<'_>); 4] = [
        ("etcd.conf.yml", &EtcdFlags::from_config),
        ("etcd.conf.yaml", &EtcdFlags::from_config),
        ("etcd.yaml", &EtcdFlags::from_manifest),
        ("etcd.service", &|text, _| {
            EtcdFlags::from_unit(text, &|path| fs::read_to_string(here(path)).ok())
        }),
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
        for list in ["client-crl-file", "peer-crl-file"] {
            if let Some(value) = flags.values.get_mut(list) {
                *value = here(Path::new(value)).to_string_lossy().into_owned();
            }
        }
        flags.values.remove("data-dir");
        return Ok(flags);
    }
    Ok(EtcdFlags::default())
}

/// Adds the certificates of clients, of the health check and of Kubernetes' API server included.
fn add_clients(
    directory: &Path,
    trusted: Option<&File>,
    subject: &mut Subject,
) -> Result<(), Error> {
    let own = ["healthcheck-client", "apiserver-etcd-client"];
    let mut paths: Vec<PathBuf> = own
        .iter()
        .filter_map(|name| found(directory, name))
        .collect();
    let clients = directory.join("clients");
    if clients.is_dir() {
        paths.extend(entries(&clients)?.into_iter().filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".crt") || name.ends_with(".pem") && !name.ends_with("-key.pem")
        }));
    }
    subject.clients.extend(paths.iter().map(|path| Client {
        pair: pair(path),
        trusted: trusted.cloned(),
        is_proxy: path.file_stem().is_some_and(|stem| stem == "proxy"),
    }));
    Ok(())
}

fn pair(cert: &Path) -> Pair {
    Pair {
        cert: read_file(cert),
        key: Some(read_file(&key_beside(cert))),
    }
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
