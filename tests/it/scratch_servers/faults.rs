//! The TCP proxy, before a server that says back what it hears.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use etcd_client::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::scratch::{Cluster, Direction, Fault, Proxy, tools};

/// Long enough for loopback, short enough to wait for nothing.
const MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn without_a_fault_bytes_pass_both_ways() {
    let proxy = Proxy::to(echo().await);

    let mut stream = connect(&proxy).await;
    say(&mut stream, b"hello").await;

    assert_eq!(hear(&mut stream, 5).await, b"hello");
    assert_eq!(proxy.connections(), 1);
    assert_eq!(proxy.passed_bytes(Direction::ToServer), 5);
}

#[tokio::test]
async fn refused_connections_are_refused_until_healed() {
    let proxy = Proxy::to(echo().await);
    let mut open = connect(&proxy).await;

    proxy.inject(Fault::Refuse);
    let end = timeout(MOMENT * 10, open.read(&mut [0]))
        .await
        .expect("the connection is closed");
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    proxy.heal();

    assert!(!matches!(end, Ok(1..)));
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let mut stream = connect(&proxy).await;
    say(&mut stream, b"hello").await;
    assert_eq!(hear(&mut stream, 5).await, b"hello");
}

#[tokio::test]
async fn a_silent_server_answers_when_it_is_healed() {
    let proxy = Proxy::to(echo().await);
    proxy.inject(Fault::Silent);

    let mut stream = connect(&proxy).await;
    say(&mut stream, b"hello").await;
    let nothing = timeout(MOMENT, stream.read(&mut [0; 5])).await;
    proxy.heal();

    assert!(nothing.is_err());
    assert_eq!(hear(&mut stream, 5).await, b"hello");
}

#[tokio::test]
async fn a_connection_closes_or_stalls_after_so_many_bytes() {
    let proxy = Proxy::to(echo().await);

    proxy.inject(Fault::CloseAfter(Direction::ToClient, 3));
    let mut stream = connect(&proxy).await;
    say(&mut stream, b"hello").await;
    let mut heard = Vec::new();
    // It may end with a reset: there was more to come.
    let _ = timeout(MOMENT * 10, stream.read_to_end(&mut heard))
        .await
        .expect("the connection is closed");
    assert_eq!(heard, b"hel");

    proxy.inject(Fault::StallAfter(Direction::ToServer, 2));
    let mut stream = connect(&proxy).await;
    say(&mut stream, b"hello").await;
    assert_eq!(hear(&mut stream, 2).await, b"he");
    let nothing = timeout(MOMENT, stream.read(&mut [0])).await;
    proxy.heal();
    assert!(nothing.is_err());
    assert_eq!(hear(&mut stream, 3).await, b"llo");
}

#[tokio::test]
async fn a_delay_comes_with_every_answer_and_a_cut_closes() {
    let proxy = Proxy::to(echo().await);
    proxy.inject(Fault::Delay(MOMENT / 2));

    let mut stream = connect(&proxy).await;
    let start = Instant::now();
    say(&mut stream, b"hello").await;
    hear(&mut stream, 5).await;
    let took = start.elapsed();
    proxy.cut();

    assert!(took >= MOMENT);
    let end = timeout(MOMENT * 10, stream.read(&mut [0]))
        .await
        .expect("the connection is closed");
    assert!(!matches!(end, Ok(1..)));
}

#[tokio::test]
async fn etcd_is_reached_by_way_of_a_proxy() {
    let cluster = Cluster::of(&tools::newest_etcd()).tls().start().await;
    let member = &cluster.members[0];
    let proxy = Proxy::to(member.client_address());
    let options = cluster.connect_options().with_timeout(MOMENT * 5);
    let mut client = Client::connect([proxy.url(member.scheme())], Some(options))
        .await
        .unwrap();

    client.put("key", "value", None).await.unwrap();
    proxy.inject(Fault::Silent);
    let silent = client.put("key", "value", None).await;
    proxy.heal();

    assert!(silent.is_err());
    client.put("key", "value", None).await.unwrap();
}

/// Starts a server that sends back all that it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.into_split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn say(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).await.unwrap();
}

async fn hear(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut words = vec![0; length];
    let heard = timeout(MOMENT * 10, stream.read_exact(&mut words)).await;
    heard.expect("an answer comes").unwrap();
    words
}
