//! Plain to stored: prove, compress, digest.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

use super::Error;
use super::digest::{Stored, StoredTotals};
use super::level::Follower;
use super::plain::{Plain, PlainTotals};

/// What goes into the encoder. A stream that breaks off never sends [`Block::End`], and so never counts as whole.
#[derive(Debug)]
pub enum Block {
    /// The next plain bytes, in the pieces in which they came: copying them together would only cost.
    Data(Vec<Bytes>),
    /// Nothing follows.
    End,
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As much as keeps up with the stream: from 1 to 6.
    Auto,
    /// A level of zstd.
    Fixed(i32),
}

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How hard to compress.
    pub level: Level,
    /// How many threads compress.
    pub threads: u32,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The proven snapshot.
    pub plain: PlainTotals,
    /// What was stored of it.
    pub stored: StoredTotals,
}

/// A zstd frame holds this much; at its end the level may change. `zstd -d` reads frames in a row as one file.
const FRAME_BYTES: usize = 32 << 20;

/// Stored bytes are passed on in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;

/// Encodes everything that `input` gives and passes it on to `output`; blocks, so it needs a thread of its own.
///
/// Returns only after the end of the input; the trailer, the size and the newest revision are proven then.
///
/// # Errors
/// If the bytes are not a snapshot, or either channel was given up.
pub fn encode(
    options: Options,
    mut input: Receiver<Block>,
    output: &Sender<Bytes>,
) -> Result<Encoded, Error> {
    let mut plain = Plain::default();
    let mut frames = Frames::new(options, output)?;
    loop {
        let before = Instant::now();
        let block = input.blocking_recv();
        frames.follower.starved(before.elapsed());
        match block {
            Some(Block::Data(pieces)) => {
                for bytes in pieces {
                    plain.feed(&bytes);
                    frames.write(&bytes)?;
                }
            }
            Some(Block::End) => break,
            None => return Err(Error::Abandoned),
        }
    }
    let stored = frames.finish()?;
    Ok(Encoded {
        plain: plain.finish()?,
        stored,
    })
}

type Zstd = zstd::stream::write::Encoder<'static, Vec<u8>>;

/// A row of zstd frames, each at the level that the one before it suggests.
struct Frames<'a> {
    output: &'a Sender<Bytes>,
    stored: Stored,
    zstd: Zstd,
    options: Options,
    follower: Follower,
    frame_bytes: usize,
}

impl<'a> Frames<'a> {
    fn new(options: Options, output: &'a Sender<Bytes>) -> Result<Self, Error> {
        let level = match options.level {
            Level::Auto => 1,
            Level::Fixed(level) => level,
        };
        Ok(Self {
            output,
            stored: Stored::default(),
            zstd: frame(level, options.threads)?,
            options,
            follower: Follower::new(),
            frame_bytes: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.zstd
            .write_all(bytes)
            .map_err(|source| Error::Compress { source })?;
        self.frame_bytes += bytes.len();
        if self.frame_bytes >= FRAME_BYTES {
            return self.next_frame();
        }
        if self.zstd.get_ref().len() >= PIECE_BYTES {
            let piece = std::mem::replace(self.zstd.get_mut(), Vec::with_capacity(PIECE_BYTES));
            self.pass_on(piece)?;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<(), Error> {
        let level = match self.options.level {
            Level::Auto => self.follower.next(),
            Level::Fixed(level) => level,
        };
        let next = frame(level, self.options.threads)?;
        let rest = std::mem::replace(&mut self.zstd, next)
            .finish()
            .map_err(|source| Error::Compress { source })?;
        self.frame_bytes = 0;
        self.pass_on(rest)
    }

    fn finish(mut self) -> Result<StoredTotals, Error> {
        // Ends the last frame, even an empty one: an empty object is no zstd stream.
        self.next_frame()?;
        Ok(self.stored.finish())
    }

    fn pass_on(&mut self, piece: Vec<u8>) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        self.stored.feed(&piece);
        self.output
            .blocking_send(Bytes::from(piece))
            .map_err(|_| Error::Abandoned)
    }
}

fn frame(level: i32, threads: u32) -> Result<Zstd, Error> {
    let build = || {
        let mut zstd = Zstd::new(Vec::with_capacity(PIECE_BYTES), level)?;
        zstd.include_checksum(true)?;
        if threads > 1 {
            zstd.multithread(threads)?;
        }
        Ok(zstd)
    };
    build().map_err(|source| Error::Compress { source })
}
