//! The stream of a snapshot.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use etcd_client::SnapshotStreaming;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::Error;
use super::access::{Member, message};
use crate::codec::{Block, FRAME_BYTES};
use crate::progress::{Event, Progress};

/// Progress is told about so often.
const PROGRESS_BYTES: u64 = 1 << 20;

/// A snapshot on its way from one member.
pub struct Snapshot {
    stream: SnapshotStreaming,
    endpoint: String,
    who: String,
    stall: Duration,
    received: u64,
    expected: Option<u64>,
}

impl Member {
    /// Asks for a snapshot; `stall` is how long the stream may give nothing.
    ///
    /// # Errors
    /// If the member refuses, or does not answer in time.
    pub async fn snapshot(&self, stall: Duration) -> Result<Snapshot, Error> {
        let mut client = self.client.clone();
        let stream = self.answered("a snapshot", client.snapshot()).await?;
        Ok(Snapshot {
            stream,
            endpoint: self.endpoint.clone(),
            who: self.who.clone(),
            stall,
            received: 0,
            expected: None,
        })
    }
}

impl Snapshot {
    /// The next bytes, in pieces of at most 32 KiB; `None` only after etcd has closed the stream in good order.
    ///
    /// # Errors
    /// If the stream breaks off, or gives nothing for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let response = match timeout(self.stall, self.stream.message()).await {
            Ok(Ok(Some(response))) => response,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(self.broken(message(&error))),
            Err(_) => {
                return Err(Error::Stalled {
                    endpoint: self.endpoint.clone(),
                    received: self.received,
                    after: self.stall,
                });
            }
        };
        let remaining = response.remaining_bytes();
        let bytes = Bytes::from(response.0.blob);
        self.received += bytes.len() as u64;
        // The trailer comes on top of what the first message says remains.
        self.expected.get_or_insert(self.received + remaining);
        Ok(Some(bytes))
    }

    /// Moves the whole stream into `blocks`, in frames, and says that it ended in good order: another thread proves them meanwhile.
    ///
    /// # Errors
    /// If the stream breaks off; `None` if nobody takes what comes.
    pub async fn into_blocks(
        mut self,
        blocks: Sender<Block>,
        progress: &dyn Progress,
    ) -> Result<(), Option<Error>> {
        let mut done = 0;
        let mut told = 0;
        let mut frame = BytesMut::with_capacity(FRAME_BYTES);
        while let Some(bytes) = self.next().await? {
            done += bytes.len() as u64;
            if frame.len() + bytes.len() > FRAME_BYTES {
                let full = std::mem::replace(&mut frame, BytesMut::with_capacity(FRAME_BYTES));
                send(&blocks, Block::Data(full.freeze())).await?;
            }
            frame.extend_from_slice(&bytes);
            if done - told >= PROGRESS_BYTES {
                told = done;
                let total = self.expected;
                progress.event(Event::Bytes { done, total });
            }
        }
        send(&blocks, Block::Data(frame.freeze())).await?;
        send(&blocks, Block::End).await
    }

    fn broken(&self, message: String) -> Error {
        // A user who may log in and may not take a snapshot learns it only here.
        if message.contains("permission denied") {
            return Error::NotAllowed {
                endpoint: self.endpoint.clone(),
                call: "a snapshot",
                who: self.who.clone(),
            };
        }
        let message = match message.contains("h2 protocol error") {
            true => format!("the connection was lost ({message})"),
            false => message,
        };
        Error::Broken {
            endpoint: self.endpoint.clone(),
            received: self.received,
            message,
        }
    }

    /// The size of the database, known after the first message.
    #[must_use]
    pub fn expected_bytes(&self) -> Option<u64> {
        self.expected
    }
}

async fn send(blocks: &Sender<Block>, block: Block) -> Result<(), Option<Error>> {
    blocks.send(block).await.map_err(|_| None)
}
