//! What a node's answers look like to a person.

use etcdrx::datadir::inspect::{Inspection, LogFacts};
use etcdrx::node::{Answer, DatabaseFacts, Inspected, ProcessFacts, Running};

use crate::cli::print;

/// An answer in words.
pub(super) fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Inspected(inspected) => inspected_node(inspected),
        Answer::Done { changed, evidence } => {
            let verdict = match changed {
                true => "done",
                false => "nothing to do",
            };
            let lines = evidence.iter().map(|line| format!("           {line}"));
            let lines: Vec<String> = [verdict.to_owned()].into_iter().chain(lines).collect();
            lines.join("\n")
        }
        Answer::Staged {
            member_id,
            cluster_id,
            snapshot_revision,
            revision,
            changed,
        } => [
            match changed {
                true => {
                    "staged     beside the member's data; `etcdrx node place` puts it in its place"
                }
                false => "staged     already",
            }
            .to_owned(),
            format!("member     {member_id} of cluster {cluster_id}"),
            format!("revision   {revision}; the snapshot's newest is {snapshot_revision}"),
        ]
        .join("\n"),
        Answer::Salvaged {
            snapshot,
            sha256,
            size_bytes,
            revision,
            raised,
            ..
        } => {
            let mut lines = vec![
                format!("file       {}", snapshot.display()),
                format!("sha256     {sha256}; {}", print::size(*size_bytes)),
                format!("revision   {revision}"),
            ];
            lines.extend(raised.map(|raised| {
                let (before, after) = (raised.before.commit, raised.after.commit);
                format!("log        committed to {after}, before to {before}")
            }));
            lines.join("\n")
        }
    }
}

fn inspected_node(inspected: &Inspected) -> String {
    let mut lines: Vec<String> = inspected.directory.iter().map(directory).collect();
    lines.extend(process(&inspected.process));
    let flags = inspected.flags.iter();
    lines.extend(flags.map(|(name, value)| format!("flag       {name} = {value}")));
    let aside = inspected.set_aside.iter();
    lines.extend(aside.map(|path| format!("aside      {}", path.display())));
    if !inspected.findings.is_empty() {
        lines.push(print::findings(&inspected.findings));
    }
    lines.join("\n")
}

fn process(process: &ProcessFacts) -> Vec<String> {
    let running = match process.running {
        Running::Running => "runs",
        Running::Frozen => "is frozen: stopped by a signal, or waiting for a disk",
        Running::Stopped => "does not run",
        Running::Unknown => "may run: nobody here can say",
    };
    let pid = process.pid.map(|pid| format!(", process {pid}"));
    let code = process.exit_code;
    let code = code.map(|code| format!(", ended last with {code}"));
    let details = [pid, code].into_iter().flatten().collect::<String>();
    let mut lines = vec![format!("etcd       {running}{details}")];
    if let Some(etcd) = &process.etcd {
        let version = process.version.as_deref().unwrap_or("unknown");
        lines.push(format!("program    {}, version {version}", etcd.display()));
    }
    let log = process.log.iter();
    lines.extend(log.map(|line| format!("log        {line}")));
    lines
}

pub(super) fn directory(inspection: &Inspection<DatabaseFacts>) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "unknown".to_owned());
    let mut lines = vec![
        format!("directory  {}", inspection.data_dir.display()),
        format!(
            "member     {} of cluster {}",
            id(inspection.node_id.map(|id| id.to_string())),
            id(inspection.cluster_id.map(|id| id.to_string()))
        ),
    ];
    lines.extend(inspection.log.as_ref().map(log));
    if let Some(voters) = &inspection.voters {
        let voters: Vec<String> = voters.iter().map(ToString::to_string).collect();
        lines.push(format!("voters     {}", voters.join(", ")));
    }
    match (&inspection.database, inspection.database_held) {
        (Some(database), _) => lines.extend(of_database(database)),
        (None, Some(true)) => {
            lines.push(
                "database   held by a process: etcd runs on it, and it is not read".to_owned(),
            );
        }
        (None, _) => lines.push("database   not readable".to_owned()),
    }
    if let Some(free_bytes) = inspection.free_bytes {
        lines.push(format!("free       {}", print::size(free_bytes)));
    }
    if !inspection.findings.is_empty() {
        lines.push(print::findings(&inspection.findings));
    }
    lines.join("\n")
}

fn log(log: &LogFacts) -> String {
    let last = match log.last {
        Some(last) => format!("reaches to index {} of term {}", last.index, last.term),
        None => "holds no entry".to_owned(),
    };
    let commit = match log.hard_state {
        Some(state) => format!(", committed to {}", state.commit),
        None => String::new(),
    };
    format!(
        "log        {last}{commit}; {} files, {}",
        log.files, log.ending
    )
}

fn of_database(database: &DatabaseFacts) -> Vec<String> {
    let index = match database.contents.consistent_index {
        Some(index) => format!(", applied to index {index}"),
        None => String::new(),
    };
    let compacted = match database.compact_revision {
        Some(revision) => format!(", compacted to {revision}"),
        None => String::new(),
    };
    let checked = match database.live_keys {
        Some(keys) => format!("every page and record is sound, {keys} keys"),
        None => "not checked".to_owned(),
    };
    let version = database.storage_version.as_deref().unwrap_or("before 3.6");
    let mut lines = vec![
        format!(
            "database   revision {}{compacted}{index}; {}",
            database.revision,
            print::size(database.size_bytes)
        ),
        format!("           {checked}; storage version {version}"),
    ];
    for member in &database.contents.members {
        let urls = member.peer_urls.join(", ");
        lines.push(format!(
            "           knows {} {} ({urls})",
            member.id, member.name
        ));
    }
    lines
}
