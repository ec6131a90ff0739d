//! The last stretch of what is stored: encrypted, if it is to be, digested, and passed on.

use std::io::{self, Write};

use age::stream::StreamWriter;
use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::Error;
use super::digest::{Stored, StoredTotals};
use super::encryption::Recipients;

/// Stored bytes are passed on in pieces of at most this size.
const PIECE_BYTES: usize = 256 << 10;

/// Takes compressed bytes, and passes on what is to be stored of them.
pub(super) enum Outlet<'a> {
    /// As they are.
    Plain(Pieces<'a>),
    /// Encrypted.
    Age(Box<StreamWriter<Pieces<'a>>>),
}

impl<'a> Outlet<'a> {
    pub(super) fn open(
        recipients: Option<&Recipients>,
        output: &'a Sender<Bytes>,
    ) -> Result<Self, Error> {
        let pieces = Pieces {
            stored: Stored::default(),
            pending: Vec::new(),
            output,
        };
        let Some(recipients) = recipients else {
            return Ok(Self::Plain(pieces));
        };
        let writer = recipients.encrypt(pieces);
        let writer = writer.map_err(|source| Error::Encrypt { source })?;
        Ok(Self::Age(Box::new(writer)))
    }

    /// Takes the next bytes; waits while the other side is busy.
    pub(super) fn pass_on(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Plain(pieces) => pieces.send(bytes.into()),
            Self::Age(writer) => writer.write_all(&bytes).map_err(abandoned),
        }
    }

    /// Passes on what is left, and tells what all of it was.
    pub(super) fn finish(self) -> Result<StoredTotals, Error> {
        let mut pieces = match self {
            Self::Plain(pieces) => pieces,
            Self::Age(writer) => writer.finish().map_err(abandoned)?,
        };
        pieces.flush().map_err(abandoned)?;
        Ok(pieces.stored.finish())
    }
}

/// Encrypting does not fail, and the other side is told elsewhere why it went away.
fn abandoned(_: io::Error) -> Error {
    Error::Abandoned
}

/// What is stored, on its way out.
pub(super) struct Pieces<'a> {
    stored: Stored,
    /// What is not enough for a piece yet: encryption gives 64 KiB at a time.
    pending: Vec<u8>,
    output: &'a Sender<Bytes>,
}

impl Pieces<'_> {
    fn send(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.stored.feed(&bytes);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            let sent = self.output.blocking_send(piece);
            sent.map_err(|_| Error::Abandoned)?;
        }
        Ok(())
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let sent = self.send(pending.into());
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
