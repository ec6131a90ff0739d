//! Free ports on loopback that nobody else takes before the server does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

/// The first port that is tried; below are well-known ones.
const FIRST: u16 = 10_240;

/// The last port before those that Linux gives to outgoing connections when it is left alone.
const LAST: u16 = 32_767;

/// The ports of this process, each with the lock that keeps other processes off.
static TAKEN: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// Reserves a port on 127.0.0.1 for as long as this process lives.
///
/// Never gives a port twice, nor one that another process got from here, nor one from the range of outgoing connections, which could
/// take it while a server is being restarted.
pub(crate) fn free_port() -> u16 {
    let locks = locks();
    let last = LAST.min(first_outgoing_port().saturating_sub(1)).max(FIRST);
    let mut taken = TAKEN.lock().expect("no holder of the ports panics");
    for _ in 0..10_000 {
        let port = rand::random_range(FIRST..=last);
        if taken.contains_key(&port) {
            continue;
        }
        let path = locks.join(port.to_string());
        let Ok(file) = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
        else {
            continue;
        };
        if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port, file);
            return port;
        }
    }
    panic!("no free port on loopback between {FIRST} and {last}");
}

/// As [`free_port`], as an address on 127.0.0.1.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// Where the processes of one user lock their ports; the kernel lets go of the locks when they die.
fn locks() -> PathBuf {
    let user = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let folder = std::env::temp_dir().join(format!("etcdrx-ports-{user}"));
    fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}

fn first_outgoing_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next();
    first
        .and_then(|port| port.parse().ok())
        .filter(|port| *port > FIRST + 1000)
        .unwrap_or(LAST + 1)
}
