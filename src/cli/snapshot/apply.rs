//! `etcdrx snapshot apply`

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use etcdrx::apply::{Applied, Plan, Step, Wanted, apply, plan};
use etcdrx::config::Config;
use etcdrx::etcd::Member;
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::args::{EtcdArgs, RepositoryArgs};
use super::super::context::{Context, open_access};
use super::super::failure::{Exit, Failure};

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `snapshot apply`
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// JSON Lines, as `snapshot extract` writes them; `-` for stdin
    pub(crate) file: PathBuf,

    /// Put them; without it, only say what would be done
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Overwrite keys that have another value now
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Also put keys that hung on a lease: they stay for good then
    #[arg(long)]
    pub(crate) leased: bool,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &ApplyArgs) -> Outcome {
    let mut wanted = read(&args.file)?;
    let all = wanted.len();
    wanted.retain(|wanted| args.leased || !wanted.leased);
    let leased = all - wanted.len();
    let config = context.configure_both(&args.etcd, &RepositoryArgs::default(), |layers| layers)?;
    let member = member(&config).await?;
    let plan = plan(&member, &wanted).await?;
    let mut applied = None;
    if args.yes {
        applied = Some(apply(&member, &wanted, &plan, args.overwrite).await?);
    }
    answer(context, args, &wanted, &plan, leased, applied.as_ref());
    // Without a go-ahead nothing was asked for; with one, a key that was left alone counts.
    let left = applied.is_some_and(|applied| {
        !applied.changed_meanwhile.is_empty()
            || (!args.overwrite && plan.count(Step::Overwrite) > 0)
    });
    match left {
        true => Ok(Exit::Findings),
        false => Ok(Exit::Done),
    }
}

/// The first member that answers with quorum.
async fn member(config: &Config) -> Result<Member, Failure> {
    let access = open_access(config)?;
    let mut failure = None;
    for endpoint in &config.cluster.endpoints {
        let tried = async {
            let member = access.member(endpoint, PATIENCE).await?;
            member.linearizable_revision().await?;
            Ok::<_, etcdrx::etcd::Error>(member)
        };
        match tried.await {
            Ok(member) => return Ok(member),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(Failure::no_endpoints, Failure::from))
}

fn read(path: &Path) -> Result<Vec<Wanted>, Failure> {
    let unreadable = |source: io::Error| Failure::cannot_read(path, &source);
    let input: Box<dyn BufRead> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(path).map_err(unreadable)?)),
    };
    let mut wanted = Vec::new();
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        let read = serde_json::from_str(&line)
            .ok()
            .and_then(|json| of_line(&json));
        wanted.push(read.ok_or_else(|| Failure::not_a_key(path, number))?);
    }
    Ok(wanted)
}

fn of_line(json: &Value) -> Option<Wanted> {
    Some(Wanted {
        key: bytes(json, "key")?,
        value: bytes(json, "value")?,
        leased: json.get("lease").is_some(),
    })
}

/// Text, or what stands in base64 under the other name.
fn bytes(json: &Value, name: &str) -> Option<Vec<u8>> {
    if let Some(text) = json.get(name) {
        return Some(text.as_str()?.as_bytes().to_vec());
    }
    let encoded = json.get(format!("{name}_base64"))?.as_str()?;
    BASE64_STANDARD.decode(encoded).ok()
}

fn answer(
    context: &Context<'_>,
    args: &ApplyArgs,
    wanted: &[Wanted],
    plan: &Plan,
    leased: usize,
    applied: Option<&Applied>,
) {
    let names = |keys: &[Vec<u8>]| -> Vec<String> {
        keys.iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    };
    let (create, overwrite) = (plan.count(Step::Create), plan.count(Step::Overwrite));
    let same = plan.count(Step::Same);
    if context.screen.json {
        context.screen.answer_json(&json!({
            "create": create,
            "overwrite": overwrite,
            "same": same,
            "leased": leased,
            "put": applied.map(|applied| applied.put),
            "changed_meanwhile": applied.map(|applied| names(&applied.changed_meanwhile)),
        }));
        return;
    }
    let mut lines = Vec::new();
    for (wanted, (step, _)) in wanted.iter().zip(&plan.steps) {
        let key = String::from_utf8_lossy(&wanted.key);
        match step {
            Step::Create => lines.push(format!("+ {key}")),
            Step::Overwrite if args.overwrite => lines.push(format!("~ {key}")),
            Step::Overwrite => lines.push(format!(
                "! {key} has another value now (--overwrite puts it all the same)"
            )),
            Step::Same => {}
        }
    }
    if leased > 0 {
        lines.push(format!(
            "{leased} keys hung on a lease and are left out (--leased puts them for good)"
        ));
    }
    lines.push(match applied {
        None => format!(
            "{create} would be created, {} overwritten, {same} are the same; nothing was put: --yes does it",
            if args.overwrite { overwrite } else { 0 }
        ),
        Some(applied) => format!("{} put, {same} were the same", applied.put),
    });
    if let Some(applied) = applied {
        for key in names(&applied.changed_meanwhile) {
            lines.push(format!(
                "! {key} was changed in the meantime and is left alone"
            ));
        }
    }
    context.screen.answer(&lines.join("\n"));
}
