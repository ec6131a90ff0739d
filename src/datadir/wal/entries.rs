//! The entries of a log, without those that later ones overwrote.

use std::path::{Path, PathBuf};

use super::Error;
use super::records::{Damage, Ending, Item, Records};
use crate::datadir::raft::Entry;

/// The entries of a log in their order; see [`entries`].
pub struct Entries {
    dir: PathBuf,
    records: Option<Records>,
    from: u64,
    /// How many entries were read, of how many that there were when they were counted.
    read: u64,
    count: u64,
    /// Where an entry overwrote earlier ones: its number, and the lowest index that it or any later such entry has.
    restarts: Vec<(u64, u64)>,
}

/// Reads the entries of the log in `dir` that have `from` or a higher index.
///
/// Entries that later ones overwrote are left out; that takes a first pass over the whole log. Nothing is said of whether an entry is
/// committed. A torn end is an end; a damaged one is the last item, an error.
///
/// # Errors
/// If there is no log, or the disk refuses.
pub fn entries(dir: &Path, from: u64) -> Result<Entries, Error> {
    let mut records = Records::open(dir)?;
    let (mut count, mut reached, mut restarts) = (0, 0, Vec::new());
    while let Some(item) = records.next()? {
        if let Item::Entry(place, _) = item {
            if place.index <= reached {
                restarts.push((count, place.index));
            }
            reached = place.index;
            count += 1;
        }
    }
    let mut lowest = u64::MAX;
    for (_, index) in restarts.iter_mut().rev() {
        lowest = lowest.min(*index);
        *index = lowest;
    }
    Ok(Entries {
        dir: dir.to_owned(),
        records: Some(Records::open(dir)?),
        from,
        read: 0,
        count,
        restarts,
    })
}

impl Entries {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(records) = self.records.as_mut().filter(|_| self.read < self.count) {
            match records.next()? {
                None => break,
                Some(Item::Entry(place, _)) => {
                    let number = self.read;
                    self.read += 1;
                    let later = self.restarts.partition_point(|(at, _)| *at <= number);
                    let overwritten = self.restarts.get(later);
                    let stays = overwritten.is_none_or(|(_, index)| place.index < *index);
                    if stays && place.index >= self.from {
                        let entry = records.entry();
                        return entry.map(Some).map_err(|_| self.garbled());
                    }
                }
                Some(_) => {}
            }
        }
        self.end()
    }

    /// Ends for good; loudly where the log is damaged.
    fn end(&mut self) -> Result<Option<Entry>, Error> {
        let Some(mut records) = self.records.take() else {
            return Ok(None);
        };
        // What was appended since the count is of no interest, but how the log ends is.
        while records.next()?.is_some() {}
        let end = records.finish()?;
        match end.ending {
            Ending::Damaged(damage) => Err(Error::Damaged {
                file: end.file,
                offset: end.offset,
                damage,
            }),
            Ending::Whole | Ending::Torn => Ok(None),
        }
    }

    fn garbled(&self) -> Error {
        Error::Damaged {
            file: self.dir.clone(),
            offset: 0,
            damage: Damage::Garbled,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_entry();
        if next.is_err() {
            self.records = None;
        }
        next.transpose()
    }
}
