//! A proxy before an HTTP store that answers some requests with `503 Service Unavailable`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::front::Front;
use super::http1::{Head, UNAVAILABLE};

/// What is known of a request when its answer is decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// 1 for the first request that the proxy saw.
    pub(crate) number: u64,
    /// `PUT`, `GET`, ...
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
}

type Rule = Box<dyn Fn(&Request) -> bool + Send>;

/// A plain HTTP/1.1 proxy that counts requests and fails those that a rule names.
///
/// Each connection carries one request, whatever the client asked for: so every request is seen. It runs on a thread of its own.
pub(crate) struct FlakyHttp {
    front: Front,
    desk: Arc<Desk>,
}

/// Where the requests are counted and judged.
struct Desk {
    upstream: SocketAddr,
    requests: AtomicU64,
    failed: AtomicU64,
    rule: Mutex<Option<Rule>>,
    forgery: Mutex<Option<Rule>>,
}

impl FlakyHttp {
    /// Starts a proxy before the HTTP server at `upstream`; at first every request passes.
    pub(crate) fn to(upstream: SocketAddr) -> FlakyHttp {
        let desk = Arc::new(Desk {
            upstream,
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            rule: Mutex::new(None),
            forgery: Mutex::new(None),
        });
        let clerk = Arc::clone(&desk);
        let front = Front::open(move |client| {
            let desk = Arc::clone(&clerk);
            async move { desk.answer(client).await }
        });
        FlakyHttp { front, desk }
    }

    /// Where it listens, as `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.front.address())
    }

    /// Answers the requests for which `rule` holds with 503, from now on.
    pub(crate) fn fail_when(&self, rule: impl Fn(&Request) -> bool + Send + 'static) {
        *self.desk.rule.lock().expect("no rule panics") = Some(Box::new(rule));
    }

    /// Answers every `n`th request with 503; 1 is each of them.
    pub(crate) fn fail_every(&self, n: u64) {
        self.fail_when(move |request| request.number.is_multiple_of(n));
    }

    /// Changes the last byte of the answers to the requests for which `rule` holds, from now on.
    pub(crate) fn forge_when(&self, rule: impl Fn(&Request) -> bool + Send + 'static) {
        *self.desk.forgery.lock().expect("no rule panics") = Some(Box::new(rule));
    }

    /// Lets every request pass, and its answer as it is.
    pub(crate) fn heal(&self) {
        *self.desk.rule.lock().expect("no rule panics") = None;
        *self.desk.forgery.lock().expect("no rule panics") = None;
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> u64 {
        self.desk.requests.load(Ordering::Relaxed)
    }

    /// How many of them were answered with 503.
    pub(crate) fn failed(&self) -> u64 {
        self.desk.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for FlakyHttp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "FlakyHttp({} before {})",
            self.front.address(),
            self.desk.upstream
        )
    }
}

impl Desk {
    async fn answer(&self, mut client: TcpStream) -> io::Result<()> {
        let Some(mut head) = Head::read(&mut client).await? else {
            return Ok(());
        };
        let request = Request {
            number: self.requests.fetch_add(1, Ordering::Relaxed) + 1,
            method: head.method.clone(),
            target: head.target.clone(),
        };
        if holds(&self.rule, &request) {
            self.failed.fetch_add(1, Ordering::Relaxed);
            // The whole body: before it is sent, a client does not look for an answer.
            head.read_body(&mut client).await?;
            client.write_all(UNAVAILABLE).await?;
            return client.shutdown().await;
        }
        let is_forged = holds(&self.forgery, &request);
        if is_forged {
            head.read_body(&mut client).await?;
        }
        let mut server = TcpStream::connect(self.upstream).await?;
        server.write_all(head.for_one_request().as_bytes()).await?;
        server.write_all(&head.body).await?;
        if is_forged {
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).await?;
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
            client.write_all(&answer).await?;
            return client.shutdown().await;
        }
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }
}

fn holds(rule: &Mutex<Option<Rule>>, request: &Request) -> bool {
    let rule = rule.lock().expect("no rule panics");
    rule.as_ref().is_some_and(|rule| rule(request))
}
