//! Frames and records: how the log lies in a file.

use crate::datadir::raft;
use crate::protobuf::{Garbled, Writer};

/// The bytes of the length word before each record.
pub(super) const LENGTH_WORD: u64 = 8;

/// The identity of member and cluster.
pub(super) const METADATA: u64 = 1;
/// An entry of the log.
pub(super) const ENTRY: u64 = 2;
/// A hard state.
pub(super) const STATE: u64 = 3;
/// The checksum with which a file goes on.
pub(super) const CRC: u64 = 4;
/// A snapshot of raft's own.
pub(super) const SNAPSHOT: u64 = 5;

/// Writes records with the checksum running on.
#[derive(Debug, Default)]
pub(super) struct FrameWriter {
    crc: u32,
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// Goes on after a log whose checksum stands at `crc`.
    pub(super) fn after(crc: u32) -> Self {
        Self {
            crc,
            bytes: Vec::new(),
        }
    }

    /// Adds the record that begins a file: the checksum so far, and no data.
    pub(super) fn checksum(&mut self) {
        let record = Writer::default().number(1, CRC);
        let record = record.number(2, u64::from(self.crc)).finish();
        self.frame(&record);
    }

    /// Adds a record.
    pub(super) fn record(&mut self, kind: u64, data: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, data);
        let record = Writer::default().number(1, kind);
        let record = record.number(2, u64::from(self.crc)).bytes(3, data);
        self.frame(&record.finish());
    }

    /// The checksum so far.
    #[cfg(test)]
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    /// The frames.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn frame(&mut self, record: &[u8]) {
        let padding = record.len().wrapping_neg() % 8;
        let mut word = record.len() as u64;
        if padding > 0 {
            word |= (0x80 | padding as u64) << 56;
        }
        self.bytes.extend_from_slice(&word.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.bytes.resize(self.bytes.len() + padding, 0);
    }
}

/// The lengths in bytes of a record and of the padding after it, from the word before it.
#[must_use]
pub fn lengths(word: u64) -> (u64, u64) {
    let record = word & ((1 << 56) - 1);
    match word >> 63 {
        0 => (record, 0),
        _ => (record, word >> 56 & 7),
    }
}

/// A record as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record<'a> {
    pub(super) kind: u64,
    pub(super) crc: u32,
    pub(super) data: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn decode(message: &'a [u8]) -> Result<Self, Garbled> {
        let mut record = Self::default();
        raft::each(message, |field, value| {
            match field {
                1 => record.kind = value.number()?,
                2 => record.crc = u32::try_from(value.number()?).map_err(|_| Garbled)?,
                3 => record.data = value.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_are_whole_words_and_read_back(kind: u64, data: Vec<u8>, crc: u32) {
            let mut writer = FrameWriter::after(crc);
            writer.record(kind, &data);
            let bytes = writer.finish();
            prop_assert_eq!(bytes.len() % 8, 0);
            let (length, padding) = lengths(u64::from_le_bytes(bytes[..8].try_into().unwrap()));
            prop_assert_eq!(8 + length + padding, bytes.len() as u64);
            let length = usize::try_from(length).unwrap();
            let record = Record::decode(&bytes[8..8 + length]).unwrap();
            let crc = crc32c::crc32c_append(crc, &data);
            prop_assert_eq!(record, Record { kind, crc, data: &data });
        }
    }
}
