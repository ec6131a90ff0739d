//! Whom data belongs to: what takes the place of a member's data gets its owner, its mode and its `SELinux` label.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, program, writing};

/// Where the kernel shows that `SELinux` decides.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// How long labels may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Gives everything below `path` to whom `like` belongs, lets only its owner in, and says what was changed.
///
/// Only root can give files away: where that is not needed, nobody has to be.
pub(super) async fn own_like(like: &Path, path: &Path) -> Result<Vec<String>, Error> {
    let owner = fs::metadata(like).map_err(writing(like))?;
    let mut given = 0;
    let mut left: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).map_err(writing(&path))?;
        if (metadata.uid(), metadata.gid()) != (owner.uid(), owner.gid()) {
            lchown(&path, Some(owner.uid()), Some(owner.gid())).map_err(writing(&path))?;
            given += 1;
        }
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
