//! `etcdrx certs renew`

use clap::Args;
use etcdrx::pki::{self, Renewal, Renewed, Which};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::directory::DirectoryArgs;
use super::show::of_port;

/// `certs renew`
#[derive(Debug, Args)]
#[command(override_usage = "etcdrx certs renew [OPTIONS] <NAME>... | --all | --due")]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct RenewArgs {
    /// The members and clients whose certificates are renewed
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "due"], conflicts_with_all = ["all", "due"])]
    pub(crate) name: Vec<String>,

    /// All of them
    #[arg(long, conflicts_with = "due")]
    pub(crate) all: bool,

    /// Those of which less than a third of their life is left, or less than 30 days
    #[arg(long)]
    pub(crate) due: bool,

    /// Keep the keys
    #[arg(long)]
    pub(crate) reuse_key: bool,

    /// Say what would be renewed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Running ports that must show the new certificates afterwards, separated by commas
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    pub(crate) probe: Vec<String>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &RenewArgs) -> Outcome {
    let directory = &args.directory;
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let renewal = Renewal {
        which: match (args.all, args.due) {
            (true, _) => Which::All,
            (_, true) => Which::Due,
            _ => Which::Of(args.name.clone()),
        },
        keeps_key: args.reuse_key,
        dry_run: args.dry_run,
    };
    let (renewed, generated) = pki::renew(&directory.setting(&profile), &renewal)?;
    if context.screen.json {
        let all: Vec<Value> = renewed.iter().map(describe).collect();
        let late = late(args, &renewed).await?;
        context.screen.answer_json(&json!({
            "renewed": all,
            "replaced": generated.replaced,
            "dry_run": args.dry_run,
            "not_served": late,
        }));
        return Ok(verdict(&late));
    }
    let mut lines: Vec<String> = renewed.iter().map(line).collect();
    lines.push(match (renewed.len(), args.dry_run) {
        (0, _) => "nothing is to be renewed".to_owned(),
        (count, true) => format!("\n{count} certificates would be renewed; nothing was changed"),
        (count, false) => format!(
            "\n{count} certificates were renewed; etcd takes up new files at the next connection, without a restart"
        ),
    });
    if let Some(replaced) = &generated.replaced {
        lines.push(format!("the old ones lie in {}", replaced.display()));
    }
    let late = late(args, &renewed).await?;
    lines.extend(late.iter().map(|endpoint| {
        format!(
            "{endpoint} still shows another certificate: put the new one and its key in place there"
        )
    }));
    context.screen.answer(&lines.join("\n"));
    Ok(verdict(&late))
}

/// The ports that were to show a new certificate and do not.
async fn late(args: &RenewArgs, renewed: &[Renewed]) -> Result<Vec<String>, Failure> {
    let mut late = Vec::new();
    for endpoint in args.probe.iter().filter(|_| !args.dry_run) {
        let served = of_port(endpoint).await?.certificates;
        let is_new = renewed.iter().any(|one| one.new.as_ref() == served.first());
        if !is_new {
            late.push(endpoint.clone());
        }
    }
    Ok(late)
}

fn verdict(late: &[String]) -> Exit {
    match late.is_empty() {
        true => Exit::Done,
        false => Exit::Findings,
    }
}

fn describe(renewed: &Renewed) -> Value {
    json!({
        "path": renewed.path,
        "kind": renewed.kind.name(),
        "old_serial": renewed.old.serial_hex(),
        "old_not_after": renewed.old.not_after,
        "serial": renewed.new.as_ref().map(etcdrx::certs::Certificate::serial_hex),
        "not_after": renewed.new.as_ref().map(|new| new.not_after),
        "gained": renewed.gained,
    })
}

fn line(renewed: &Renewed) -> String {
    let path = renewed.path.display().to_string();
    let day = "%Y-%m-%d";
    let old = renewed.old.not_after.format(day);
    let mut line = match &renewed.new {
        Some(new) => format!(
            "{path:<28} until {old}, now until {}",
            new.not_after.format(day)
        ),
        None => format!("{path:<28} until {old}"),
    };
    if !renewed.gained.is_empty() {
        let gained = renewed.gained.join(" and ");
        line = format!("{line}; gains {gained}, which etcd demands");
    }
    line
}
