//! The plain side: what the bytes of a snapshot prove about themselves as they go by.

use super::Error;
use super::digest::Sha256;
use crate::backend::{self, Facts, Scan, Survey, Surveyed};
use crate::id::Digest;

/// The bytes that etcd appends to a snapshot: the SHA-256 of everything before them
/// (`server/etcdserver/api/v3rpc/maintenance.go`).
pub const TRAILER_BYTES: usize = 32;

/// Every database is a whole number of these; the smallest page that bbolt knows is a multiple.
const SECTOR: u64 = 512;

/// Whether so many bytes are those of whole pages and a trailer.
#[must_use]
pub fn has_trailer(size_bytes: u64) -> bool {
    size_bytes % SECTOR == TRAILER_BYTES as u64
}

/// A proven snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainTotals {
    /// The size of the database, without the trailer.
    pub db_size_bytes: u64,
    /// SHA-256 of the whole file, trailer included: what `sha256sum` prints.
    pub sha256: Digest,
    /// What the database says of itself.
    pub facts: Facts,
}

impl PlainTotals {
    /// The size of the whole file, trailer included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.db_size_bytes + TRAILER_BYTES as u64
    }
}

/// All that a database holds, or why it is not sound.
pub type Deep = Result<Surveyed, backend::Error>;

/// Proves one snapshot as it streams by.
#[derive(Default)]
pub struct Plain {
    sha256: Sha256,
    scan: Scan,
    /// Takes in everything, where more than the facts is asked for.
    survey: Option<Survey>,
    /// The last bytes so far, which may turn out to be the trailer.
    tail: Vec<u8>,
    size_bytes: u64,
}

impl Plain {
    /// Starts before the first byte, and takes in all that the database holds: [`Plain::finish_deep`] judges it.
    #[must_use]
    pub fn deep() -> Self {
        Self {
            survey: Some(Survey::new()),
            ..Self::default()
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        if bytes.len() >= TRAILER_BYTES {
            let tail = std::mem::take(&mut self.tail);
            self.content(&tail);
            let (content, last) = bytes.split_at(bytes.len() - TRAILER_BYTES);
            self.content(content);
            self.tail.extend_from_slice(last);
        } else {
            self.tail.extend_from_slice(bytes);
            let surplus = self.tail.len().saturating_sub(TRAILER_BYTES);
            let content: Vec<u8> = self.tail.drain(..surplus).collect();
            self.content(&content);
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.scan.feed(bytes);
        if let Some(survey) = &mut self.survey {
            survey.feed(bytes);
        }
    }

    /// How many bytes went by.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// As [`Plain::finish`]; and, if it was asked for, what all of the database holds or why it is not sound.
    ///
    /// # Errors
    /// As [`Plain::finish`].
    pub fn finish_deep(mut self) -> Result<(PlainTotals, Option<Deep>), Error> {
        let survey = self.survey.take();
        let totals = self.finish()?;
        Ok((totals, survey.map(Survey::finish)))
    }

    /// Judges the whole: size rule, trailer, then the database.
    ///
    /// # Errors
    /// If the bytes are not exactly what etcd streamed.
    pub fn finish(self) -> Result<PlainTotals, Error> {
        let trailer_bytes = TRAILER_BYTES as u64;
        let trailer: [u8; TRAILER_BYTES] = match self.tail.as_slice().try_into() {
            Ok(trailer) if has_trailer(self.size_bytes) => trailer,
            _ => {
                return Err(Error::WrongSize {
                    size_bytes: self.size_bytes,
                });
            }
        };
        let mut whole = self.sha256.clone();
        whole.update(&trailer);
        let found = self.sha256.finish();
        let trailer = Digest(trailer);
        if found != trailer {
            return Err(Error::TrailerMismatch { found, trailer });
        }
        let facts = self
            .scan
            .finish()
            .map_err(|source| Error::Database { source })?;
        Ok(PlainTotals {
            db_size_bytes: self.size_bytes - trailer_bytes,
            sha256: whole.finish(),
            facts,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::golden::golden;
    use crate::id::Revision;

    fn totals(bytes: &[u8], chunk: usize) -> Result<PlainTotals, Error> {
        let mut plain = Plain::default();
        for part in bytes.chunks(chunk) {
            plain.feed(part);
        }
        plain.finish()
    }

    #[test]
    fn a_golden_snapshot_tells_what_etcdutl_tells() {
        let golden = golden();
        let totals = totals(&golden, 1 << 20).unwrap();
        assert_eq!(totals.facts.revision, Revision(64));
        assert_eq!(totals.db_size_bytes, 2_383_872);
        assert_eq!(totals.facts.storage_version.as_deref(), Some("3.6.0"));
        assert_eq!(totals.facts.page_size_bytes, 4096);
    }

    #[test]
    fn the_way_the_stream_is_cut_changes_nothing() {
        let golden = golden();
        let expected = totals(&golden, golden.len()).unwrap();
        for chunk in [1, 7, 31, 32, 33, 4095, 4097, 32 << 10] {
            assert_eq!(totals(&golden, chunk).unwrap(), expected, "{chunk}");
        }
    }

    #[test]
    fn a_snapshot_without_its_trailer_or_its_end_is_refused() {
        let golden = golden();
        let short = totals(&golden[..golden.len() - 32], 1 << 16).unwrap_err();
        assert!(matches!(short, Error::WrongSize { .. }));
        let cut = totals(&golden[..golden.len() - 4096], 1 << 16).unwrap_err();
        assert!(matches!(cut, Error::TrailerMismatch { .. }));
        assert!(matches!(totals(b"", 1), Err(Error::WrongSize { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_flipped_bit_is_caught(at in 0_usize..2_383_904, bit in 0_u8..8) {
            let mut damaged = golden();
            damaged[at] ^= 1 << bit;
            prop_assert!(totals(&damaged, 1 << 16).is_err());
        }

        /// The scan alone, without the digest before it: damage must never make it panic or loop.
        #[test]
        fn no_damage_makes_the_scan_panic(
            at in 0_usize..65_536, bytes in prop::collection::vec(any::<u8>(), 1..64)
        ) {
            let mut damaged = golden();
            damaged[at..at + bytes.len()].copy_from_slice(&bytes);
            let mut scan = Scan::new();
            for part in damaged.chunks(10_000) {
                scan.feed(part);
            }
            let _ = scan.finish();
        }
    }
}
