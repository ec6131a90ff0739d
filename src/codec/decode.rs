//! Stored to plain: digest, decompress, prove.

use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::Receiver;

use super::Error;
use super::digest::{Stored, StoredTotals};
use super::encryption::{Identities, NotAuthentic};
use super::plain::{Deep, Plain, PlainTotals};

/// How much is decompressed at a time: what fits into a core's own cache.
const PIECE_BYTES: usize = 128 << 10;
/// How many pieces wait to be proven, at most.
const PIECES: usize = 8;

/// What was read.
pub struct Decoded {
    /// The stored bytes, all of them, also where they could not be decoded.
    pub stored: StoredTotals,
    /// The snapshot that came out, or why none did.
    pub plain: Result<PlainTotals, Error>,
    /// All that it holds, where [`decode_deep`] was asked and the bytes are whole.
    pub deep: Option<Deep>,
}

/// How stored bytes are opened.
#[derive(Debug, Clone)]
pub enum Opening {
    /// They are not encrypted.
    Plain,
    /// With one of these identities.
    Age(Arc<Identities>),
}

/// Digests everything that `input` gives and opens nothing; blocks, so it needs a thread of its own.
#[must_use]
pub fn digest(mut input: Receiver<Bytes>) -> StoredTotals {
    let mut stored = Stored::default();
    while let Some(bytes) = input.blocking_recv() {
        stored.feed(&bytes);
    }
    stored.finish()
}

