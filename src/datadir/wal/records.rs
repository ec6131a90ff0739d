//! The records of a log, one after the other, as far as its checksums hold.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use serde::{Deserialize, Serialize};

use super::Error;
use super::frame::{CRC, ENTRY, LENGTH_WORD, METADATA, Record, SNAPSHOT, STATE, lengths};
use super::segments::{Segment, segments};
use super::stranded::records_follow;
use crate::datadir::raft::{
    ConfChange, Entry, EntryKind, EntryPlace, HardState, Metadata, SnapshotRecord,
};
use crate::protobuf::Garbled;

/// The longest record that is believed: etcd takes requests of 1.5 MiB unless it is told otherwise.
const LONGEST_RECORD: u64 = 512 << 20;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What is wrong where the chain of checksums ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The data of a record are not what was written.
    #[error("a record does not match its checksum")]
    Checksum,
    /// The file does not go on from the one before it.
    #[error("the file does not continue the checksum of the one before it")]
    Chain,
    /// A record cannot be read.
    #[error("a record is garbled")]
    Garbled,
    /// A record is of a kind that etcd up to 3.7 does not write.
    #[error("a record is of an unknown kind")]
    UnknownKind,
    /// A record is longer than any that etcd writes.
    #[error("a record is longer than 512 MiB")]
    TooLong,
    /// A file ends in the middle of a record, and another file follows it.
    #[error("the file ends in the middle of a record")]
    CutShort,
    /// The files are not numbered without a hole.
    #[error("the file after it is missing")]
    MissingFile,
    /// The log names two members or two clusters.
    #[error("a file belongs to another member")]
    OtherIdentity,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// After its last record, with nothing or zeros.
    Whole,
    /// In the middle of a record that was never flushed whole; etcd cuts it off when it starts. Etcd 3.4.23 refuses one that reaches
    /// beyond the end of its file.
    Torn,
    /// Before something that is not as etcd wrote it.
    Damaged(Damage),
}

/// Where the chain of checksums ends, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The file with the last good record, or the one that does not go on from it.
    pub file: PathBuf,
    /// Where that record ends in it.
    pub offset: u64,
    /// The running checksum there: the next record goes on from it.
    pub crc: u32,
    /// How the log ends.
    pub ending: Ending,
    /// How many bytes of this file, up to its last one that is not zero, lie behind the end.
    pub leftover_bytes: u64,
    /// Whether whole records stand behind the end: the power failed while they were written, or a byte was changed.
    pub records_follow: bool,
    /// How many later files were not read.
    pub unread_files: usize,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Metadata(Metadata),
    State(HardState),
    Snapshot(SnapshotRecord),
    /// The entry itself is fetched with [`Records::entry`].
    Entry(EntryPlace, Option<ConfChange>),
}

/// What stands at the offset.
enum Frame {
    Whole,
    EndOfFile,
    CutShort,
    TooLong,
}

/// Reads a log with one record in memory at a time.
pub(super) struct Records {
    segments: Vec<Segment>,
    at: usize,
    file: BufReader<File>,
    size: u64,
    offset: u64,
    crc: Option<u32>,
    metadata: Option<Metadata>,
    /// The last record read, and the padding after it.
    buffer: Vec<u8>,
    record_length: usize,
    ending: Option<Ending>,
}

