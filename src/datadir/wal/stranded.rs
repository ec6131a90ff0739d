//! Records behind the end of a log: what etcd cuts off without a word when it starts.
//!
//! A log ends for etcd at the first record that was not flushed whole. Where the power failed while several were written, later ones may
//! be there all the same, and none of them was ever acknowledged. Where a byte of a length was changed, all behind it were.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::{CRC, LENGTH_WORD, METADATA, Record, SNAPSHOT, lengths};

/// How much is looked at at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Longer records are not looked for.
const LONGEST_RECORD: u64 = 16 << 20;

/// Whether two records that belong together stand in `file` between `from`, where the log ends, and `size`.
pub(super) fn records_follow(file: &File, from: u64, size: u64) -> io::Result<bool> {
    let mut piece = vec![0; PIECE_BYTES];
    // Frames are whole words, and the one at the end itself is none.
    let mut at = from + LENGTH_WORD;
    while at < size {
        let length = file.read_at(&mut piece, at)?;
        if length == 0 {
            break;
        }
        for (word, offset) in piece[..length].chunks_exact(8).zip((at..).step_by(8)) {
            if word != [0; 8] && pair_at(file, offset, size)? {
                return Ok(true);
            }
        }
        at += (length.max(8) & !7) as u64;
    }
    Ok(false)
}

/// Whether a record stands at `offset`, and behind it one whose checksum goes on from it.
fn pair_at(file: &File, offset: u64, size: u64) -> io::Result<bool> {
    let Some((first, next)) = frame_at(file, offset, size)? else {
        return Ok(false);
    };
    let Ok(first) = Record::decode(&first) else {
        return Ok(false);
    };
    if !(METADATA..=SNAPSHOT).contains(&first.kind) {
        return Ok(false);
    }
    let Some((second, _)) = frame_at(file, next, size)? else {
        return Ok(false);
    };
    Ok(Record::decode(&second).is_ok_and(|second| {
        second.kind != CRC && crc32c::crc32c_append(first.crc, second.data) == second.crc
    }))
}

/// The record of the frame at `offset`, and where the next frame begins.
fn frame_at(file: &File, offset: u64, size: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    if offset + LENGTH_WORD > size {
        return Ok(None);
    }
    let mut word = [0; 8];
    file.read_exact_at(&mut word, offset)?;
    let (record, padding) = lengths(u64::from_le_bytes(word));
    let begin = offset + LENGTH_WORD;
    let is_plausible =
        record > 0 && record <= LONGEST_RECORD && padding == record.wrapping_neg() % 8;
    if !is_plausible || begin + record + padding > size {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(record).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(Some((bytes, begin + record + padding)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::frame::{ENTRY, FrameWriter};
    use super::*;

    /// Whether records follow in these bytes, of which a log ends at `from`.
    fn follow(bytes: &[u8], from: u64) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        records_follow(&file, from, bytes.len() as u64).unwrap()
    }

    #[test]
    fn records_behind_a_length_that_was_changed_are_found() {
        let mut frames = FrameWriter::after(7);
        frames.record(ENTRY, b"the length of this one is changed");
        let changed_bytes = frames.finish();
        let mut frames = FrameWriter::after(9);
        for text in ["a record", "one that goes on from it", "and its last"] {
            frames.record(ENTRY, text.as_bytes());
        }
        let rest = frames.finish();
        // Longer than the file, and nothing at all.
        for length in [[0xff; 8], [0; 8]] {
            let mut bytes = [&changed_bytes[..], &rest, &[0; 4096]].concat();
            bytes[..8].copy_from_slice(&length);
            assert!(follow(&bytes, 0), "{length:?}");
        }
    }

    #[test]
    fn a_record_that_was_flushed_in_part_is_followed_by_none() {
        let mut frames = FrameWriter::after(7);
        frames.record(ENTRY, &[b'x'; 5000]);
        frames.record(ENTRY, b"one alone, that nothing goes on from");
        let mut bytes = frames.finish();
        bytes[512..1024].fill(0);
        assert!(!follow(&bytes, 0));
        assert!(!follow(&bytes[..3000], 0));
        assert!(!follow(&[], 0));
    }
}
