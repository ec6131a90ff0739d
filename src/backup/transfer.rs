//! The bytes' way: from the member through the encoder into the store, and back once more as proof.

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Error, Run};
use crate::codec::{self, Encoded, Level, Options, Sha256};
use crate::config::CompressionLevel;
use crate::etcd::Member;
use crate::manifest::DATA;
use crate::repository::{Lock, Upload};

/// How many frames wait between the stream and the encoder, at most.
const FRAMES: usize = 1;
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
        };
        let snapshot = member
            .snapshot(settings.stall_timeout)
            .await
            .map_err(|source| Error::Etcd { source })?;
        let upload = self
            .request
            .folder
            .upload(&format!("{}/{DATA}", self.id))
            .await
            .map_err(|source| Error::Repository { source })?;
        let upload = self.upload.insert(upload);

        let (blocks, input) = mpsc::channel(FRAMES);
        let (output, pieces) = mpsc::channel(PIECES);
        let encoder = spawn_blocking(move || codec::encode(options, input, &output));
        let moved = tokio::try_join!(
            async {
                let received = snapshot.into_blocks(blocks, self.request.progress).await;
                received.map_err(|failure| failure.map(|source| Error::Etcd { source }))
            },
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
