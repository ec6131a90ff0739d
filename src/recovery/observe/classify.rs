//! What a member looks like, from what its two ports and its node say: a pure table.

use super::super::observation::Class;
use crate::etcd::{Diagnosis, Error, Reads, View};
use crate::id::ClusterId;
use crate::node::Running;

/// How a port behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// It answers.
    Answers,
    /// Somebody is there and does not let us in.
    Listens,
    /// It takes connections and says nothing.
    Hung,
    /// Nobody listens.
    Refused,
    /// No way there.
    NoWay,
    /// It was not asked.
    Untried,
}

/// What the client port says, as far as that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// A status.
    Status { has_leader: bool, is_learner: bool },
    /// That it shows a status to nobody whom it does not know, and no more.
    Nameless { has_leader: bool },
    /// Nothing: it is like this.
    Mute(Port),
}

/// What is known of a member before it has a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) client: Client,
    pub(super) peer: Port,
    /// Whether its process runs, where somebody looked.
    pub(super) process: Option<Running>,
    /// Whether one of its ports names another cluster than ours.
    pub(super) is_foreign: bool,
}

impl Client {
    pub(super) fn of(view: &View) -> Self {
        match &view.status {
            Ok(status) => Self::Status {
                has_leader: status.leader.is_some(),
                is_learner: status.is_learner,
            },
            Err(_) if view.reads != Reads::Untried || view.health.is_some() => Self::Nameless {
                has_leader: view.reads == Reads::Yes,
            },
            Err(error) => Self::Mute(client_port(error)),
        }
    }
}

/// What the failure of a question to a client port says about the port.
fn client_port(error: &Error) -> Port {
    match error {
        Error::Unreachable { diagnosis, .. } => match diagnosis {
            Diagnosis::ConnectionRefused => Port::Refused,
            Diagnosis::Hung | Diagnosis::Open => Port::Hung,
            diagnosis if diagnosis.is_tls() => Port::Listens,
            _ => Port::NoWay,
        },
        Error::TimedOut { .. } => Port::Hung,
        error if error.is_refusal() => Port::Listens,
        // Whoever answers with an error to the question how it is, is most likely no etcd.
        _ => Port::NoWay,
    }
}

/// Whether the status comes from another cluster.
pub(super) fn is_foreign(found: Option<ClusterId>, ours: Option<ClusterId>) -> bool {
    found
        .zip(ours)
        .is_some_and(|(found, ours)| found != ours && found.0 != 0)
}

/// The class of a member.
///
/// What its node says beats what its ports look like from here: a process that is gone is gone, also where no packet gets there.
pub(super) fn classify(facts: Facts) -> Class {
    if facts.is_foreign {
        return Class::Foreign;
    }
    let is_there = matches!(facts.peer, Port::Answers | Port::Listens);
    match (facts.client, facts.process) {
        (Client::Status { is_learner, .. }, _) if is_learner => Class::Learner,
        (Client::Status { has_leader, .. }, _) => match has_leader {
            true => Class::Ok,
            false => Class::NoLeader,
        },
        (Client::Nameless { has_leader }, _) => match has_leader {
            true => Class::Refused,
            false => Class::NoLeader,
        },
        (_, Some(Running::Stopped)) => Class::Dead,
        (_, Some(Running::Frozen)) => Class::Hung,
        (Client::Mute(Port::Listens | Port::Answers), _) => Class::Refused,
        (Client::Mute(_), _) if is_there => Class::Starting,
        (Client::Mute(Port::Hung), _) => Class::Hung,
        (Client::Mute(Port::Refused), Some(Running::Running)) => Class::Starting,
        (Client::Mute(Port::Refused), _) => Class::Dead,
        (Client::Mute(Port::NoWay | Port::Untried), _) => match facts.peer {
            Port::Refused => Class::Dead,
            Port::Hung => Class::Hung,
            _ => Class::Unreachable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        client: Client::Mute(Port::Untried),
        peer: Port::Untried,
        process: None,
        is_foreign: false,
    };

    fn class(client: Client, peer: Port, process: Option<Running>) -> Class {
        classify(Facts {
            client,
            peer,
            process,
            ..FACTS
        })
    }

    fn status(has_leader: bool, is_learner: bool) -> Client {
        Client::Status {
            has_leader,
            is_learner,
        }
    }

    #[test]
    fn who_answers_is_judged_by_the_answer() {
        assert_eq!(class(status(true, false), Port::Answers, None), Class::Ok);
        // A peer port that we do not get to says nothing against it.
        assert_eq!(class(status(true, false), Port::NoWay, None), Class::Ok);
        assert_eq!(
            class(status(false, false), Port::Answers, None),
            Class::NoLeader
        );
        assert_eq!(
            class(status(true, true), Port::Answers, None),
            Class::Learner
        );
        let nameless = |has_leader| Client::Nameless { has_leader };
        assert_eq!(class(nameless(true), Port::Answers, None), Class::Refused);
        assert_eq!(class(nameless(false), Port::Answers, None), Class::NoLeader);
    }

    #[test]
    fn a_silent_client_port_is_told_from_a_hung_process_by_the_peer_port() {
        let hung = Client::Mute(Port::Hung);
        assert_eq!(class(hung, Port::Answers, None), Class::Starting);
        assert_eq!(class(hung, Port::Listens, None), Class::Starting);
        assert_eq!(class(hung, Port::Hung, None), Class::Hung);
        assert_eq!(class(hung, Port::NoWay, None), Class::Hung);
        assert_eq!(class(hung, Port::Hung, Some(Running::Frozen)), Class::Hung);
    }

    #[test]
    fn nobody_who_listens_is_dead_unless_the_other_port_or_the_node_says_otherwise() {
        let refused = Client::Mute(Port::Refused);
        assert_eq!(class(refused, Port::Refused, None), Class::Dead);
        assert_eq!(class(refused, Port::NoWay, None), Class::Dead);
        assert_eq!(class(refused, Port::Answers, None), Class::Starting);
        let running = Some(Running::Running);
        assert_eq!(class(refused, Port::Refused, running), Class::Starting);
        let unknown = Some(Running::Unknown);
        assert_eq!(class(refused, Port::Refused, unknown), Class::Dead);
    }

    #[test]
    fn no_way_there_may_mean_that_it_is_alive() {
        let no_way = Client::Mute(Port::NoWay);
        assert_eq!(class(no_way, Port::NoWay, None), Class::Unreachable);
        assert_eq!(
            class(no_way, Port::NoWay, Some(Running::Running)),
            Class::Unreachable
        );
        assert_eq!(
            class(no_way, Port::NoWay, Some(Running::Stopped)),
            Class::Dead
        );
        assert_eq!(class(no_way, Port::Refused, None), Class::Dead);
        assert_eq!(class(no_way, Port::Answers, None), Class::Starting);
        let untried = Client::Mute(Port::Untried);
        assert_eq!(class(untried, Port::Untried, None), Class::Unreachable);
        assert_eq!(class(untried, Port::Refused, None), Class::Dead);
    }

    #[test]
    fn who_turns_us_away_is_refused_and_who_has_another_cluster_foreign() {
        let listens = Client::Mute(Port::Listens);
        assert_eq!(class(listens, Port::Listens, None), Class::Refused);
        let facts = Facts {
            client: status(true, false),
            is_foreign: true,
            ..FACTS
        };
        assert_eq!(classify(facts), Class::Foreign);
        let (one, other) = (Some(ClusterId(1)), Some(ClusterId(2)));
        assert!(is_foreign(one, other) && !is_foreign(one, one) && !is_foreign(None, one));
    }
}
