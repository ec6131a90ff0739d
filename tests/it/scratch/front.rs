//! A listener on loopback with a thread of its own: what it serves works on while a test blocks.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::ports;
use super::process::POLL;

/// A listener that hands each connection to a function, until it is dropped.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    open: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts to listen; `serve` makes the future for each connection, and its errors are the client's to report.
    pub(super) fn open<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Front
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (address, listener) = listen();
        let (open, mut closed) = watch::channel(());
        let thread = on_own_thread(async move {
            let listener = TcpListener::from_std(listener).expect("the listener is not blocking");
            loop {
                let accepted = tokio::select! {
                    _ = closed.changed() => return,
                    accepted = listener.accept() => accepted,
                };
                if let Ok((client, _)) = accepted {
                    tokio::spawn(serve(client));
                }
            }
        });
        Front {
            address,
            open: Some(open),
            thread: Some(thread),
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.open = None;
        let thread = self.thread.take();
        thread.map(JoinHandle::join);
    }
}

/// Takes a free port, so that connections wait from now on.
pub(super) fn listen() -> (SocketAddr, StdListener) {
    let address = ports::free_address();
    (address, listen_again(address))
}

/// Takes a port that [`listen`] gave and that nobody listens on now.
pub(super) fn listen_again(address: SocketAddr) -> StdListener {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let listener = StdListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => return listener,
            // A child that was forked while the port was tried holds it until it is a program of its own.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(POLL);
            }
            Err(error) => panic!("cannot listen on {address}: {error}"),
        }
    }
}

/// Runs a task, and what it spawns, on a runtime of its own until the task ends.
pub(super) fn on_own_thread(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime can be made").block_on(task);
    })
}
