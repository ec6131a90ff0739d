//! Snapshots on this machine: written whole, and proven.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::Receiver;

use super::Failure;
use crate::backend::{self, Store};
use crate::codec::{self, Block, Plain, Sha256};
use crate::id::{Digest, Revision};
use crate::partial::Partial;
use crate::recovery::learned::Snapshot;

/// How much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What a failure to write `path` is called.
pub(super) fn writing(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |source| Failure::Write {
        path: path.to_owned(),
        source,
    }
}

/// Writes a snapshot as it comes, and proves it: it is there only when it is whole and sound.
pub(super) fn keep(
    mut input: Receiver<Block>,
    mut partial: Partial,
    path: PathBuf,
) -> Result<Snapshot, Failure> {
    let mut plain = Plain::deep();
    loop {
        match input.blocking_recv() {
            Some(Block::Data(bytes)) => {
                plain.feed(&bytes);
                let written = partial.file().write_all(&bytes);
                written.map_err(writing(&path))?;
            }
            Some(Block::End) => break,
            None => {
                let source = codec::Error::Abandoned;
                return Err(Failure::Damaged { source });
            }
        }
    }
    let size_bytes = plain.size_bytes();
    let (sha256, revision) = judged(plain)?;
    partial.replace().map_err(writing(&path))?;
    Ok(Snapshot {
        path,
        sha256,
        size_bytes,
        revision,
        bare: false,
    })
}

/// The digest and the revision of a snapshot of which every page and record is sound.
fn judged(plain: Plain) -> Result<(Digest, Revision), Failure> {
    let (totals, deep) = plain
        .finish_deep()
        .map_err(|source| Failure::Damaged { source })?;
    deep.transpose()
        .map_err(|source| Failure::Unsound { source })?;
    Ok((totals.sha256, totals.facts.revision))
}

/// Reads a snapshot whole, and says what it is; `bare` is one without a trailer.
pub(super) fn proven(path: &Path, bare: bool) -> Result<Snapshot, Failure> {
    let failed = writing(path);
    let size_bytes = fs::metadata(path).map_err(&failed)?.len();
    let (sha256, revision): (Digest, Revision) = if bare {
        let unsound = |source| Failure::Unsound { source };
        let store = Store::open(File::open(path).map_err(&failed)?).map_err(unsound)?;
        backend::status(&store).map_err(unsound)?;
        let revision = store.revision().map_err(unsound)?;
        (Sha256::of_file(path).map_err(&failed)?, revision)
    } else {
        let mut plain = Plain::deep();
        read_whole(path, |bytes| plain.feed(bytes)).map_err(&failed)?;
        judged(plain)?
    };
    Ok(Snapshot {
        path: path.to_owned(),
        sha256,
        size_bytes,
        revision,
        bare,
    })
}

fn read_whole(path: &Path, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => take(&piece[..count]),
        }
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(writing(path)(source)),
        _ => Ok(()),
    }
}
