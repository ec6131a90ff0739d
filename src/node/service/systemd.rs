//! etcd as a unit of systemd.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{ORDER_LIMIT, State};
use crate::node::action::Running;
use crate::node::{Error, program, writing};

/// Where drop-ins last until the machine starts anew.
const RUNTIME: &str = "/run/systemd/system";
/// Where those of the machine's administrator lie.
const ADMINISTRATOR: &str = "/etc/systemd/system";
/// The drop-in that keeps a unit from being started.
const HOLD: &str = "etcdrx-hold.conf";
/// An assertion that fails is an error to whoever starts the unit; a condition would be none.
const HOLD_TEXT: &str = "\
# A recovery stopped etcd here and works on its data: `etcdrx node start` removes this file.
[Unit]
AssertPathExists=/etcd-is-stopped-by-a-recovery
";

/// How many lines of the log are told.
const LOG_LINES: &str = "20";

/// How a unit is.
pub(super) async fn state(unit: &str) -> Result<State, Error> {
    let properties = show(unit).await?;
    let get = |name: &str| properties.get(name).map_or("", String::as_str);
    if get("LoadState") == "not-found" {
        return Err(Error::NoUnit {
            unit: unit.to_owned(),
        });
    }
    let running = match get("ActiveState") {
        // One that waits for a quorum is activating.
        "active" | "activating" | "reloading" | "deactivating" => Running::Running,
        "inactive" | "failed" => Running::Stopped,
        _ => Running::Unknown,
    };
    let number = |name: &str| get(name).parse::<i32>().ok();
    let exit_code = match number("ExecMainCode") {
        Some(1) => number("ExecMainStatus"),
        // Killed, or killed with a core dump.
        Some(2 | 3) => number("ExecMainStatus").map(|signal| 128 + signal),
        _ => None,
    };
    let is_held_off = get("LoadState") == "masked" || hold(unit).await.exists();
    Ok(State {
        running,
        pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        exit_code,
        is_held_off,
    })
}

/// Stops a unit, and keeps it from being started until the machine starts anew.
///
/// By a drop-in that fails its start, and not by a mask: one below /run does not hide a unit that an administrator wrote below /etc, and
/// of a masked unit systemd tells no flags any more (`systemd.unit(5)`).
pub(super) async fn stop(unit: &str) -> Result<Vec<String>, Error> {
    // First, so that nobody starts it in between.
    let path = hold(unit).await;
    let folder = path.parent().unwrap_or(Path::new(RUNTIME));
    fs::create_dir_all(folder).map_err(writing(folder))?;
    fs::write(&path, HOLD_TEXT).map_err(writing(&path))?;
    // systemd's own user may be another one than ours.
    for (path, mode) in [(folder, 0o755), (path.as_path(), 0o644)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(writing(path))?;
    }
    systemctl(&["daemon-reload"]).await?;
    // Not waited for: a unit that waits for a quorum, or is frozen, takes minutes.
    systemctl(&["stop", "--no-block", unit]).await?;
    Ok(vec![
        format!("{} keeps {unit} from being started", path.display()),
        format!("systemd was told to stop {unit}"),
    ])
}

/// Takes back what kept a unit from being started, and starts it without waiting.
pub(super) async fn start(unit: &str) -> Result<Vec<String>, Error> {
    let mut evidence = Vec::new();
    let path = hold(unit).await;
    if path.exists() {
        fs::remove_file(&path).map_err(writing(&path))?;
        systemctl(&["daemon-reload"]).await?;
        evidence.push(format!("{} is gone", path.display()));
    }
    // Whoever stopped it by hand may have masked it.
    systemctl(&["unmask", "--runtime", unit]).await?;
    // One that failed too often would not be started; a unit that never failed is no error here.
    let _ = systemctl(&["reset-failed", unit]).await;
    systemctl(&["start", "--no-block", unit]).await?;
    evidence.push(format!("systemd was told to start {unit}"));
    Ok(evidence)
}

/// The last lines of a unit's log; none where the journal is not to be had.
pub(super) async fn log(unit: &str) -> Vec<String> {
    let words = ["journalctl", "--unit", unit, "--lines", LOG_LINES];
    let mut command = program::command(&words);
    command.args(["--output", "cat", "--no-pager", "--quiet"]);
    let ended = program::run(command, ORDER_LIMIT).await;
    let said = ended.and_then(program::Ended::success).unwrap_or_default();
    said.lines().map(str::to_owned).collect()
}

/// A unit with all its drop-ins, as systemd reads them.
pub(in crate::node) async fn text(unit: &str) -> Result<String, Error> {
    systemctl(&["cat", unit]).await
}

/// Lets systemd read the files of its units again.
pub(in crate::node) async fn reload() -> Result<(), Error> {
    systemctl(&["daemon-reload"]).await.map(drop)
}

/// Where an administrator's drop-in of a unit lies.
pub(in crate::node) async fn drop_in(unit: &str, name: &str) -> PathBuf {
    folder(unit, ADMINISTRATOR).await.join(name)
}

/// The program that a unit starts.
pub(in crate::node) async fn program_of(unit: &str) -> Option<PathBuf> {
    let properties = show(unit).await.ok()?;
    // As in `{ path=/usr/bin/etcd ; argv[]=... }`.
    let after = properties.get("ExecStart")?.split_once("path=")?.1;
    let path = after.split([' ', ';']).next()?;
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

async fn hold(unit: &str) -> PathBuf {
    folder(unit, RUNTIME).await.join(HOLD)
}

/// The folder of a unit's drop-ins, below the directory that systemd searches for it.
async fn folder(unit: &str, usual: &str) -> PathBuf {
    let searched = systemctl(&["show", "--property=UnitPath", "--value"]).await;
    let searched = searched.unwrap_or_default();
    let mut searched = searched.split_whitespace();
    let directory = searched.find(|path| path.ends_with(usual));
    let unit = match unit.contains('.') {
        true => unit.to_owned(),
        false => format!("{unit}.service"),
    };
    Path::new(directory.unwrap_or(usual)).join(format!("{unit}.d"))
}

async fn show(unit: &str) -> Result<BTreeMap<String, String>, Error> {
    const PROPERTIES: &str =
        "--property=LoadState,ActiveState,MainPID,ExecMainCode,ExecMainStatus,ExecStart";
    let said = systemctl(&["show", PROPERTIES, unit]).await?;
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

async fn systemctl(words: &[&str]) -> Result<String, Error> {
    let mut command = program::command(&["systemctl"]);
    command.args(words);
    Ok(program::run(command, ORDER_LIMIT).await?.success()?)
}
