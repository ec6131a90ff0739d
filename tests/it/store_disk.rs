//! A directory as repository on a bad day: full, read-only, not there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scratch::tools::function_name;
use crate::scratch::{Etcdrx, process, program, tools};
use crate::setup::{Workplace, assert_ends};
use crate::store_setup::{backup, large_cluster, listed, small_cluster};

/// A small file system in memory; unmounted when dropped.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of `kib` KiB below `workplace`; `None` where that is not allowed, which is said loudly.
    pub(crate) fn of(workplace: &Workplace, kib: u32, test: &str) -> Option<Disk> {
        let path = workplace.path("disk");
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={kib}k,mode=0700");
        let path_text = path.to_str().unwrap();
        if !mount(&["-t", "tmpfs", "-o", &options, "etcdrx-test", path_text]) {
            tools::skip(test, "mount, as root,");
            return None;
        }
        Some(Disk { path })
    }

    /// Mounts it anew with these options: `size=64000k`, `ro`.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options, self.path.to_str().unwrap()]));
    }

    /// The program with its repository on this disk.
    fn etcdrx(&self, workplace: &Workplace) -> Etcdrx {
        let url = format!("file://{}", self.path.display());
        workplace.etcdrx().env("ETCDRX_REPOSITORY_URL", url)
    }

    /// All that lies on it, folders too.
    pub(crate) fn content(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.push(path);
            }
        }
        found
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(umount) = process::find_program("umount") {
            let mut command = process::command(&umount);
            command.arg("--lazy").arg(&self.path);
            program::run(command, Duration::from_secs(10));
        }
    }
}

fn mount(arguments: &[&str]) -> bool {
    let Some(mount) = process::find_program("mount") else {
        return false;
    };
    let mut command = process::command(&mount);
    command.args(arguments);
    program::run(command, Duration::from_secs(10)).code == 0
}

#[tokio::test]
async fn a_disk_that_gets_full_holds_nothing_of_the_backup_and_takes_one_when_there_is_space() {
    let cluster = large_cluster().await;
    let workplace = Workplace::of(&cluster);
    let Some(disk) = Disk::of(&workplace, 7_000, &function_name!()) else {
        return;
    };
    let etcdrx = disk.etcdrx(&workplace);

    let output = etcdrx.run(["backup"]);

    assert_ends(
        &output,
        1,
        &["no space left to write", "free space, or prune"],
    );
    assert_eq!(listed(&etcdrx), [""; 0]);
    assert_eq!(disk.content(), Vec::<PathBuf>::new());
    disk.remount("size=64000k");
    backup(&etcdrx);
    etcdrx.run(["verify", "--all"]).success();
}

/// A page more each time: first there is no room for the lock, then for the data, then for the manifest.
#[tokio::test]
async fn wherever_the_disk_gets_full_nothing_is_listed_and_nothing_stays() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let mut refusals = Vec::new();
    for pages in 1..=20 {
        let Some(disk) = Disk::of(&workplace, pages * 4, &function_name!()) else {
            return;
        };
        let etcdrx = disk.etcdrx(&workplace);

        let output = etcdrx.run(["backup"]);

        if output.code == 0 {
            assert_eq!(listed(&etcdrx).len(), 1);
            break;
        }
        assert_ends(&output, 1, &["no space left", "hint: free space"]);
        assert_eq!(listed(&etcdrx), [""; 0], "{output:?}");
        assert_eq!(disk.content(), Vec::<PathBuf>::new(), "{output:?}");
        refusals.push(output.stderr);
    }
    for object in ["/locks/", "/snapshot.db.zst", "/manifest.json"] {
        let met = refusals.iter().any(|refusal| refusal.contains(object));
        assert!(met, "the disk was never full for {object}: {refusals:#?}");
    }
}

#[tokio::test]
async fn a_read_only_repository_can_be_read_and_refuses_the_rest() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let Some(disk) = Disk::of(&workplace, 4_000, &function_name!()) else {
        return;
    };
    let etcdrx = disk.etcdrx(&workplace);
    backup(&etcdrx);
    backup(&etcdrx);

    disk.remount("ro");

    let etcdrx = etcdrx
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0");
    for command in [&["backup"][..], &["prune", "--yes"], &["pin", "latest"]] {
        let output = etcdrx.run(command);
        assert_ends(
            &output,
            1,
            &["does not allow us to", "Read-only file system"],
        );
    }
    assert_eq!(listed(&etcdrx).len(), 2);
    let verified = etcdrx.run(["verify", "--all"]).success();
    assert!(
        verified.stderr.contains("the result is not recorded"),
        "{verified:?}"
    );
    etcdrx.run(["fetch", "latest", "-o", "out.db"]).success();
}

#[tokio::test]
async fn a_missing_directory_is_made_but_never_the_one_above_it() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let mounted = workplace.path("mnt");
    let etcdrx = workplace.etcdrx();
    let at = |path: &Path| {
        let url = format!("file://{}", path.display());
        etcdrx.clone().env("ETCDRX_REPOSITORY_URL", url)
    };
    let wanted = at(&mounted.join("backups"));

    let unmounted = wanted.run(["backup"]);
    let read = wanted.run(["list"]);
    fs::create_dir(&mounted).unwrap();
    let made = wanted.run(["backup"]);

    assert_ends(
        &unmounted,
        5,
        &["cannot create the repository directory", "is it mounted"],
    );
    assert_ends(&read, 5, &["does not exist", "is it mounted?"]);
    made.success();
    assert_eq!(listed(&wanted).len(), 1);
    let mode = fs::metadata(mounted.join("backups"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_file_in_the_directorys_place_is_told_as_such() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    fs::write(workplace.repository(), "not a directory").unwrap();

    for command in ["backup", "list"] {
        let output = workplace.etcdrx().run([command]);
        assert_ends(&output, 2, &["a file is in the place of the directory"]);
    }
}
