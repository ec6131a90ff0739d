//! SHA-256, running.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use crate::id::Digest;

/// How much of a file is digested at a time: what fits into a core's own cache.
const PIECE_BYTES: u64 = 128 << 10;

/// A running SHA-256.
#[derive(Clone)]
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256 {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        let mut sha256 = Self::default();
        sha256.update(bytes);
        sha256.finish()
    }

    /// The digest of a whole file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Digest> {
        let file = File::open(path)?;
        let mut sha256 = Self::default();
        sha256.update_from(&file, 0..file.metadata()?.len())?;
        Ok(sha256.finish())
    }

    /// Takes these bytes of `file`.
    ///
    /// # Errors
    /// If they are not there, or cannot be read.
    pub fn update_from(&mut self, file: &File, bytes: Range<u64>) -> io::Result<()> {
        let mut piece = Vec::new();
        let mut at = bytes.start;
        while at < bytes.end {
            let length = PIECE_BYTES.min(bytes.end - at);
            piece.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            file.read_exact_at(&mut piece, at)?;
            self.update(&piece);
            at += length;
        }
        Ok(())
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Digest(digest)
    }
}

/// Size and digest of the bytes as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTotals {
    /// How many there are.
    pub size_bytes: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// Counts and hashes stored bytes as they go by.
#[derive(Default)]
pub(crate) struct Stored {
    size_bytes: u64,
    sha256: Sha256,
}

impl Stored {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.sha256.update(bytes);
    }

    pub(crate) fn finish(self) -> StoredTotals {
        StoredTotals {
            size_bytes: self.size_bytes,
            sha256: self.sha256.finish(),
        }
    }
}
