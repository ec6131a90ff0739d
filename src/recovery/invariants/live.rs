//! What must hold of the cluster while it is used: reads, writes, leases, and that it stays as it is.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::seen::found;
use super::{Found, Invariant, Request};
use crate::etcd::{Error, Lease, Member, MemberHash, MemberStatus, disagreements};
use crate::id::Revision;
use crate::recovery::observation::{self, Observation};

/// Where keys are written, and go away from again.
const PREFIX: &str = "etcdrx/check";
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a hash may take: it is a scan of the whole store.
const SCAN: Duration = Duration::from_mins(5);
/// How long the cluster must stay as it is: three election timeouts, of a second where nothing else is said.
const STEADY: Duration = Duration::from_secs(3);
/// How many entries a member may be behind the leader.
const LAG: u64 = 10;
/// How long the keys last if nobody takes them away.
const KEYS_SECONDS: i64 = 60;
/// The shortest lease; etcd makes it a little longer.
const SHORT_SECONDS: i64 = 1;
/// How much later than promised a lease may end.
const GRACE: Duration = Duration::from_secs(10);
/// How often to look whether it has.
const POLL: Duration = Duration::from_millis(200);

/// A member that is connected.
struct Voter {
    name: String,
    connection: Member,
}

pub(super) async fn invariants(request: &Request<'_>, seen: &Observation) -> Vec<Invariant> {
    let voters = connect(request, seen).await;
    let voters = voters.as_deref();
    let none = |why: &String| Found::unseen(why.clone());
    let steady = async {
        match voters {
            Ok(voters) => steady(voters).await,
            Err(why) => none(why),
        }
    };
    let used = async {
        match voters {
            Ok(voters) => {
                let (order, service) = write(voters).await;
                (order, service, hashes(voters, seen).await)
            }
            Err(why) => (none(why), none(why), none(why)),
        }
    };
    let leases = async {
        match voters {
            Ok(voters) => leases(&voters[0].connection).await,
            Err(why) => none(why),
        }
    };
    let (steady, (order, service, hashes), leases) = tokio::join!(steady, used, leases);
    vec![
        hashes.named(
            "I5",
            "all members hold the same data, before and after writes",
        ),
        steady.named("I6", "no member lags, and the leader stays"),
        order.named("I11", "new revisions rise, through whichever member"),
        leases.named("I12", "a lease is granted, and ends"),
        service.named(
            "I13",
            "each member by itself writes, and reads what the others wrote",
        ),
    ]
}

/// The ways to all members; without one of them nothing here says anything.
async fn connect(request: &Request<'_>, seen: &Observation) -> Result<Vec<Voter>, String> {
    let connect = request.expected.members.iter().map(|planned| async move {
        let member = found(planned, seen);
        let endpoint = member.and_then(endpoint);
        let endpoint = endpoint.ok_or_else(|| format!("{} does not answer", planned.name))?;
        let connection = request.access.member(&endpoint, PATIENCE).await;
        Ok(Voter {
            name: planned.name.clone(),
            connection: connection.map_err(|error| error.to_string())?,
        })
    });
    let voters: Result<Vec<Voter>, String> = join_all(connect).await.into_iter().collect();
    voters.and_then(|voters| match voters.is_empty() {
        true => Err("nobody knows who the members should be".to_owned()),
        false => Ok(voters),
    })
}

fn endpoint(member: &observation::Member) -> Option<String> {
    member.status.as_ref()?;
    member.endpoint.clone()
}

/// What failed: a right that we do not have proves nothing.
fn failed(found: &mut Found, name: &str, error: &Error) {
    match error.is_refusal() {
        true => found.unseen.push(error.to_string()),
        false => found.problem(format!("{name}: {error}")),
    }
}

async fn steady(voters: &[Voter]) -> Found {
    let before = statuses(voters).await;
    sleep(STEADY).await;
    let after = statuses(voters).await;
    let mut found = Found::default();
    let leads = |all: &[Result<MemberStatus, Error>]| {
        let mut leads: Vec<_> = all
            .iter()
            .flatten()
            .map(|status| (status.leader, status.raft_term))
            .collect();
        leads.dedup();
        leads
    };
    if leads(&before) != leads(&after) || leads(&after).len() != 1 {
        found.problem(format!(
            "the leader or its term changed within {}",
            humantime::format_duration(STEADY)
        ));
    }
    let highest = after.iter().flatten().map(|status| status.raft_index).max();
    let highest = highest.unwrap_or(0);
    for (voter, status) in voters.iter().zip(&after) {
        match status {
            Err(error) => failed(&mut found, &voter.name, error),
            Ok(status) if status.applied_index + LAG < highest => found.problem(format!(
                "{} has applied entry {} of {highest}",
                voter.name, status.applied_index
            )),
            Ok(_) => {}
        }
    }
    found.well(format!(
        "the same leader for {}",
        humantime::format_duration(STEADY)
    ))
}

async fn statuses(voters: &[Voter]) -> Vec<Result<MemberStatus, Error>> {
    join_all(voters.iter().map(|voter| voter.connection.status())).await
}