/// Decodes everything that `input` gives and hands the plain bytes to `sink`; blocks, so it needs a thread of its own.
///
/// The end of the input is the end of the object: the caller compares the stored totals with the manifest's, which is
/// what tells a stream that broke off from a whole one. Bytes reach `sink` before they are proven.
pub fn decode(
    opening: &Opening,
    input: Receiver<Bytes>,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Decoded {
    run(opening, Plain::default(), input, sink)
}

/// As [`decode`], with every page and record of the database looked at as it goes by.
#[must_use]
pub fn decode_deep(opening: &Opening, input: Receiver<Bytes>) -> Decoded {
    run(opening, Plain::deep(), input, &mut |_| Ok(()))
}

fn run(
    opening: &Opening,
    plain: Plain,
    input: Receiver<Bytes>,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Decoded {
    let mut input = Input {
        channel: input,
        current: Bytes::new(),
        stored: Stored::default(),
    };
    let plain = open(opening, plain, &mut input, sink);
    // What follows a damaged place is read all the same: the digest of the whole object names the culprit.
    if !matches!(plain, Err(Error::Output { .. })) {
        while let Some(bytes) = input.channel.blocking_recv() {
            input.stored.feed(&bytes);
        }
    }
    let (plain, deep) = match plain {
        Ok((plain, deep)) => (Ok(plain), deep),
        Err(error) => (Err(error), None),
    };
    Decoded {
        stored: input.stored.finish(),
        plain,
        deep,
    }
}

/// Decrypts, where that is needed, and decompresses.
fn open(
    opening: &Opening,
    plain: Plain,
    input: &mut Input,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(PlainTotals, Option<Deep>), Error> {
    let identities = match opening {
        Opening::Plain => return decompress(plain, input, sink),
        Opening::Age(identities) => identities,
    };
    let opened = identities.decrypt(input);
    let mut opened = opened.map_err(|error| identities.refused(error))?;
    decompress(plain, &mut opened, sink)
}

/// Decompresses; another thread proves what came out, while this one hands it on and decompresses more.
fn decompress(
    plain: Plain,
    input: &mut dyn Read,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(PlainTotals, Option<Deep>), Error> {
    let broken = |source: io::Error| match NotAuthentic::is_cause_of(&source) {
        true => Error::Decrypt {
            source: Box::new(source),
        },
        false => Error::Decompress { source },
    };
    let mut zstd = zstd::stream::read::Decoder::new(input).map_err(broken)?;
    // zstd's command line has the same limit: a window of 128 MiB, far beyond what etcdrx writes.
    zstd.window_log_max(27).map_err(broken)?;
    thread::scope(|scope| {
        let (pieces, to_prove) = mpsc::sync_channel(PIECES);
        let (used, spare) = mpsc::channel();
        let prover = scope.spawn(move || prove(plain, &to_prove, &used));
        let passed_on = loop {
            let mut piece: Vec<u8> = spare.try_recv().unwrap_or_default();
            piece.resize(PIECE_BYTES, 0);
            match zstd.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(length) => piece.truncate(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(broken(error)),
            }
            if let Err(source) = sink(&piece) {
                break Err(Error::Output { source });
            }
            let sent = pieces.send(piece);
            sent.expect("the prover lives until its channel is dropped");
        };
        drop(pieces);
        let plain = prover.join().expect("proving does not panic");
        passed_on?;
        plain.finish_deep()
    })
}

fn prove(
    mut plain: Plain,
    pieces: &mpsc::Receiver<Vec<u8>>,
    used: &mpsc::Sender<Vec<u8>>,
) -> Plain {
    for piece in pieces {
        plain.feed(&piece);
        // Nobody may want it any more.
        let _ = used.send(piece);
    }
    plain
}

/// The stored bytes as a reader that digests what passes.
struct Input {
    channel: Receiver<Bytes>,
    current: Bytes,
    stored: Stored,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.channel.blocking_recv() {
                Some(bytes) => {
                    self.stored.feed(&bytes);
                    self.current = bytes;
                }
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::{Block, Encoded, Level, Options, encode};
    use super::*;
    use crate::backend::golden::golden;

    fn encoded(plain: &[u8], level: Level) -> (Encoded, Vec<Bytes>) {
        let (block, input) = mpsc::channel(1024);
        for part in plain.chunks(32 << 10) {
            block
                .try_send(Block::Data(Bytes::copy_from_slice(part)))
                .unwrap();
        }
        block.try_send(Block::End).unwrap();
        let (output, mut stored) = mpsc::channel(1024);
        let options = Options {
            level,
            threads: 1,
            recipients: None,
        };
        let totals = encode(&options, input, &output).unwrap();
        let mut pieces = Vec::new();
        while let Ok(piece) = stored.try_recv() {
            pieces.push(piece);
        }
        (totals, pieces)
    }

    fn decoded(pieces: impl IntoIterator<Item = Bytes>) -> (Decoded, Vec<u8>) {
        let (send, input) = mpsc::channel(1024);
        for piece in pieces {
            send.try_send(piece).unwrap();
        }
        drop(send);
        let mut plain = Vec::new();
        let decoded = decode(&Opening::Plain, input, &mut |bytes| {
            plain.extend_from_slice(bytes);
            Ok(())
        });
        (decoded, plain)
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same_bytes_and_digests() {
        let golden = golden();
        for level in [Level::Auto, Level::Fixed(1), Level::Fixed(19)] {
            let (there, pieces) = encoded(&golden, level);
            let (back, plain) = decoded(pieces);
            assert_eq!(plain, golden);
            assert_eq!(back.stored, there.stored);
            assert_eq!(back.plain.unwrap(), there.plain);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_a_snapshot() {
        let (block, input) = mpsc::channel(4);
        block.try_send(Block::Data(Bytes::from(golden()))).unwrap();
        drop(block);
        let (output, _stored) = mpsc::channel(1024);
        let options = Options {
            level: Level::Auto,
            threads: 1,
            recipients: None,
        };
        let error = encode(&options, input, &output).err().unwrap();
        assert!(matches!(error, Error::Abandoned));
    }

    #[test]
    fn damage_in_the_middle_still_gives_the_whole_objects_digest() {
        let (there, pieces) = encoded(&golden(), Level::Fixed(3));
        let mut stored: Vec<u8> = pieces.concat();
        let middle = stored.len() / 2;
        stored[middle] ^= 0x40;
        let (back, _) = decoded([Bytes::from(stored)]);
        assert!(back.plain.is_err());
        assert_eq!(back.stored.size_bytes, there.stored.size_bytes);
        assert_ne!(back.stored.sha256, there.stored.sha256);
    }
}
