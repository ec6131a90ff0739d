//! The bytes' way: from the member through the encoder into the stores.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::place::{Place, Places};
use super::{Error, Run};
use crate::codec::{self, Encoded, Level, Options};
use crate::config::CompressionLevel;
use crate::etcd::{self, Member};

/// How many frames wait between the stream and the encoder, at most.
const FRAMES: usize = 1;
/// How many pieces wait between the encoder and the store, at most.
const PIECES: usize = 8;

impl Run<'_> {
    /// Streams one snapshot into the stores; nothing shows there yet. Gives `None` if no store is left that would take it.
    pub(super) async fn transfer(&mut self, member: &Member) -> Result<Option<Encoded>, Error> {
        let settings = self.request.settings;
        let options = Options {
            level: match settings.compression_level {
                CompressionLevel::Auto => Level::Auto,
                CompressionLevel::Fixed(level) => Level::Fixed(level),
            },
            threads: settings.compression_threads,
            recipients: self.request.recipients().cloned(),
        };
        let snapshot = member
            .snapshot(settings.stall_timeout)
            .await
            .map_err(|source| Error::Etcd { source })?;
        let key = format!("{}/{}", self.id, self.request.object());
        let begin = async |place: &mut Place<'_>| place.begin(&key).await;
        self.places.in_all(begin).await;

        let (blocks, input) = mpsc::channel(FRAMES);
        let (output, pieces) = mpsc::channel(PIECES);
        let encoder = spawn_blocking(move || codec::encode(&options, input, &output));
        let moved = tokio::try_join!(
            async {
                let received = snapshot.into_blocks(blocks, self.request.progress).await;
                received.map_err(|failure| failure.map_or(Stop::Encoder, Stop::Etcd))
            },
            spread(pieces, &mut self.places),
        );
        let encoded = encoder.await.expect("the encoder does not panic");
        let damaged = |source| Error::Damaged {
            endpoint: member.endpoint().to_owned(),
            source,
        };
        match moved {
            Ok(_) => encoded.map(Some).map_err(damaged),
            // The stream's end was closed by the encoder: its own reason is the one that counts.
            Err(Stop::Encoder) => Err(damaged(encoded.err().unwrap_or(codec::Error::Abandoned))),
            Err(Stop::Etcd(source)) => Err(Error::Etcd { source }),
            Err(Stop::NoStore) => Ok(None),
        }
    }
}

/// Why bytes move no further.
enum Stop {
    /// The encoder gave up.
    Encoder,
    /// The member did.
    Etcd(etcd::Error),
    /// The last of the stores did.
    NoStore,
}

/// Moves what the encoder gives into every store, all in step: no store is further ahead of another than what each has
/// on its way, and so memory stays bounded.
async fn spread(mut pieces: mpsc::Receiver<Bytes>, places: &mut Places<'_>) -> Result<(), Stop> {
    while places.any_left() {
        let Some(piece) = pieces.recv().await else {
            return Ok(());
        };
        let write = async |place: &mut Place<'_>| place.write(piece.clone()).await;
        places.in_all(write).await;
    }
    Err(Stop::NoStore)
}