impl Records {
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let segments = segments(dir)?;
        let first = segments.first().ok_or_else(|| Error::NoFile {
            path: dir.to_owned(),
        })?;
        let (file, size) = open(&first.path)?;
        Ok(Self {
            at: 0,
            // A log whose first files are gone begins with the checksum of what they held.
            crc: (first.sequence == 0).then_some(0),
            segments,
            file,
            size,
            offset: 0,
            metadata: None,
            buffer: Vec::new(),
            record_length: 0,
            ending: None,
        })
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        self.segments.len()
    }

    /// What the next record says; `None` where the log ends.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Error> {
        while self.ending.is_none() {
            let frame = self.read_frame().map_err(|source| self.failed(source))?;
            match frame {
                Frame::EndOfFile => self.next_file()?,
                Frame::CutShort if self.is_last_file() => self.ending = Some(Ending::Torn),
                Frame::CutShort => self.ending = Some(Ending::Damaged(Damage::CutShort)),
                Frame::TooLong => self.ending = Some(Ending::Damaged(Damage::TooLong)),
                Frame::Whole => match self.judge() {
                    Ok((item, crc)) => {
                        self.crc = Some(crc);
                        self.offset += LENGTH_WORD + self.buffer.len() as u64;
                        if let Some(item) = item {
                            return Ok(Some(item));
                        }
                    }
                    Err(damage) => self.ending = Some(self.verdict(damage)),
                },
            }
        }
        Ok(None)
    }

    /// The entry that was read last.
    pub(super) fn entry(&self) -> Result<Entry, Garbled> {
        Entry::decode(Record::decode(self.record_bytes())?.data)
    }

    /// Tells where and how the log ended.
    pub(super) fn finish(self) -> Result<End, Error> {
        let file = self.file.get_ref();
        let read = leftover(file, self.offset).and_then(|leftover| {
            // What it is padded with may be zeros.
            let end = self.size.min(self.offset + leftover + LENGTH_WORD);
            let follow = leftover > 0 && records_follow(file, self.offset, end)?;
            Ok((leftover, follow))
        });
        let (leftover_bytes, records_follow) = read.map_err(|source| self.failed(source))?;
        Ok(End {
            leftover_bytes,
            records_follow,
            offset: self.offset,
            crc: self.crc.unwrap_or_default(),
            ending: self.ending.unwrap_or(Ending::Whole),
            unread_files: self.segments.len() - self.at - 1,
            file: self.segments[self.at].path.clone(),
        })
    }

    fn is_last_file(&self) -> bool {
        self.at + 1 == self.segments.len()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Read {
            path: self.segments[self.at].path.clone(),
            source,
        }
    }

    fn record_bytes(&self) -> &[u8] {
        self.buffer.get(..self.record_length).unwrap_or_default()
    }

    fn read_frame(&mut self) -> io::Result<Frame> {
        let mut word = Vec::with_capacity(8);
        self.file
            .by_ref()
            .take(LENGTH_WORD)
            .read_to_end(&mut word)?;
        let word = match <[u8; 8]>::try_from(word) {
            Ok(word) => u64::from_le_bytes(word),
            Err(word) if word.is_empty() => return Ok(Frame::EndOfFile),
            Err(_) => return Ok(Frame::CutShort),
        };
        if word == 0 {
            return Ok(Frame::EndOfFile);
        }
        let (record, padding) = lengths(word);
        let left = self
            .size
            .saturating_sub(self.offset + LENGTH_WORD + padding);
        if record > left {
            return Ok(Frame::CutShort);
        }
        if record > LONGEST_RECORD {
            return Ok(Frame::TooLong);
        }
        self.record_length = usize::try_from(record).map_err(io::Error::other)?;
        self.buffer.clear();
        let mut frame = self.file.by_ref().take(record + padding);
        frame.read_to_end(&mut self.buffer)?;
        match self.buffer.len() as u64 == record + padding {
            true => Ok(Frame::Whole),
            false => Ok(Frame::CutShort),
        }
    }

    /// Decodes the record in the buffer, and tells the checksum after it.
    fn judge(&mut self) -> Result<(Option<Item>, u32), Damage> {
        let garbled = |Garbled| Damage::Garbled;
        let record = Record::decode(self.record_bytes()).map_err(garbled)?;
        if record.kind == CRC {
            return match self.crc {
                Some(crc) if crc != record.crc => Err(Damage::Chain),
                _ => Ok((None, record.crc)),
            };
        }
        let crc = crc32c::crc32c_append(self.crc.unwrap_or_default(), record.data);
        if crc != record.crc {
            return Err(Damage::Checksum);
        }
        let data = record.data;
        let item = match record.kind {
            METADATA => Metadata::decode(data).map(Item::Metadata),
            ENTRY => entry_item(data),
            STATE => HardState::decode(data).map(Item::State),
            SNAPSHOT => SnapshotRecord::decode(data).map(Item::Snapshot),
            _ => return Err(Damage::UnknownKind),
        };
        let item = item.map_err(garbled)?;
        if let Item::Metadata(metadata) = item
            && *self.metadata.get_or_insert(metadata) != metadata
        {
            return Err(Damage::OtherIdentity);
        }
        Ok((Some(item), crc))
    }

    /// Tells a record that was flushed in part from one that was changed.
    fn verdict(&self, damage: Damage) -> Ending {
        let unreadable = matches!(damage, Damage::Garbled | Damage::Checksum);
        match unreadable && self.is_last_file() && self.lacks_a_sector() {
            true => Ending::Torn,
            false => Ending::Damaged(damage),
        }
    }

    /// Whether a sector's part of the record is all zeros, as etcd asks.
    fn lacks_a_sector(&self) -> bool {
        let into_sector = (self.offset + LENGTH_WORD) % SECTOR as u64;
        let first = SECTOR - usize::try_from(into_sector).unwrap_or_default();
        let (head, rest) = self.buffer.split_at(first.min(self.buffer.len()));
        let sectors = rest.chunks(SECTOR);
        let mut sectors = std::iter::once(head).chain(sectors);
        sectors.any(|sector| sector.iter().all(|byte| *byte == 0))
    }

    fn next_file(&mut self) -> Result<(), Error> {
        let (current, next) = (&self.segments[self.at], self.segments.get(self.at + 1));
        let Some(next) = next else {
            self.ending = Some(Ending::Whole);
            return Ok(());
        };
        if current.sequence.checked_add(1) != Some(next.sequence) {
            self.ending = Some(Ending::Damaged(Damage::MissingFile));
            return Ok(());
        }
        (self.file, self.size) = open(&next.path)?;
        self.at += 1;
        self.offset = 0;
        Ok(())
    }
}

