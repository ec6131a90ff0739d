//! Where a line stands: which side speaks, and about whom.

use super::Place;
use super::line::Said;

/// Files of etcd's source that write about connections to other members.
const DIALERS: [&str; 2] = ["rafthttp/", "etcdserver/cluster_util.go"];

/// Folders of etcd's source, as `caller` names them.
const ETCD: [&str; 14] = [
    "api/",
    "auth/",
    "backend/",
    "embed/",
    "etcdmain/",
    "etcdserver/",
    "flags/",
    "lease/",
    "membership/",
    "mvcc/",
    "raft/",
    "schema/",
    "storage/",
    "v3rpc/",
];

/// What etcd says about the members to which it connects, in all its forms.
const ABOUT_PEERS: [&str; 8] = [
    "failed to dial ",
    "prober detected unhealthy status",
    "message send to peer failed",
    "failed to reach the peer",
    "failed to get version",
    "the version of member",
    "failed to get cluster response",
    "health check for peer",
];

/// What etcd says while it starts, and when that fails.
const AT_START: [&str; 11] = [
    "registerGateway failed",
    "creating peer listener failed",
    "setting up serving from embedded etcd failed",
    "listener failed",
    "discovery failed",
    "failed to start etcd",
    "failed to verify flags",
    "bootstrap failed",
    "Configure https server failed",
    "secure grpc server due to error",
    "flag provided but not defined",
];

/// The length of a time as Go writes it by itself: `2026/11/21 20:44:24`.
const GO_DATE: usize = 19;

/// What only clients say: etcdctl and others in Go, curl, and those in Rust.
const BY_CLIENTS: [&str; 16] = [
    "latest balancer error",
    "authentication handshake failed",
    "error reading server preface",
    "retrying of unary invoker failed",
    "createTransport failed",
    "rpc error: ",
    "\"code\":14",
    "curl: (",
    "SSL routines:",
    "SSL certificate problem",
    "fatal alert: ",
    "invalid peer certificate",
    "transport error",
    "hyper",
    "tonic",
    "http: server gave HTTP response",
];

/// Where `text` stands, as far as it tells; empty: unknown.
pub(super) fn place_of(text: &str, said: &Said<'_>) -> Vec<Place> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_by = |callers: &[&str]| callers.iter().any(|caller| said.caller.starts_with(caller));
    if has(&["rejected connection", "failed to verify client certificate"]) {
        return port(text);
    }
    let place = if is_by(&DIALERS) || has(&ABOUT_PEERS) {
        Place::Dialer
    } else if text.contains("createTransport failed") && is_go_of_etcd(text, said) {
        Place::Gateway
    } else if ["fatal", "panic", "FATAL"].contains(&said.level)
        || has(&AT_START)
        || text.contains(" C | etcdmain: ")
    {
        Place::Start
    } else if has(&BY_CLIENTS) || is_by(&["clientv3/"]) {
        Place::Client
    } else if is_by(&ETCD) || is_form_of_3_4(text) {
        Place::Server
    } else {
        return Vec::new();
    };
    vec![place]
}

/// Whether a line begins as those of 3.4 do, with a level of one letter: `2026-11-21 20:57:21.598547 W | embed: `.
fn is_form_of_3_4(text: &str) -> bool {
    let level = text
        .split_once(" | ")
        .and_then(|(before, _)| before.rsplit_once(' '));
    level.is_some_and(|(time, level)| {
        level.len() == 1 && "CEWNIDT".contains(level) && time.len() < 80
    })
}

/// The port at which a connection was refused. Before 3.5.15 etcd does not say which.
fn port(text: &str) -> Vec<Place> {
    if text.contains("on client endpoint") {
        return vec![Place::ClientPort];
    }
    if text.contains("on peer endpoint") {
        return vec![Place::PeerPort];
    }
    vec![Place::ClientPort, Place::PeerPort]
}

/// Whether a line of gRPC is one that etcd itself printed: its logger, or Go's own form, which nobody else leaves on.
fn is_go_of_etcd(text: &str, said: &Said<'_>) -> bool {
    let by_zap = said.caller.starts_with("zapgrpc/") || said.caller.starts_with("grpclog/");
    let dated = |text: Option<&str>| {
        let text = text.map(str::as_bytes);
        text.is_some_and(|text| text[0].is_ascii_digit() && text[4] == b'/' && text[7] == b'/')
    };
    // Before 3.5 the date comes behind the level.
    let by_go = text.split_once("WARNING: ").is_some_and(|(before, after)| {
        let before = before.trim_end();
        let begins = before.len().checked_sub(GO_DATE);
        dated(begins.and_then(|begins| before.get(begins..))) || dated(after.get(..GO_DATE))
    });
    by_zap || by_go
}
