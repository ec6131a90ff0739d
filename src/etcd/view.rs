//! What one endpoint says to somebody who has no time: how it is, whom it lists, and whether a read through it finds a quorum.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Member};
use super::probe::{self, Health};
use super::status::{MemberStatus, describe};
use super::wire::Address;
use super::{Diagnosis, Error, Listed};
use crate::id::MemberId;

/// How long a single read may take: one that was asked while there was no leader is not answered when there is one again.
const ONE_READ: Duration = Duration::from_secs(1);
/// How long to rest between two of them.
const REST: Duration = Duration::from_millis(100);
/// How long a handshake of our own may take, where etcd gave no answer.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// Why a read was not waited for.
const HOPELESS: &str = "there is no leader, and etcd runs on too few nodes for a quorum";

/// How long an endpoint may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection, and for an answer that takes no quorum.
    pub answer: Duration,
    /// For a read with quorum; an election takes one to two election timeouts, of a second where nothing else is said.
    pub quorum: Duration,
}

/// Whether a linearizable read through a member succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// It does: there is a quorum.
    Yes,
    /// It does not, for this reason.
    No(String),
    /// It was not tried: learners refuse it, and who does not answer is not asked.
    Untried,
}

/// What one endpoint said.
pub struct View {
    /// Where it was asked.
    pub endpoint: String,
    /// What it said of itself, last.
    pub status: Result<MemberStatus, Error>,
    /// Whom it took for the leader when it was asked first.
    pub first_leader: Option<MemberId>,
    /// The members as it lists them; none where it did not say.
    pub members: Vec<Listed>,
    /// Whether a linearizable read through it succeeds.
    pub reads: Reads,
    /// What `/health` says, where it refuses us everything else.
    pub health: Option<Health>,
    /// The way to it, where it answered.
    pub connection: Option<Member>,
}

/// Asks one endpoint, without a password as far as that goes; takes the sum of both patiences and two seconds at most.
///
/// An endpoint that does not answer is examined by a handshake of our own. Once `hopeless` is cancelled, because too few members run
/// for a quorum, one that knows no leader is no longer waited for.
pub async fn view(
    access: &Access,
    endpoint: &str,
    patience: Patience,
    hopeless: &CancellationToken,
) -> View {
    match answering(access, endpoint, patience.answer).await {
        Ok((member, status)) => seen(member, status, patience, hopeless).await,
        Err(Failure::Refused(refusal)) => refused(access, endpoint, refusal, patience).await,
        Err(Failure::Silent(failure)) => silent(access, endpoint, failure).await,
    }
}

/// Why there is no status.
enum Failure {
    /// etcd answers, and wants to know who we are.
    Refused(Error),
    /// Nobody answers.
    Silent(Error),
}

