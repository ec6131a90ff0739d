//! Getting a snapshot out: the right bytes at the right place, or none.

use std::fs;
use std::os::unix::fs::symlink;

use crate::scratch::tools::function_name;
use crate::setup::{Workplace, assert_ends};
use crate::store_disk::Disk;
use crate::store_setup::sha256;
use crate::store_specimen::{specimens, workplace};

const ID: &str = "20260101T000000Z-000001";

async fn planted() -> Workplace {
    let workplace = workplace();
    specimens().await[0].plant(&workplace, ID);
    workplace
}

#[tokio::test]
async fn a_pipe_gets_the_same_bytes_as_a_file() {
    let workplace = planted().await;
    let etcdrx = workplace.etcdrx();

    etcdrx.run(["fetch", "latest", "-o", "file.db"]).success();
    let piped = etcdrx.run(["fetch", "2026", "-o", "-"]).success();

    let file = workplace.path("file.db");
    assert_eq!(piped.stdout_bytes, fs::read(&file).unwrap());
    assert_eq!(
        sha256(&file),
        specimens().await[0].manifest["snapshot_sha256"]
    );
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    let workplace = planted().await;
    fs::write(workplace.path("file.db"), "precious").unwrap();
    symlink("nowhere", workplace.path("link.db")).unwrap();
    fs::create_dir(workplace.path("folder")).unwrap();

    for target in ["file.db", "link.db", "folder"] {
        let output = workplace.etcdrx().run(["fetch", ID, "-o", target]);
        assert_ends(&output, 4, &["exists already", "hint: nothing was written"]);
    }
    assert_eq!(fs::read(workplace.path("file.db")).unwrap(), b"precious");
    assert!(!workplace.path("nowhere").exists());
}

#[tokio::test]
async fn a_target_that_cannot_be_made_is_told() {
    let workplace = planted().await;

    let missing = workplace
        .etcdrx()
        .run(["fetch", ID, "-o", "missing/file.db"]);
    let unknown = workplace.etcdrx().run(["fetch", "2027", "-o", "file.db"]);

    assert_ends(
        &missing,
        1,
        &["cannot write missing/file.db", "No such file or directory"],
    );
    assert_ends(
        &unknown,
        2,
        &[
            "no backup's id begins with `2027`",
            "`etcdrx list` shows the ids",
        ],
    );
}

#[tokio::test]
async fn a_full_disk_gets_nothing() {
    let workplace = planted().await;
    let Some(disk) = Disk::of(&workplace, 16, &function_name!()) else {
        return;
    };

    let output = workplace.etcdrx().run(["fetch", ID, "-o", "disk/file.db"]);

    println!("{output:?}");
    assert_ends(&output, 1, &["No space left", "is the disk full?"]);
    assert_eq!(disk.content(), Vec::<std::path::PathBuf>::new());
}
