//! A snapshot of the etcd of our own, saved.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::{Error, Sandbox};
use crate::codec::{Plain, PlainTotals};
use crate::partial::Partial;
use crate::progress::{Event, Progress};

/// How long the stream may give nothing.
const STALL: Duration = Duration::from_mins(1);

impl Sandbox {
    /// Saves a snapshot to the new file `path`, mode 0600.
    ///
    /// It shows only when it is whole, proven by its trailer, and on the disk.
    ///
    /// # Errors
    /// If the stream breaks off, what came is no whole snapshot, the file is there, or the disk refuses; nothing is left then.
    pub async fn save(&self, path: &Path, progress: &dyn Progress) -> Result<PlainTotals, Error> {
        let of_etcd = |source| Error::Etcd { source };
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mut partial = Partial::create(path).map_err(failed)?;
        let mut snapshot = self.member().snapshot(STALL).await.map_err(of_etcd)?;
        let mut plain = Plain::default();
        while let Some(bytes) = snapshot.next().await.map_err(of_etcd)? {
            plain.feed(&bytes);
            partial.file().write_all(&bytes).map_err(failed)?;
            progress.event(Event::Bytes {
                done: plain.size_bytes(),
                total: snapshot.expected_bytes(),
            });
        }
        let totals = plain
            .finish()
            .map_err(|source| Error::Snapshot { source })?;
        partial.publish().map_err(failed)?;
        Ok(totals)
    }
}
