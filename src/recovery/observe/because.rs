//! Why a member has its class, in words, each with the place that it comes from.

use super::gather::PeerView;
use crate::etcd::{Reads, View};
use crate::id::ClusterId;
use crate::node::{Inspected, Running};

/// What the ports and the node say; a member that is well gives no reason.
pub(super) fn because(
    view: Option<&View>,
    peer: Option<&PeerView>,
    inspected: Option<&Inspected>,
    foreign: Option<ClusterId>,
) -> Vec<String> {
    let mut because = Vec::new();
    if let Some(id) = foreign {
        because.push(format!("it belongs to another cluster, {id}"));
    }
    because.extend(view.into_iter().flat_map(client));
    because.extend(peer.and_then(|peer| {
        let error = peer.peer.error.as_ref()?;
        Some(match peer.peer.answers {
            Some(true) => format!("the peer port listens, and does not let us in ({error})"),
            _ => format!("the peer port does not answer ({error})"),
        })
    }));
    if peer.is_some_and(|peer| peer.peer.error.is_none())
        && view.is_some_and(|view| view.status.is_err())
    {
        because.push("the peer port answers".to_owned());
    }
    because.extend(inspected.and_then(process));
    because
}

fn client(view: &View) -> Vec<String> {
    let endpoint = &view.endpoint;
    match (&view.status, &view.reads) {
        (Err(error), Reads::No(_)) => {
            vec![
                error.to_string(),
                format!("{endpoint}: a read with quorum does not succeed"),
            ]
        }
        (Err(error), _) => vec![error.to_string()],
        (Ok(status), _) if status.leader.is_none() => {
            vec![format!("{endpoint}: it answers, and knows no leader")]
        }
        (Ok(_), Reads::No(why)) => vec![format!("a read through it does not succeed ({why})")],
        (Ok(_), _) => Vec::new(),
    }
}

fn process(inspected: &Inspected) -> Option<String> {
    let process = &inspected.process;
    let code = process.exit_code;
    let code = code.map_or_else(String::new, |code| {
        format!(", its last exit code was {code}")
    });
    Some(match process.running {
        Running::Frozen => {
            "its process is stopped by a signal, or waits for a disk (state T or D)".to_owned()
        }
        Running::Stopped => format!("its process does not run{code}"),
        Running::Running | Running::Unknown => return None,
    })
}
