//! The bytes' way: from the member through the encoder into the store, and back once more as proof.

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Error, Run};
use crate::codec::{self, Block, Encoded, FRAME_BYTES, Level, Options, Sha256};
use crate::config::CompressionLevel;
use crate::etcd::{Member, Snapshot};
use crate::manifest::{DATA, ENCRYPTED_DATA};
use crate::progress::{Event, Progress};
use crate::repository::{Lock, Upload};

/// How many frames wait between the stream and the encoder, at most.
const FRAMES: usize = 1;
/// Progress is told about so often.
const PROGRESS_BYTES: u64 = 1 << 20;
/// How many pieces wait between the encoder and the store, at most.
const PIECES: usize = 8;

impl Run<'_> {
    /// Streams one snapshot into the store; nothing shows there yet.
    pub(super) async fn transfer(&mut self, member: &Member) -> Result<Encoded, Error> {
        let settings = self.request.settings;
        let options = Options {
            level: match settings.compression_level {
                CompressionLevel::Auto => Level::Auto,
                CompressionLevel::Fixed(level) => Level::Fixed(level),
            },
            threads: settings.compression_threads,
            recipients: self.request.folder.keys().recipients().cloned(),
        };
        let snapshot = member
            .snapshot(settings.stall_timeout)
            .await
            .map_err(|source| Error::Etcd { source })?;
        let upload = self
            .request
            .folder
            .upload(&format!("{}/{}", self.id, self.object()))
            .await
            .map_err(|source| Error::Repository { source })?;
        let upload = self.upload.insert(upload);

        let (blocks, input) = mpsc::channel(FRAMES);
        let (output, pieces) = mpsc::channel(PIECES);
        let encoder = spawn_blocking(move || codec::encode(&options, input, &output));
        let moved = tokio::try_join!(
            receive(snapshot, blocks, self.request.progress),
            store(pieces, upload, &self.lock),
        );
        let encoded = encoder.await.expect("the encoder does not panic");
        let damaged = |source| Error::Damaged {
            endpoint: member.endpoint().to_owned(),
            source,
        };
        match moved {
            Ok(_) => encoded.map_err(damaged),
            // The stream's end was closed by the encoder: its own reason is the one that counts.
            Err(None) => Err(damaged(encoded.err().unwrap_or(codec::Error::Abandoned))),
            Err(Some(error)) => Err(error),
        }
    }

    /// The name of the data object.
    pub(super) fn object(&self) -> &'static str {
        match self.request.folder.keys().recipients() {
            Some(_) => ENCRYPTED_DATA,
            None => DATA,
        }
    }

    /// Makes the data object appear and, unless told not to, reads all of it back.
    pub(super) async fn upload_proven(&mut self, encoded: &Encoded) -> Result<(), Error> {
        let repository = |source| Error::Repository { source };
        let upload = self.upload.as_mut().expect("a transfer came before");
        upload.finish().await.map_err(repository)?;
        if !self.request.read_back {
            return Ok(());
        }
        let mut stored = self
            .request
            .folder
            .open(upload.key())
            .await
            .map_err(repository)?;
        let mut sha256 = Sha256::default();
        let mut found_bytes = 0;
        while let Some(bytes) = stored.next().await.map_err(repository)? {
            sha256.update(&bytes);
            found_bytes += bytes.len() as u64;
        }
        let found = sha256.finish();
        let sent = encoded.stored;
        if found != sent.sha256 || found_bytes != sent.size_bytes {
            return Err(Error::ReadBack {
                sent: sent.sha256,
                sent_bytes: sent.size_bytes,
                found,
                found_bytes,
            });
        }
        Ok(())
    }
}

/// Moves the stream into the encoder, frame by frame. Fails with `None` if the encoder gave up.
async fn receive(
    mut snapshot: Snapshot,
    blocks: mpsc::Sender<Block>,
    progress: &dyn Progress,
) -> Result<(), Option<Error>> {
    let mut done = 0;
    let mut told = 0;
    let mut frame = BytesMut::with_capacity(FRAME_BYTES);
    let etcd = |source| Some(Error::Etcd { source });
    while let Some(bytes) = snapshot.next().await.map_err(etcd)? {
        done += bytes.len() as u64;
        if frame.len() + bytes.len() > FRAME_BYTES {
            let full = std::mem::replace(&mut frame, BytesMut::with_capacity(FRAME_BYTES));
            send(&blocks, Block::Data(full.freeze())).await?;
        }
        frame.extend_from_slice(&bytes);
        if done - told >= PROGRESS_BYTES {
            told = done;
            progress.event(Event::Bytes {
                done,
                total: snapshot.expected_bytes(),
            });
        }
    }
    send(&blocks, Block::Data(frame.freeze())).await?;
    send(&blocks, Block::End).await
}

async fn send(blocks: &mpsc::Sender<Block>, block: Block) -> Result<(), Option<Error>> {
    blocks.send(block).await.map_err(|_| None)
}

/// Moves what the encoder gives into the store; the lock learns of an upload that would have to be aborted.
async fn store(
    mut pieces: mpsc::Receiver<bytes::Bytes>,
    upload: &mut Upload,
    lock: &Lock,
) -> Result<(), Option<Error>> {
    let mut noted = false;
    while let Some(piece) = pieces.recv().await {
        let written = upload.write(piece).await;
        if let (false, Some(id)) = (noted, upload.id()) {
            noted = true;
            lock.note_upload(upload.key(), id)
                .await
                .map_err(|source| Some(Error::Lock { source }))?;
        }
        written.map_err(|source| Some(Error::Repository { source }))?;
    }
    Ok(())
}
