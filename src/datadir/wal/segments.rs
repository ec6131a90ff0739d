//! The files of a write-ahead log.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// One file of a write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its place among the files; the first that was ever written has 0.
    pub sequence: u64,
    /// The index of the first entry that it was to hold.
    pub first_index: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// Lists the files of the log in `dir` in their order; whatever etcd does not count as one is passed over.
///
/// # Errors
/// If the directory cannot be read.
pub fn segments(dir: &Path) -> Result<Vec<Segment>, Error> {
    let failed = |source| Error::Read {
        path: dir.to_owned(),
        source,
    };
    let mut segments = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        let name = name.to_str().unwrap_or_default();
        if let Some((sequence, first_index)) = parse_name(name) {
            segments.push(Segment {
                sequence,
                first_index,
                path: dir.join(name),
            });
        }
    }
    segments.sort_by_key(|segment| (segment.sequence, segment.first_index));
    Ok(segments)
}

/// The name of a file of the log.
pub(super) fn file_name(sequence: u64, first_index: u64) -> String {
    format!("{sequence:016x}-{first_index:016x}.wal")
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (sequence, first_index) = name.strip_suffix(".wal")?.split_once('-')?;
    let number = |digits: &str| {
        let is_hex = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    Some((number(sequence)?, number(first_index)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_files_of_the_log_are_listed_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "000000000000000a-0000000000000200.wal",
            "0000000000000009-0000000000000100.wal",
            "0000000000000009-0000000000000100.wal.broken",
            "0.tmp",
            "x.wal",
            "9-100.wal",
        ];
        for name in names {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let listed = segments(dir.path()).unwrap();
        let listed: Vec<_> = listed.iter().map(|s| (s.sequence, s.first_index)).collect();
        assert_eq!(listed, [(9, 0x100), (10, 0x200)]);
    }

    proptest! {
        #[test]
        fn names_survive_the_round_trip(sequence: u64, first_index: u64) {
            let name = file_name(sequence, first_index);
            prop_assert_eq!(parse_name(&name), Some((sequence, first_index)));
        }

        #[test]
        fn any_name_is_one_or_not(name: String) {
            let _ = parse_name(&name);
        }
    }
}