/// Where an entry stands; only those that change members are read whole.
fn entry_item(data: &[u8]) -> Result<Item, Garbled> {
    let (place, kind) = EntryPlace::decode(data)?;
    let change = match kind {
        EntryKind::ConfChange => ConfChange::of_entry(&Entry::decode(data)?)?,
        _ => None,
    };
    Ok(Item::Entry(place, change))
}

fn open(path: &Path) -> Result<(BufReader<File>, u64), Error> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, file) = opened.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok((BufReader::with_capacity(1 << 18, file), size))
}

/// How far behind `offset` the last byte lies that is not zero.
fn leftover(file: &File, offset: u64) -> io::Result<u64> {
    let zeros = vec![0; 1 << 18];
    let mut chunk = zeros.clone();
    let (mut at, mut last) = (offset, offset);
    while let Some(data) = data_behind(file, at)? {
        at = data;
        let length = file.read_at(&mut chunk, at)?;
        if length == 0 {
            break;
        }
        // A log ends in megabytes of zeros, not all of which the file system knows as a hole.
        if chunk[..length] != zeros[..length] {
            let filled = chunk[..length].iter().rposition(|byte| *byte != 0);
            last = filled.map_or(last, |position| at + position as u64 + 1);
        }
        at += length as u64;
    }
    Ok(last - offset)
}

/// Where the next bytes lie that may not be zero: what etcd allocated and never wrote need not be read.
fn data_behind(file: &File, at: u64) -> io::Result<Option<u64>> {
    let from = i64::try_from(at).map_err(io::Error::other)?;
    match lseek(file, from, Whence::SeekData) {
        Ok(data) => Ok(u64::try_from(data).ok()),
        Err(Errno::ENXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(_) => Ok(Some(at)),
    }
}
