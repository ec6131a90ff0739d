//! Whom data belongs to: what takes the place of a member's data gets its owner, its mode and its `SELinux` label.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, program, sync_parent, writing};

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
