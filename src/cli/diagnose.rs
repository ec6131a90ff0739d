//! `etcdrx diagnose`

use std::time::{Duration, Instant};

use clap::Args;
use etcdrx::config::Config;
use etcdrx::recovery::directory::label;
use etcdrx::recovery::judge::{Diagnosis, Found, judge};
use etcdrx::recovery::observation::{Class, Member};
use etcdrx::recovery::rank::{Candidate, Source};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Outcome;
use super::args::{EtcdArgs, RepositoryArgs};
use super::context::{Context, open_access};
use super::failure::Failure;
use super::hints::diagnosis_exit;
use super::{look, print};

/// How long to rest between two looks.
const REST: Duration = Duration::from_secs(1);

/// How many characters of a reason stand in the table; the evidence has all of it.
const REASON: usize = 90;

/// `diagnose`
#[derive(Debug, Args)]
pub(crate) struct DiagnoseArgs {
    /// Look again until there is a quorum, for this long at most
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) wait: Duration,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &DiagnoseArgs) -> Outcome {
    let config = context.configure_both(&args.etcd, &args.repository, |layers| layers)?;
    let config = look::with_node_endpoints(config);
    let began = Instant::now();
    let diagnosis = loop {
        let diagnosis = look(&config).await?;
        let is_late = began.elapsed() + REST > args.wait;
        if diagnosis.quorum.reads || is_late {
            break diagnosis;
        }
        context
            .screen
            .note(&format!("{}; looking again", diagnosis.verdict));
        sleep(REST).await;
    };
    match context.screen.json {
        true => context.screen.answer_json(&document(&diagnosis)),
        false => context.screen.answer(&text(&diagnosis)),
    }
    Ok(diagnosis_exit(&diagnosis))
}

async fn look(config: &Config) -> Result<Diagnosis, Failure> {
    let access = open_access(config)?;
    Ok(judge(&look::look(config, &access).await))
}

fn document(diagnosis: &Diagnosis) -> Value {
    let mut document = serde_json::to_value(diagnosis).expect("a diagnosis is plain data");
    document["condition"] = json!(diagnosis.condition());
    document
}

pub(super) fn text(diagnosis: &Diagnosis) -> String {
    let mut blocks = vec![verdict(diagnosis), members(diagnosis)];
    if !diagnosis.is_healthy() {
        blocks.push(list("What was seen", &diagnosis.evidence));
    }
    if !diagnosis.quorum.reads && !diagnosis.candidates.is_empty() {
        blocks.push(left(&diagnosis.candidates));
    }
    if !diagnosis.ways.is_empty() {
        let ways = diagnosis.ways.iter().enumerate().map(|(at, way)| {
            format!(
                "  {}. {}\n     lost: {}\n     {}",
                at + 1,
                way.how,
                way.lost,
                way.command
            )
        });
        let ways: Vec<String> = ways.collect();
        blocks.push(format!("Ways out, the best first\n{}", ways.join("\n")));
    }
    if !diagnosis.advice.is_empty() {
        blocks.push(list("Keep in mind", &diagnosis.advice));
    }
    blocks.join("\n\n")
}

fn verdict(diagnosis: &Diagnosis) -> String {
    let mut lines = vec![diagnosis.verdict.clone()];
    if let Some(scenario) = diagnosis.scenario {
        let confidence = print::word(&diagnosis.confidence);
        lines.push(format!("scenario: {scenario} ({confidence})"));
    }
    let others = diagnosis.conditions.iter().skip(1);
    lines.extend(others.map(|found| format!("also: {}", in_words(found))));
    lines.join("\n")
}

fn in_words(found: &Found) -> String {
    let words = found.condition.words();
    match found.members.is_empty() {
        true => words.to_owned(),
        false if found.condition.is_about_a_member() => {
            format!("{} {words}", found.members.join(", "))
        }
        false => format!("{words}: {}", found.members.join(", ")),
    }
}

fn members(diagnosis: &Diagnosis) -> String {
    let heading = [
        "MEMBER", "STATE", "", "VERSION", "REVISION", "APPLIED", "WHY",
    ];
    let rows = diagnosis.members.iter().map(|member| {
        let status = member.status.as_ref();
        let told = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let is_leader = member.id.is_some() && member.id == diagnosis.quorum.leader;
        vec![
            label(member),
            state(member),
            if is_leader { "leader" } else { "" }.to_owned(),
            told(status.map(|status| status.version.clone())),
            told(status.map(|status| status.revision.to_string())),
            told(status.map(|status| status.applied_index.to_string())),
            shortened(member.because.first()),
        ]
    });
    print::table(&heading, &rows.collect::<Vec<_>>())
}

fn state(member: &Member) -> String {
    match (member.listed, member.started, member.class) {
        (true, false, Class::Unreachable | Class::Dead) => "NEVER STARTED".to_owned(),
        (.., Class::NoLeader) => "NO LEADER".to_owned(),
        (.., class) => print::word(&class).to_uppercase(),
    }
}

fn shortened(reason: Option<&String>) -> String {
    let reason = reason.map(String::as_str).unwrap_or_default();
    let reason = reason.lines().next().unwrap_or_default();
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// What the cluster could be brought back from.
fn left(candidates: &[Candidate]) -> String {
    let heading = ["LEFT", "REVISION", "RAFT ENTRY", "TAKEN", "BEHIND THE BEST"];
    let rows = candidates.iter().map(|candidate| {
        let told = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let behind = match (&candidate.unusable, candidate.lost_revisions) {
            (Some(why), _) => format!("not usable: {why}"),
            (None, Some(0)) => "nothing".to_owned(),
            (None, Some(revisions)) => format!("{revisions} revisions"),
            (None, None) => "-".to_owned(),
        };
        vec![
            what(&candidate.source),
            told(candidate.revision.map(|revision| revision.to_string())),
            told(candidate.index.map(|index| index.to_string())),
            told(candidate.taken_at.map(print::time)),
            behind,
        ]
    });
    print::table(&heading, &rows.collect::<Vec<_>>())
}

fn what(source: &Source) -> String {
    match source {
        Source::Restart { members } => format!("all of {}", members.join(", ")),
        Source::Live { member } => format!("{member}, running"),
        Source::Salvage { member } => format!("directory of {member}"),
        Source::Database { member } => format!("database of {member}"),
        Source::Backup { id } => format!("backup {id}"),
    }
}

fn list(title: &str, items: &[String]) -> String {
    let items = items
        .iter()
        .map(|item| format!("  - {}", item.replace('\n', "\n    ")));
    let mut lines = vec![title.to_owned()];
    lines.extend(items);
    lines.join("\n")
}