/// Connects, and asks for the status: the first call that shows whether anybody is there.
async fn answering(
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> Result<(Member, MemberStatus), Failure> {
    // gRPC tries again and again where nobody listens; a connection of our own knows at once.
    let reached = match Address::of(endpoint) {
        Ok(address) => address.connect(patience).await.map(drop),
        Err(diagnosis) => Err(diagnosis),
    };
    reached.map_err(|diagnosis| Failure::Silent(unreachable(endpoint, diagnosis)))?;
    let member = anonymous(access, endpoint, patience)
        .await
        .map_err(Failure::Silent)?;
    match member.status().await {
        Ok(status) => Ok((member, status)),
        Err(error) if error.is_refusal() => Err(Failure::Refused(error)),
        Err(error) => Err(Failure::Silent(error)),
    }
}

async fn seen(
    member: Member,
    status: MemberStatus,
    patience: Patience,
    hopeless: &CancellationToken,
) -> View {
    let first_leader = status.leader;
    let began = Instant::now();
    let reads = async {
        if status.is_learner {
            return Reads::Untried;
        }
        tokio::select! {
            reads = reads(&member, patience.quorum) => reads,
            () = leaderless(&member, hopeless) => Reads::No(HOPELESS.to_owned()),
        }
    };
    let (members, reads) = tokio::join!(member.members(), reads);
    // While a read waited, another leader may have been elected.
    let status = match began.elapsed() < REST * 2 && status.leader.is_some() {
        true => status,
        false => member.status().await.unwrap_or(status),
    };
    View {
        endpoint: member.endpoint.clone(),
        status: Ok(status),
        first_leader,
        members: members.unwrap_or_default(),
        reads,
        health: None,
        connection: Some(member),
    }
}

/// Asks a member that shows its status to nobody without a name (3.5.33 and later, with auth on).
async fn refused(access: &Access, endpoint: &str, refusal: Error, patience: Patience) -> View {
    let reads = async {
        match anonymous(access, endpoint, patience.answer).await {
            Ok(member) => reads(&member, patience.quorum).await,
            Err(_) => Reads::Untried,
        }
    };
    let health = probe::health(endpoint, access.identity(), HANDSHAKE);
    let login = logged_in(access, endpoint, refusal, patience.answer);
    let (reads, health, login) = tokio::join!(reads, health, login);
    let (connection, status, members) = match login {
        Ok((member, status)) => {
            let members = member.members().await.unwrap_or_default();
            (Some(member), Ok(status), members)
        }
        Err(error) => (None, Err(error), Vec::new()),
    };
    View {
        endpoint: endpoint.to_owned(),
        first_leader: status.as_ref().ok().and_then(|status| status.leader),
        status,
        members,
        reads,
        health: health.ok(),
        connection,
    }
}

/// Logs in, which takes a quorum.
async fn logged_in(
    access: &Access,
    endpoint: &str,
    refusal: Error,
    patience: Duration,
) -> Result<(Member, MemberStatus), Error> {
    if !access.has_user() {
        return Err(refusal);
    }
    let member = access.member(endpoint, patience).await?;
    let status = member.status().await?;
    Ok((member, status))
}

/// Says of an endpoint that gives no answer what stands in the way.
async fn silent(access: &Access, endpoint: &str, failure: Error) -> View {
    let why = match failure {
        Error::Unreachable { .. } => failure,
        failure => access.explain(endpoint, failure, HANDSHAKE).await,
    };
    View {
        endpoint: endpoint.to_owned(),
        status: Err(why),
        first_leader: None,
        members: Vec::new(),
        reads: Reads::Untried,
        health: None,
        connection: None,
    }
}

/// The way to a member for somebody without a name.
async fn anonymous(access: &Access, endpoint: &str, patience: Duration) -> Result<Member, Error> {
    Ok(Member {
        client: access.anonymous(endpoint).await?,
        endpoint: endpoint.to_owned(),
        who: access.who(),
        patience,
    })
}

/// Reads until it succeeds or `patience` is over.
///
/// Whoever may not read has found a quorum all the same: etcd looks at the rights after it has asked the others (3.4 to 3.7).
async fn reads(member: &Member, patience: Duration) -> Reads {
    let began = Instant::now();
    let member = member.clone().patient(ONE_READ.min(patience));
    loop {
        let failure = match member.linearizable_revision().await {
            Ok(_) | Err(Error::NotAllowed { .. }) => return Reads::Yes,
            Err(error) => error,
        };
        if began.elapsed() + REST >= patience {
            return Reads::No(failure.to_string());
        }
        sleep(REST).await;
    }
}

/// Returns once there is no hope of a quorum and this member knows it: one that was a follower takes a while to miss its leader.
async fn leaderless(member: &Member, hopeless: &CancellationToken) {
    hopeless.cancelled().await;
    while !matches!(member.status().await, Ok(status) if status.leader.is_none()) {
        sleep(REST).await;
    }
}

impl Member {
    /// What this member says of itself; its name is not asked for.
    ///
    /// # Errors
    /// If it does not answer, or we may not ask.
    pub async fn status(&self) -> Result<MemberStatus, Error> {
        let mut client = self.client.clone();
        let status = self.answered("a status request", client.status()).await?;
        Ok(describe(&status, &self.endpoint))
    }
}

fn unreachable(endpoint: &str, diagnosis: Diagnosis) -> Error {
    Error::Unreachable {
        endpoint: endpoint.to_owned(),
        diagnosis,
    }
}