/// Writes a key through each member, and reads all of them through each: the order of revisions, and the service.
async fn write(voters: &[Voter]) -> (Found, Found) {
    let (mut order, mut service) = (Found::default(), Found::default());
    let lease = match voters[0].connection.grant_lease(KEYS_SECONDS).await {
        Ok(lease) => lease,
        Err(error) => {
            failed(&mut service, &voters[0].name, &error);
            return (Found::unseen("nothing could be written"), service);
        }
    };
    let folder = format!("{PREFIX}/{:08x}", rand::random::<u32>());
    let mut keys: Vec<String> = Vec::new();
    let mut last = Revision(0);
    for voter in voters {
        let key = format!("{folder}/{}", voter.name);
        match voter.connection.put_leased(&key, &voter.name, lease).await {
            Err(error) => failed(&mut service, &voter.name, &error),
            Ok(revision) if revision <= last => order.problem(format!(
                "a write through {} got revision {revision}, after {last}",
                voter.name
            )),
            Ok(revision) => {
                last = revision;
                keys.push(key);
            }
        }
    }
    for voter in voters {
        if let Err(problem) = reads_all(voter, &keys).await {
            service.problem(problem);
        }
    }
    if let Err(error) = voters[0].connection.revoke_lease(lease).await {
        failed(&mut service, &voters[0].name, &error);
    }
    if keys.is_empty() {
        order.unseen.push("nothing could be written".to_owned());
    }
    (
        order.well(format!("up to revision {last}")),
        service.well(format!("through {} members", voters.len())),
    )
}

async fn reads_all(voter: &Voter, keys: &[String]) -> Result<(), String> {
    let wanted: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let read = voter.connection.read_keys(&wanted).await;
    let read = read.map_err(|error| format!("{}: {error}", voter.name))?;
    for (key, live) in keys.iter().zip(read) {
        let written = key.rsplit('/').next().unwrap_or_default();
        if live.is_none_or(|live| live.value != written.as_bytes()) {
            return Err(format!(
                "{} does not read what was written to {key}",
                voter.name
            ));
        }
    }
    Ok(())
}

/// The hashes of the look, and those after the writes.
async fn hashes(voters: &[Voter], seen: &Observation) -> Found {
    let mut found = Found::default();
    let before: Vec<MemberHash> = seen
        .hashes
        .iter()
        .map(|hash| MemberHash {
            member: hash.member.clone(),
            hashkv: hash.hashkv,
        })
        .collect();
    compare(&before, &mut found);
    let strange = seen
        .findings
        .iter()
        .filter(|one| one.code == "revisions-differ");
    found
        .problems
        .extend(strange.map(|one| one.message.clone()));
    let mut revisions = Vec::new();
    for voter in voters {
        // After it this member has everything that the others have acknowledged.
        match voter.connection.linearizable_revision().await {
            Ok(revision) => revisions.push(revision),
            Err(error) => failed(&mut found, &voter.name, &error),
        }
    }
    let revision = revisions.into_iter().min().unwrap_or_default();
    let asked = voters.iter().map(|voter| async move {
        let patient = voter.connection.clone().patient(SCAN);
        (voter, patient.hashkv(revision).await)
    });
    let mut after = Vec::new();
    for (voter, answer) in join_all(asked).await {
        match answer {
            Ok(hashkv) => after.push(MemberHash {
                member: voter.name.clone(),
                hashkv,
            }),
            Err(error) => failed(&mut found, &voter.name, &error),
        }
    }
    compare(&after, &mut found);
    let is_old = after
        .iter()
        .any(|hash| hash.hashkv.compact_revision != after[0].hashkv.compact_revision);
    if is_old {
        found
            .unseen
            .push("a compaction passed while the hashes were computed".to_owned());
    }
    let hash = after.first().map_or(0, |hash| hash.hashkv.hash);
    found.well(format!("hash {hash:08x} at revision {revision}"))
}

fn compare(hashes: &[MemberHash], found: &mut Found) {
    let Some(first) = hashes.first() else { return };
    for other in disagreements(&first.hashkv, hashes) {
        found.problem(format!(
            "{} and {} hold different data at revision {}",
            first.member, other.member, first.hashkv.revision
        ));
    }
}

/// A key with the shortest lease goes away by itself.
async fn leases(member: &Member) -> Found {
    let mut found = Found::default();
    match lapse(member).await {
        Ok((lease, Some(after))) => {
            let after = humantime::format_duration(Duration::from_secs(after.as_secs()));
            return found.well(format!(
                "one of {} s ended after {after}",
                lease.ttl_seconds
            ));
        }
        Ok((lease, None)) => found.problem(format!(
            "a lease of {} s has not ended {} later",
            lease.ttl_seconds,
            humantime::format_duration(GRACE)
        )),
        Err(error) => failed(&mut found, "a lease", &error),
    }
    found
}

/// How long the key lasted; `None` where it is still there.
async fn lapse(member: &Member) -> Result<(Lease, Option<Duration>), Error> {
    let lease = member.grant_lease(SHORT_SECONDS).await?;
    let key = format!("{PREFIX}/{:08x}/lease", rand::random::<u32>());
    member.put_leased(&key, "", lease).await?;
    let began = Instant::now();
    let limit = Duration::from_secs(u64::try_from(lease.ttl_seconds).unwrap_or(0)) + GRACE;
    while began.elapsed() < limit {
        sleep(POLL).await;
        let read = member.read_keys(&[key.as_bytes()]).await?;
        if read.iter().all(Option::is_none) {
            return Ok((lease, Some(began.elapsed())));
        }
    }
    member.revoke_lease(lease).await?;
    Ok((lease, None))
}
