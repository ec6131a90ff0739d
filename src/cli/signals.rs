//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure};

/// A token that is cancelled by the first signal.
pub(super) fn interrupt() -> Result<CancellationToken, Failure> {
    let token = CancellationToken::new();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(Failure::no_runtime)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(Failure::no_runtime)?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if cancelled.is_cancelled() {
                leave_at_once();
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

#[expect(
    clippy::exit,
    reason = "whoever asks twice does not want to wait for the clean-up"
)]
fn leave_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}
