//! A member that is made the only one of its cluster, and goes on with its id and its data: for who insists on both.

use std::fs::{self, File};
use std::path::Path;

use super::action::{Answer, Directories};
use super::alone::{self, Alone, Room};
use super::aside::{ensure_movable, ensure_unheld, exists, set_aside};
use super::inspect::folders;
use super::own::own_like;
use super::salvage::{self, ensure_complete};
use super::stage::{Staged, ids_in, put_in_place};
use super::{Error, done, writing};
use crate::backend::{Store, contents};
use crate::etcd;
use crate::id::MemberId;
use crate::progress::Progress;
use crate::sandbox::{self, Sandbox, Search};

/// Runs etcd once with `--force-new-cluster` on a copy of the member's directory, sets that directory aside, and puts the copy in its place.
///
/// The flag stands on the command line of that one etcd, which listens on loopback only, and nowhere else. The copy's log is committed
/// to its end first, so that nothing in it is thrown away. The member's own directory is not written to, only renamed: until then it is
/// the only one that counts, and a copy that a killed run left is made anew.
pub(super) async fn force(
    directories: &Directories,
    etcd: Option<&Path>,
    run: &str,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    let places = directories.aside(run);
    let is_begun = places.iter().any(|(_, aside)| exists(aside));
    let is_aside = places.last().is_some_and(|(_, aside)| exists(aside));
    let member = directories.member();
    if is_aside && exists(&member) {
        let told = format!("{} was made the only member before", member.display());
        return Ok(done(false, vec![told]));
    }
    let staged = Staged::of(directories, run);
    let mut evidence = Vec::new();
    if !is_begun {
        let copied = copy(directories, &staged, etcd, progress).await;
        evidence.extend(copied.inspect_err(|_| {
            // It is of no use, and large.
            let _ = staged.remove();
        })?);
    }
    if !is_aside {
        evidence.extend(told(set_aside(directories, run)?));
    }
    let log = match (&directories.wal_dir, places.as_slice()) {
        (Some(_), [(_, log), ..]) => log.clone(),
        (_, [(_, member), ..]) => member.join("wal"),
        (_, []) => directories.log(),
    };
    evidence.extend(told(
        put_in_place(directories, &staged, run, ids_in(&log)).await?,
    ));
    Ok(done(true, evidence))
}

/// Makes the copy where a restored member would wait to be placed, and brings it to the disk whole.
async fn copy(
    directories: &Directories,
    staged: &Staged,
    etcd: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Vec<String>, Error> {
    ensure_unheld(directories)?;
    ensure_movable(&directories.member())?;
    if let Some(wal_dir) = &directories.wal_dir {
        ensure_movable(wal_dir)?;
    }
    staged.remove()?;
    let scratch = staged.data_dir.join("scratch");
    fs::create_dir_all(&scratch).map_err(writing(&scratch))?;
    own_like(&directories.data_dir, &staged.data_dir).await?;
    let room = Room {
        data_dir: &staged.data_dir,
        wal_dir: staged.wal_dir.as_deref(),
        scratch: &scratch,
    };
    let folders = folders().await;
    let search = Search {
        program: etcd,
        folders: &folders,
    };
    let forced = |source| Error::Forced { source };
    let alone = alone::start(directories, &search, &room, progress).await;
    let Alone {
        sandbox,
        member_id,
        raised,
        last,
    } = alone.map_err(forced)?;
    let stays = stay_alone(&sandbox, member_id).await;
    let program = sandbox.command().first().cloned().unwrap_or_default();
    sandbox.stop().await;
    let stays = stays?;
    fs::remove_dir_all(&scratch).map_err(writing(&scratch))?;
    let applied = applied(&staged.member().join("snap/db"))?;
    ensure_complete(applied, last).map_err(forced)?;
    // etcd ran on it without syncing anything.
    for path in staged.wal_dir.iter().chain([&staged.data_dir]) {
        sync(path)?;
    }
    Ok(vec![
        format!(
            "{} entries of its log were not marked as committed, and are kept",
            raised.after.commit.saturating_sub(raised.before.commit)
        ),
        format!("{program} ran once on the copy, with --force-new-cluster and on loopback only"),
        stays,
    ])
}

/// Takes out who is still listed, as a learner is by etcd 3.4, and says who stays. etcd leaves the peer URLs as they were; that is checked.
async fn stay_alone(sandbox: &Sandbox, member_id: Option<MemberId>) -> Result<String, Error> {
    let failed = |source: etcd::Error| Error::Forced {
        source: salvage::Error::Etcd {
            source: sandbox::Error::Etcd { source },
        },
    };
    let member = sandbox.member();
    for other in member.members().await.map_err(failed)? {
        if Some(other.id) != member_id {
            member.remove_member(other.id).await.map_err(failed)?;
        }
    }
    let listed = member.members().await.map_err(failed)?;
    let shown = listed
        .iter()
        .map(|one| format!("{} at {}", one.id, one.peer_urls.join(", ")));
    let shown = shown.collect::<Vec<_>>().join("; ");
    let is_as_before = match listed.as_slice() {
        [only] => {
            Some(only.id) == member_id
                && !only.peer_urls.iter().any(|url| url == sandbox.peer_url())
        }
        _ => false,
    };
    match is_as_before {
        true => Ok(format!("the only member is {shown}")),
        false => Err(Error::NotAlone { shown }),
    }
}

/// The last entry that a database holds.
fn applied(db: &Path) -> Result<Option<u64>, Error> {
    let file = File::open(db).map_err(|source| Error::Read {
        path: db.to_owned(),
        source,
    })?;
    let found = Store::open(file).and_then(|store| contents(&store));
    let found = found.map_err(|source| Error::Database {
        path: db.to_owned(),
        source,
    })?;
    Ok(found.consistent_index)
}

/// Brings everything below `path` to the disk.
fn sync(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(writing(path))? {
            sync(&entry.map_err(writing(path))?.path())?;
        }
    }
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(writing(path))
}

fn told(answer: Answer) -> Vec<String> {
    match answer {
        Answer::Done { evidence, .. } => evidence,
        _ => Vec::new(),
    }
}
