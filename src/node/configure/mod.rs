//! Who the members are, written into a member's settings: nothing else changes, and what was written is read back.

mod lines;
mod unit;
mod yaml;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::action::Answer;
use super::aside::{beside, exists, rename};
use super::flags::{FORCE, place_in};
use super::service::{static_pod, systemd};
use super::{Error, done, sync_parent, writing};
use crate::config::{EtcdFlags, Settings};
use crate::datadir::membership::Membership;

/// What stands before a file's name while it is written: a kubelet reads no file that begins with a dot.
const UNFINISHED: &str = "etcdrx-unfinished";

/// What is to stand in the settings.
pub(super) struct Wanted<'a> {
    /// All members, as `--initial-cluster` takes them.
    pub(super) initial_cluster: &'a str,
    /// `new` or `existing`.
    pub(super) state: &'a str,
    /// The token, where it is to be another.
    pub(super) token: Option<&'a str>,
}

impl Wanted<'_> {
    /// The flags and their values.
    fn values(&self) -> Vec<(&'static str, &str)> {
        let mut values = vec![
            ("initial-cluster", self.initial_cluster),
            ("initial-cluster-state", self.state),
        ];
        values.extend(self.token.map(|token| ("initial-cluster-token", token)));
        values
    }

    /// Refuses what etcd would refuse, and what no file could hold in one line.
    fn check(&self) -> Result<(), Error> {
        Membership::parse(self.initial_cluster, self.token.unwrap_or_default())
            .map_err(|source| Error::Membership { source })?;
        let known = ["new", "existing"].contains(&self.state);
        let plain = |text: &str| {
            text.chars()
                .all(|sign| sign.is_ascii_graphic() && !"\"'\\$%`#".contains(sign))
        };
        let unfit = self.values().into_iter().find(|(_, value)| !plain(value));
        match unfit {
            _ if !known => Err(Error::BadState {
                state: self.state.to_owned(),
            }),
            Some((flag, value)) => Err(Error::BadValue {
                flag,
                value: value.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// What the flags must be after the edit.
    fn applied_to(&self, before: &EtcdFlags) -> std::collections::BTreeMap<String, String> {
        let mut values = before.values.clone();
        for (flag, value) in self.values() {
            values.insert(flag.to_owned(), value.to_owned());
        }
        if before.is_on(FORCE) {
            values.remove(FORCE);
        }
        values
    }
}

/// A kind of file: how it is read, and how it is edited.
struct Form {
    parse: fn(&str, &str) -> Result<EtcdFlags, crate::config::Error>,
    /// Gives the text with these values, and without `force-new-cluster` where that is asked for.
    edit: fn(&str, &[(&str, &str)], bool) -> String,
}

const CONFIG_FILE: Form = Form {
    parse: EtcdFlags::from_config,
    edit: yaml::edit,
};

const ENVIRONMENT_FILE: Form = Form {
    parse: |text, _| Ok(EtcdFlags::from_environment(text)),
    edit: lines::edit_variables,
};

const MANIFEST: Form = Form {
    parse: EtcdFlags::from_manifest,
    edit: lines::edit_manifest,
};

/// Writes `wanted` into the settings.
pub(super) async fn configure(
    settings: &Settings,
    wanted: &Wanted<'_>,
    run: &str,
) -> Result<Answer, Error> {
    wanted.check()?;
    let copy = |path: &Path| beside(path, &format!("etcdrx-{run}"));
    match settings {
        Settings::ConfigFile { path } => edit_file(path, &copy(path), &CONFIG_FILE, wanted),
        Settings::EnvironmentFile { path } => {
            edit_file(path, &copy(path), &ENVIRONMENT_FILE, wanted)
        }
        Settings::Manifest { path } => {
            let away = static_pod::away(path, run);
            let now = if exists(path) { path } else { &away };
            // Beside the manifest, the kubelet would take the copy for another pod.
            edit_file(now, &beside(&away, "before"), &MANIFEST, wanted)
        }
        Settings::Unit { unit } => {
            let text = systemd::text(unit).await?;
            let flags = EtcdFlags::from_unit_and_files(&text, |path| fs::read_to_string(path).ok());
            match flags.get("config-file").map(PathBuf::from) {
                Some(path) => edit_file(&path, &copy(&path), &CONFIG_FILE, wanted),
                None => unit::edit(unit, &text, &flags, wanted, run).await,
            }
        }
    }
}

fn edit_file(path: &Path, copy: &Path, form: &Form, wanted: &Wanted<'_>) -> Result<Answer, Error> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
    };
    let origin = path.display().to_string();
    let parse = |text: &str| {
        let parsed = (form.parse)(text, &origin);
        parsed.map_err(|source| Error::Settings { source })
    };
    let text = read(path)?;
    let before = parse(&text)?;
    let expected = wanted.applied_to(&before);
    if before.values == expected {
        let evidence = format!("{origin} says so already");
        return Ok(done(false, vec![evidence]));
    }
    let edited = (form.edit)(&text, &wanted.values(), before.is_on(FORCE));
    // Nothing is written that would not read as it is meant.
    if !parse(&edited).is_ok_and(|after| after.values == expected) {
        return Err(Error::CannotEdit {
            path: path.to_owned(),
            wanted: by_hand(wanted, &before, &origin, &text),
        });
    }
    if !exists(copy) {
        keep(path, copy)?;
    }
    replace(path, &edited)?;
    if parse(&read(path)?)?.values != expected {
        return Err(Error::NotReadBack {
            path: path.to_owned(),
        });
    }
    let mut evidence = vec![
        format!("{origin} was edited"),
        format!("{} is what it was before", copy.display()),
    ];
    if before.is_on(FORCE) {
        let place = place_in(&origin, &text);
        evidence.push(format!("force-new-cluster was taken out: {place}"));
    }
    Ok(done(true, evidence))
}

/// What a person must see to in the file.
fn by_hand(wanted: &Wanted<'_>, before: &EtcdFlags, origin: &str, text: &str) -> String {
    let values = wanted.values();
    let mut lines: Vec<String> = values
        .iter()
        .map(|(flag, value)| format!("{flag}: {value}"))
        .collect();
    if before.is_on(FORCE) {
        lines.push(format!("no {FORCE} ({})", place_in(origin, text)));
    }
    lines.join(", ")
}

/// Copies a file with its owner and mode.
fn keep(path: &Path, copy: &Path) -> Result<(), Error> {
    if let Some(folder) = copy.parent() {
        fs::create_dir_all(folder).map_err(writing(folder))?;
    }
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    write_like(path, copy, &bytes)
}

/// Puts other content in the place of a file, at once; owner and mode stay, and a link still leads to it.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let real = fs::canonicalize(path).map_err(writing(path))?;
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let temporary = real.with_file_name(format!(".{name}.{UNFINISHED}"));
    let written = write_like(&real, &temporary, text.as_bytes());
    let written = written.and_then(|()| rename(&temporary, &real));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes a file that has the owner and the mode of another.
fn write_like(like: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let metadata = fs::metadata(like).map_err(writing(like))?;
    let mut file = File::create(path).map_err(writing(path))?;
    let ours = file.metadata().map_err(writing(path))?;
    let mode = metadata.mode() & 0o7777;
    let permitted = file.set_permissions(Permissions::from_mode(mode & 0o700));
    permitted.map_err(writing(path))?;
    if (ours.uid(), ours.gid()) != (metadata.uid(), metadata.gid()) {
        chown(path, Some(metadata.uid()), Some(metadata.gid())).map_err(writing(path))?;
    }
    // Only now may others read it: a change of owner takes bits away.
    file.set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .map_err(writing(path))?;
    sync_parent(path)
}
