//! Free ports on loopback.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below are the ports of well-known services.
const FIRST: u16 = 10_240;

/// Where Linux begins to take ports for outgoing connections, when it is left alone.
const OUTGOING: u16 = 32_768;

/// How many are tried before the system is asked for one.
const ATTEMPTS: usize = 200;

/// A port on 127.0.0.1 that was free a moment ago; whoever needs it must be ready to try another.
///
/// If there is any, it is none of those that outgoing connections get: one of them could take it while a member is restarted.
///
/// # Errors
/// If the system has none left.
pub fn free_port() -> io::Result<u16> {
    let range = FIRST..first_outgoing().max(FIRST + 1);
    for _ in 0..ATTEMPTS {
        let port = rand::random_range(Range::clone(&range));
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn first_outgoing() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next();
    first.and_then(|port| port.parse().ok()).unwrap_or(OUTGOING)
}
