//! `etcdrx certs renew`

use clap::Args;
use etcdrx::pki::{self, Renewal, Renewed, Which};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::Exit;
use super::directory::DirectoryArgs;

/// `certs renew`
#[derive(Debug, Args)]
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

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

pub(super) fn run(context: &Context<'_>, args: &RenewArgs) -> Outcome {
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
        context.screen.answer_json(
            &json!({"renewed": all, "replaced": generated.replaced, "dry_run": args.dry_run}),
        );
        return Ok(Exit::Done);
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
    context.screen.answer(&lines.join("\n"));
    Ok(Exit::Done)
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
