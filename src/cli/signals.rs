//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure};

/// A token that is cancelled by the first signal.
///
/// Signals are waited for on a thread of their own: a command may be busy on the other one.
pub(super) fn interrupt() -> Result<CancellationToken, Failure> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::no_runtime)?;
    let listen = || -> io::Result<[Signal; 2]> {
        let _inside = runtime.enter();
        Ok([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ])
    };
    let signals = listen().map_err(Failure::no_runtime)?;
    thread::spawn(move || runtime.block_on(obey(signals, &cancelled)));
    Ok(token)
}

async fn obey([mut interrupts, mut terminations]: [Signal; 2], token: &CancellationToken) {
    loop {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        if token.is_cancelled() {
            leave_at_once();
        }
        token.cancel();
    }
}

#[expect(
    clippy::exit,
    reason = "whoever asks twice does not want to wait for the clean-up"
)]
fn leave_at_once() {
    std::process::exit(Exit::Interrupted as i32);
}
