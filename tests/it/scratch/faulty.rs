//! A TCP proxy on loopback that fails on demand: what lies between etcdrx and a server, on a bad day.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::front::{listen, listen_again, on_own_thread};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server: uploads, requests.
    ToServer,
    /// From the server to the client: downloads, answers.
    ToClient,
}

/// What goes wrong. Bytes are counted for each connection, from its start or from when the fault began, whichever is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: bytes are passed on as they come.
    None,
    /// Connections are refused, and the open ones are closed, as if the server were not there.
    Refuse,
    /// Connections are taken and nothing ever comes back, as if the server were frozen.
    Silent,
    /// After so many bytes in one direction the connection is closed.
    CloseAfter(Direction, u64),
    /// After so many bytes in one direction not one more passes that way, and the connection stays open.
    StallAfter(Direction, u64),
    /// Every piece of data comes so much later, both ways.
    Delay(Duration),
    /// What follows the header of an HTTP/1.1 answer comes so much later than the header.
    DelayBodies(Duration),
}

/// A proxy before one server, with a thread of its own: it works on while a test blocks.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    orders: Option<mpsc::UnboundedSender<Order>>,
    traffic: Arc<Traffic>,
    thread: Option<JoinHandle<()>>,
}

/// What the proxy is told, and how it says that it is done.
#[derive(Debug)]
struct Order {
    fault: Option<Fault>,
    cut: bool,
    done: std_mpsc::Sender<()>,
}

/// What the open connections go by.
#[derive(Clone, Copy, Debug)]
struct Plan {
    fault: Fault,
    cuts: u64,
}

#[derive(Debug, Default)]
struct Traffic {
    connections: AtomicU64,
    to_server_bytes: AtomicU64,
    to_client_bytes: AtomicU64,
}

impl Proxy {
    /// Starts a proxy before the server at `upstream`, which need not run yet.
    pub(crate) fn to(upstream: SocketAddr) -> Proxy {
        let (address, listener) = listen();
        let (orders, inbox) = mpsc::unbounded_channel();
        let traffic = Arc::new(Traffic::default());
        let route = Route {
            address,
            upstream,
            traffic: Arc::clone(&traffic),
        };
        let thread = on_own_thread(async move { serve(route, listener, inbox).await });
        Proxy {
            address,
            orders: Some(orders),
            traffic,
            thread: Some(thread),
        }
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as `<scheme>://127.0.0.1:<port>`.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Makes things go wrong from now on, for open connections too.
    pub(crate) fn inject(&self, fault: Fault) {
        self.order(Some(fault), fault == Fault::Refuse);
    }

    /// Makes all well again: what stalled goes on.
    pub(crate) fn heal(&self) {
        self.inject(Fault::None);
    }

    /// Closes the connections that are open now, and no later one.
    pub(crate) fn cut(&self) {
        self.order(None, true);
    }

    /// How many connections were taken.
    pub(crate) fn connections(&self) -> u64 {
        self.traffic.connections.load(Ordering::Relaxed)
    }

    /// How many bytes were passed on in one direction.
    pub(crate) fn passed_bytes(&self, direction: Direction) -> u64 {
        self.traffic.counter(direction).load(Ordering::Relaxed)
    }

    /// Returns once the order is carried out.
    fn order(&self, fault: Option<Fault>, cut: bool) {
        let (done, is_done) = std_mpsc::channel();
        let orders = self.orders.as_ref().expect("only drop takes them away");
        let sent = orders.send(Order { fault, cut, done });
        sent.expect("the proxy's thread runs");
        is_done.recv().expect("the proxy's thread answers");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders = None;
        let thread = self.thread.take();
        thread.map(JoinHandle::join);
    }
}

impl Traffic {
    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server_bytes,
            Direction::ToClient => &self.to_client_bytes,
        }
    }
}

#[derive(Clone, Debug)]
struct Route {
    address: SocketAddr,
    upstream: SocketAddr,
    traffic: Arc<Traffic>,
}

