//! Whom data belongs to: what takes the place of a member's data gets its owner, its mode and its `SELinux` label.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User};

use super::action::Directories;
use super::flags::manifest_now;
use super::service::systemd;
use super::{Error, program, sync_parent, writing};
use crate::config::{EtcdFlags, Service};

/// Where the kernel shows that `SELinux` decides.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// How long labels may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Makes a directory that is missing, and those around it; each belongs to whom the one around it does. Says whether it was missing.
///
/// Only its owner gets in; those around it are for everybody to pass, as a lost disk's mount point was.
pub(super) fn make(path: &Path) -> Result<bool, Error> {
    if path.is_dir() {
        return Ok(false);
    }
    let around = path.parent().filter(|around| *around != Path::new(""));
    let around = around.unwrap_or(Path::new("."));
    if make(around)? {
        let passable = fs::set_permissions(around, Permissions::from_mode(0o755));
        passable.map_err(writing(around))?;
    }
    let owner = fs::metadata(around).map_err(writing(around))?;
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(writing(path))?;
    give(path, (owner.uid(), owner.gid()))?;
    sync_parent(path)?;
    Ok(true)
}

/// Sees to it that etcd has a data directory of its own where a lost disk took it along. Data that are there stay as they are.
///
/// It belongs to the user that the service names (`User=` of a unit, `runAsUser` of a pod), or to whom the log's directory or the
/// directory around it belongs: on one of another user etcd ends at once with `permission denied`.
pub(super) async fn furnish(
    service: &Service,
    directories: &Directories,
) -> Result<Vec<String>, Error> {
    let path = &directories.data_dir;
    if holds_data(path) {
        return Ok(Vec::new());
    }
    let mut evidence = Vec::new();
    if make(path)? {
        evidence.push(format!("{} was missing, and was made", path.display()));
    }
    let log = directories.wal_dir.as_ref();
    let log = log.and_then(|log| fs::metadata(log).ok());
    let owner = user_of(service).await;
    let owner = owner.or_else(|| log.map(|log| (log.uid(), log.gid())));
    if let Some((uid, gid)) = owner
        && give(path, (uid, gid))?
    {
        evidence.push(format!("{} was given to {uid}:{gid}", path.display()));
    }
    Ok(evidence)
}

/// Whether anything lies in a data directory that is not of a recovery under way.
fn holds_data(path: &Path) -> bool {
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten();
    let is_ours = |name: &str| name.trim_start_matches('.').starts_with("etcdrx-");
    // A disk that was just formatted holds the latter.
    entries.any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        !is_ours(&name) && name != "lost+found"
    })
}

/// The user that the service runs etcd as, with its group; `None` where it says nothing, or names one that is not known here.
async fn user_of(service: &Service) -> Option<(u32, u32)> {
    let settings = match service {
        Service::Systemd { unit } => {
            let text = systemd::text(unit).await.ok()?;
            EtcdFlags::from_unit_alone(&text, &|path| fs::read_to_string(path).ok())
        }
        Service::StaticPod { manifest } => {
            let manifest = manifest_now(manifest);
            let text = fs::read_to_string(&manifest).ok()?;
            EtcdFlags::from_manifest(&text, &manifest.display().to_string()).ok()?
        }
        Service::Command { .. } => return None,
    };
    let user = settings.user?;
    let known = match user.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(&user),
    };
    let known = known.ok().flatten();
    let uid = known.as_ref().map(|user| user.uid.as_raw());
    let gid = known.map_or(0, |user| user.gid.as_raw());
    Some((uid.or_else(|| user.parse().ok())?, gid))
}

/// Gives one file or directory away, if it is another's; says whether it was.
pub(super) fn give(path: &Path, owner: (u32, u32)) -> Result<bool, Error> {
    let metadata = fs::symlink_metadata(path).map_err(writing(path))?;
    let is_theirs = (metadata.uid(), metadata.gid()) == owner;
    if !is_theirs {
        lchown(path, Some(owner.0), Some(owner.1)).map_err(writing(path))?;
    }
    Ok(!is_theirs)
}

/// Gives everything below `path` to whom `like` belongs, lets only its owner in, and says what was changed.
///
/// Only root can give files away: where that is not needed, nobody has to be.
pub(super) async fn own_like(like: &Path, path: &Path) -> Result<Vec<String>, Error> {
    let owner = fs::metadata(like).map_err(writing(like))?;
    let mut given = 0;
    let mut left: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        given += usize::from(give(&path, (owner.uid(), owner.gid()))?);
        let metadata = fs::symlink_metadata(&path).map_err(writing(&path))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(writing(&path))? {
                left.push(entry.map_err(writing(&path))?.path());
            }
        }
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(writing(path))?;
    let (uid, gid) = (owner.uid(), owner.gid());
    let mut evidence = Vec::new();
    if given > 0 {
        let name = path.display();
        evidence.push(format!("{name} was given to {uid}:{gid}, {given} files"));
    }
    evidence.extend(label_like(like, path).await?);
    Ok(evidence)
}

/// Gives it the label of `like`, where `SELinux` decides: what was copied may bear another one.
async fn label_like(like: &Path, path: &Path) -> Result<Option<String>, Error> {
    if !Path::new(SELINUX).exists() {
        return Ok(None);
    }
    let mut command = program::command(&["chcon", "--recursive", "--no-dereference"]);
    let mut reference = std::ffi::OsString::from("--reference=");
    reference.push(like);
    command.arg(reference).arg("--").arg(path);
    program::run(command, LIMIT).await?.success()?;
    let (path, like) = (path.display(), like.display());
    Ok(Some(format!("{path} has the SELinux label of {like}")))
}
