//! `etcdrx certs explain`

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use etcdrx::certs::explain::{Explanation, Report, explain, read_log};
use serde_json::json;

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};

/// How wide the answer is.
const WIDTH: usize = 100;

/// How many hosts are listed for one explanation.
const MOST_HOSTS: usize = 10;

/// `certs explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The error text, as etcd's log or a client says it; a whole line of a log tells more
    #[arg(value_name = "STRING", required_unless_present = "log")]
    pub(crate) text: Option<String>,

    /// Read a whole log, and count; `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) log: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, args: &ExplainArgs) -> Outcome {
    match &args.log {
        Some(path) => of_log(context, path),
        None => of_text(context, args.text.as_deref().unwrap_or_default()),
    }
}

fn of_text(context: &Context<'_>, text: &str) -> Outcome {
    let explanations = explain(text);
    if explanations.is_empty() {
        return Err(Failure::unknown_text());
    }
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json!({ "explanations": explanations })),
        false => context.screen.answer(&readings(text, &explanations)),
    }
    Ok(Exit::Done)
}

fn of_log(context: &Context<'_>, path: &Path) -> Outcome {
    let input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(|error| Failure::cannot_read(path, &error))?),
    };
    let go_on = || !context.interrupt.is_cancelled();
    let report = read_log(BufReader::new(input), go_on);
    let report = report.map_err(|error| Failure::cannot_read(path, &error))?;
    if !go_on() {
        return Err(Failure::interrupted());
    }
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json!({ "explanations": report.explanations })),
        false => context.screen.answer(&summary(&report)),
    }
    Ok(Exit::Done)
}

/// The explanations of a text; several, where it does not tell who said it.
fn readings(text: &str, explanations: &[Explanation]) -> String {
    let mut blocks = Vec::new();
    if explanations.len() > 1 && text.trim().lines().count() == 1 {
        blocks.push("What it means depends on where it stands:".to_owned());
    }
    for explanation in explanations {
        // Of a line that was pasted it is worth saying whom it is about.
        let seen = explanation.remote.is_some().then_some(explanation);
        blocks.push(block(explanation, seen.as_slice()).join("\n"));
    }
    blocks.join("\n\n")
}

/// What a log says: one block for each kind, with the hosts that it is about.
fn summary(report: &Report) -> String {
    if report.explanations.is_empty() {
        return format!(
            "none of {} lines tells of trouble with TLS or certificates",
            report.lines
        );
    }
    let tell = match report.explained {
        1 => "tells",
        _ => "tell",
    };
    let mut blocks = vec![format!(
        "{} of {} lines {tell} of trouble with TLS or certificates:",
        report.explained, report.lines
    )];
    let mut rest: Vec<&Explanation> = report.explanations.iter().collect();
    while !rest.is_empty() {
        let first = rest[0];
        let (same, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|other| says_the_same(first, other));
        let mut lines = block(first, &same);
        lines.extend(first.lines.iter().map(|line| format!("  line    {line}")));
        blocks.push(lines.join("\n"));
        rest = others;
    }
    blocks.join("\n\n")
}

/// Whether two differ only in whom they are about.
fn says_the_same(one: &Explanation, other: &Explanation) -> bool {
    let words = |one: &Explanation| one.means.clone() + &one.cause + &one.fix + &one.look;
    one.id == other.id && one.places == other.places && words(one) == words(other)
}

/// One explanation, with whom it is about.
fn block(explanation: &Explanation, seen: &[&Explanation]) -> Vec<String> {
    let severity = explanation.severity;
    let heading = format!("{severity} [{}] {}", explanation.id, explanation.means);
    let mut lines = paragraph("", &heading);
    let places: Vec<String> = explanation.places.iter().map(ToString::to_string).collect();
    if !places.is_empty() {
        lines.extend(paragraph("  where   ", &places.join("; or ")));
    }
    lines.extend(
        seen.iter()
            .take(MOST_HOSTS)
            .flat_map(|one| paragraph("  seen    ", &sighting(one))),
    );
    if seen.len() > MOST_HOSTS {
        let others = seen.len() - MOST_HOSTS;
        let count: u64 = seen[MOST_HOSTS..].iter().map(|one| one.count).sum();
        lines.push(format!(
            "  seen    {count} times from {others} others; --json lists them"
        ));
    }
    lines.extend(paragraph("  cause   ", &explanation.cause));
    lines.extend(paragraph("  fix     ", &explanation.fix));
    lines.extend(paragraph("  look at ", &explanation.look));
    if let Some(versions) = explanation.versions {
        lines.extend(paragraph("  etcd    ", versions));
    }
    lines
}

/// How often, about whom, and when.
fn sighting(explanation: &Explanation) -> String {
    let mut parts = vec![match explanation.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }];
    if let Some(remote) = &explanation.remote {
        parts.push(format!("the other side is {remote}"));
    }
    if !explanation.names.is_empty() {
        let names = explanation.names.join(" ");
        parts.push(format!("its certificate is for {names}"));
    }
    match (&explanation.first, &explanation.last) {
        (Some(first), Some(last)) if first != last => parts.push(format!("from {first} to {last}")),
        (Some(first), _) => parts.push(format!("at {first}")),
        (None, _) => {}
    }
    parts.join(", ")
}

/// Words in lines of bounded width, behind a label and below each other.
fn paragraph(label: &str, text: &str) -> Vec<String> {
    let mut lines = vec![label.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let is_empty = line.len() == label.len();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(" ".repeat(label.len()) + word);
        } else {
            let space = if is_empty { "" } else { " " };
            line.push_str(space);
            line.push_str(word);
        }
    }
    lines
}
