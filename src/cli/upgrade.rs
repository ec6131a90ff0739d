//! `etcdrx check --upgrade-to`

use std::path::{Path, PathBuf};

use clap::Args;
use etcdrx::config::{Config, DEFAULT_ENDPOINT, Reach};
use etcdrx::manifest::{Finding, Severity};
use etcdrx::upgrade::{
    Facts, Minor, Snapshot, ask, judge, look_at_data, look_at_node, look_at_settings,
    look_at_snapshot,
};
use serde_json::json;

use super::Outcome;
use super::context::{Context, now, open_access, open_catalog};
use super::failure::{Exit, Failure};
use super::print;
use super::snapshot::is_file;

/// What is asked of `check` before an upgrade.
#[derive(Debug, Args)]
#[command(next_help_heading = "Before an upgrade")]
pub(crate) struct UpgradeArgs {
    /// Find what would keep this version of etcd from starting on the cluster, or would switch protection off; nothing else is checked
    #[arg(long = "upgrade-to", value_name = "VERSION")]
    pub(crate) to: Option<Minor>,

    /// What says how a member is started: etcd's configuration file, a systemd unit, a file of variables, a pod's manifest; may be
    /// given for each member
    #[arg(long, value_name = "FILE", requires = "to")]
    etcd_config: Vec<PathBuf>,

    /// A member's data directory, also of one that runs; may be given for each member
    #[arg(long, value_name = "DIR", requires = "to")]
    data_dir: Vec<PathBuf>,

    /// What is to be restored with the new version: a snapshot file, a member's database, a backup's id, or `latest`
    #[arg(long, value_name = "SOURCE", requires = "to")]
    source: Vec<String>,
}

pub(super) async fn run(
    context: &Context<'_>,
    config: &Config,
    args: &UpgradeArgs,
    to: Minor,
) -> Outcome {
    let mut facts = Facts::default();
    look_at_files(config, args, &mut facts)?;
    look_at_sources(context, config, args, &mut facts).await?;
    // Files are enough, unless somebody says where etcd is.
    if facts.is_empty() || config.cluster.endpoints != [DEFAULT_ENDPOINT] {
        let access = open_access(config)?;
        ask(&access, &mut facts).await;
        facts.auth |= config.cluster.user.is_some();
    } else {
        let message = "no endpoints are named, so no member was asked (--endpoints); what follows is from files alone";
        facts.findings.push(Finding::note("not-asked", message));
    }
    let from = facts.version();
    let findings = judge(&facts, from, to, now());
    answer(context, &facts, to, &findings);
    let mut errors = findings
        .iter()
        .filter(|one| one.severity == Severity::Error);
    let is_silent = |one: &Finding| one.code == "endpoint-unreachable";
    Ok(match print::any_error(&findings) {
        true if errors.all(is_silent) => Exit::Unreachable,
        true => Exit::Findings,
        false => Exit::Done,
    })
}

fn look_at_files(config: &Config, args: &UpgradeArgs, facts: &mut Facts) -> Result<(), Failure> {
    for path in &args.etcd_config {
        look_at_settings(path, facts)?;
    }
    for path in &args.data_dir {
        look_at_data(path, None, facts);
    }
    for node in &config.nodes {
        look_at_node(node, facts)?;
        if node.reach != Reach::Local {
            let message = format!(
                "node {} is not this machine: run this check there, too, or bring its files here (--etcd-config)",
                node.name
            );
            facts.findings.push(Finding::note("node-not-seen", message));
        }
    }
    Ok(())
}

async fn look_at_sources(
    context: &Context<'_>,
    config: &Config,
    args: &UpgradeArgs,
    facts: &mut Facts,
) -> Result<(), Failure> {
    for source in &args.source {
        if is_file(source) {
            look_at_snapshot(Path::new(source), facts)?;
            continue;
        }
        let (folder, catalog) = open_catalog(context, config).await?;
        let manifest = &catalog.find(source, &folder)?.manifest;
        let version = manifest.storage_version.as_deref();
        facts.snapshots.push(Snapshot {
            name: format!("backup {}", manifest.id),
            storage_version: version.and_then(Minor::of_version),
        });
    }
    Ok(())
}

fn answer(context: &Context<'_>, facts: &Facts, to: Minor, findings: &[Finding]) {
    let from = facts.version().map(|from| from.to_string());
    let looked_at = [
        (
            facts.live.len(),
            "member that answers",
            "members that answer",
        ),
        (
            facts.settings.len(),
            "member's settings",
            "members' settings",
        ),
        (facts.data.len(), "data directory", "data directories"),
        (facts.snapshots.len(), "snapshot", "snapshots"),
    ];
    if context.screen.json {
        let [live, settings, data, snapshots] = looked_at.map(|(count, ..)| count);
        context.screen.answer_json(&json!({
            "from": from,
            "to": to.to_string(),
            "members": live,
            "settings": settings,
            "data_directories": data,
            "snapshots": snapshots,
            "findings": findings,
        }));
        return;
    }
    let looked_at = looked_at.iter().filter(|(count, ..)| *count > 0);
    let looked_at: Vec<String> = looked_at
        .map(|(count, one, several)| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {several}"),
        })
        .collect();
    let looked_at = match looked_at.is_empty() {
        true => "nothing".to_owned(),
        false => looked_at.join(", "),
    };
    let from = from.map_or_else(String::new, |from| format!("from etcd {from} "));
    let mut lines = Vec::new();
    if !findings.is_empty() {
        lines.push(print::findings(findings));
    }
    let errors = findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    let verdict = match errors {
        0 => "nothing stands in the way".to_owned(),
        1 => "1 thing to change first".to_owned(),
        many => format!("{many} things to change first"),
    };
    lines.push(format!(
        "{from}to etcd {to}: {verdict}; looked at: {looked_at}"
    ));
    context.screen.answer(&lines.join("\n"));
}