/// Takes connections and orders until the proxy is dropped; while connections are refused there is no listener.
async fn serve(route: Route, listener: StdListener, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut door = Some(Door::new(listener));
    let (plan, watcher) = watch::channel(Plan {
        fault: Fault::None,
        cuts: 0,
    });
    let take = |client: TcpStream| {
        route.traffic.connections.fetch_add(1, Ordering::Relaxed);
        let cuts = plan.borrow().cuts;
        tokio::spawn(connect(route.clone(), client, watcher.clone(), cuts));
    };
    loop {
        let accept = async {
            match &door {
                Some(door) => door.listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            accepted = accept => {
                if let Ok((client, _)) = accepted {
                    take(client);
                }
                continue;
            }
        };
        let Some(order) = order else {
            return;
        };
        // Whoever connected before the order was given is bound by it.
        door.iter().flat_map(Door::waiting).for_each(take);
        plan.send_modify(|plan| {
            plan.fault = order.fault.unwrap_or(plan.fault);
            plan.cuts += u64::from(order.cut);
        });
        door = match (plan.borrow().fault, door) {
            (Fault::Refuse, _) => None,
            (_, None) => Some(Door::new(listen_again(route.address))),
            (_, open) => open,
        };
        let _ = order.done.send(());
    }
}

/// A listener, with a second handle to ask it for those who wait right now.
struct Door {
    listener: TcpListener,
    handle: StdListener,
}

impl Door {
    fn new(handle: StdListener) -> Door {
        let listener = handle.try_clone().and_then(TcpListener::from_std);
        let listener = listener.expect("a listener that does not block can be shared");
        Door { listener, handle }
    }

    fn waiting(&self) -> impl Iterator<Item = TcpStream> {
        let streams = std::iter::from_fn(|| self.handle.accept().ok());
        streams.filter_map(|(stream, _)| {
            stream.set_nonblocking(true).ok()?;
            TcpStream::from_std(stream).ok()
        })
    }
}

/// Serves one connection until either side closes it, a fault does, or it is cut.
async fn connect(route: Route, client: TcpStream, mut plan: watch::Receiver<Plan>, cuts: u64) {
    let (to_server, to_client) = (plan.clone(), plan.clone());
    let pumps = async {
        let server = TcpStream::connect(route.upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, back) = client.into_split();
        let (from_server, on) = server.into_split();
        let traffic = &route.traffic;
        tokio::try_join!(
            pump(from_client, on, Direction::ToServer, traffic, to_server),
            pump(from_server, back, Direction::ToClient, traffic, to_client),
        )
    };
    tokio::select! {
        _ = pumps => {}
        _ = plan.wait_for(|plan| plan.cuts != cuts) => {}
    }
}

/// Passes bytes on in one direction, as far as the plan lets it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    traffic: &Traffic,
    mut plan: watch::Receiver<Plan>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0;
    let gone = |_| io::Error::other("the proxy is gone");
    loop {
        let fault = plan.borrow_and_update().fault;
        let room = match fault {
            Fault::CloseAfter(way, bytes) if way == direction && passed >= bytes => {
                return Err(io::Error::other("closed by the fault"));
            }
            Fault::CloseAfter(way, bytes) | Fault::StallAfter(way, bytes) if way == direction => {
                bytes.saturating_sub(passed)
            }
            Fault::Silent => 0,
            _ => u64::MAX,
        };
        if room == 0 {
            plan.changed().await.map_err(gone)?;
            passed = 0;
            continue;
        }
        let most = usize::try_from(room)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let length = tokio::select! {
            biased;
            changed = plan.changed() => {
                changed.map_err(gone)?;
                passed = 0;
                continue;
            }
            length = from.read(&mut buffer[..most]) => length?,
        };
        if length == 0 {
            return to.shutdown().await;
        }
        if let Fault::Delay(delay) = fault {
            tokio::time::sleep(delay).await;
        }
        let mut rest = &buffer[..length];
        if let (Fault::DelayBodies(delay), Direction::ToClient) = (fault, direction) {
            let (header, body) = rest.split_at(header_bytes(rest));
            to.write_all(header).await?;
            tokio::time::sleep(delay).await;
            rest = body;
        }
        to.write_all(rest).await?;
        passed += length as u64;
        traffic
            .counter(direction)
            .fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// How long the header is that `bytes` begin with; 0 if there is none.
fn header_bytes(bytes: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|window| window == END);
    end.map_or(0, |at| at + END.len())
}
