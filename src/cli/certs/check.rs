//! `etcdrx certs check`

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use etcdrx::certs::check::{
    Client, Member, Options, Pair, Release, Subject, User, add_started, check, key_beside, look_up,
    read_directory, read_file, read_inventory,
};
use etcdrx::config::EtcdFlags;
use etcdrx::manifest::{Finding, Severity};
use etcdrx::notify::Metrics;
use etcdrx::schedule::Job;
use serde_json::json;

use super::ports::{self, PortArgs};
use super::text;
use crate::cli::Outcome;
use crate::cli::context::{Context, now};
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;
use crate::cli::tell::{End, Run};

/// `certs check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Directory with certificates, as `certs gen`, kubeadm or cfssl lays them out [default: pki, if nothing else is named]
    directory: Option<PathBuf>,

    /// Directory with one directory for each member, which are checked against each other
    #[arg(long, value_name = "DIR", conflicts_with = "directory")]
    inventory: Option<PathBuf>,

    /// A member's configuration file, in YAML; may be given for each member
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,

    /// A member's systemd unit, or what `systemctl cat` prints; may be given for each member
    #[arg(long, value_name = "FILE")]
    unit: Vec<PathBuf>,

    /// The manifest of a member's static pod; may be given for each member
    #[arg(long, value_name = "FILE")]
    manifest: Vec<PathBuf>,

    /// Also find what an etcd of this version will not take
    #[arg(long, value_name = "VERSION")]
    for_version: Option<Version>,

    /// Let warnings count as errors
    #[arg(long)]
    strict: bool,

    /// Names and addresses by which clients reach the members
    #[arg(long, value_name = "HOST,...", value_delimiter = ',')]
    hosts: Vec<String>,

    /// The users of etcd that clients log in as; a client's certificate for another is an error
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    users: Vec<String>,

    /// As whom etcd runs, who must be able to read its files [default: as the unit or the manifest says, or whose the data is]
    #[arg(long, value_name = "NAME")]
    as_user: Option<String>,

    #[command(flatten)]
    loose: LooseArgs,

    #[command(flatten)]
    ports: PortArgs,
}

/// Files that are named one by one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Single files (each key is looked for beside its certificate)")]
struct LooseArgs {
    /// What a member shows on its client port
    #[arg(long, value_name = "FILE")]
    server_cert: Option<PathBuf>,

    /// What a member shows to its peers
    #[arg(long, value_name = "FILE")]
    peer_cert: Option<PathBuf>,

    /// What a client shows; may be given more than once
    #[arg(long, value_name = "FILE")]
    client_cert: Vec<PathBuf>,

    /// Whom the client port trusts
    #[arg(long, value_name = "FILE")]
    trusted_ca: Option<PathBuf>,

    /// Whom the peer port trusts [default: whom the client port trusts]
    #[arg(long, value_name = "FILE")]
    peer_trusted_ca: Option<PathBuf>,
}

/// The versions whose rules are known.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Version {
    /// etcd 3.6
    #[value(name = "3.6")]
    V36,
    /// etcd 3.7
    #[value(name = "3.7")]
    V37,
}

pub(super) async fn run(context: &Context<'_>, args: &CheckArgs) -> Outcome {
    let mut subject = subject(args)?;
    subject.hosts.clone_from(&args.hosts);
    subject.users.clone_from(&args.users);
    if let Some(name) = &args.as_user {
        let user = User::find(name, &[]).map_err(|problem| Failure::no_such_user(&problem))?;
        for member in &mut subject.members {
            member.user = Some(Ok(user.clone()));
        }
    }
    look_up(&mut subject).await;
    let options = Options {
        now: now(),
        release: args.for_version.map(|version| match version {
            Version::V36 => Release::V36,
            Version::V37 => Release::V37,
        }),
    };
    let mut findings = check(&subject, &options);
    if !args.ports.any() {
        answer(context, &subject, 0, &findings);
        return Ok(exit(args, &findings));
    }
    // Running members are those of the configured cluster: whoever is told of that one hears of this.
    let config = ports::configure(context, &args.ports)?;
    let run = Run::begin(context, &config, Job::Certificates)?;
    let looked = ports::look(context, &args.ports, &config, &subject).await;
    let outcome = looked.map(|looked| {
        findings.extend(looked.findings);
        answer(context, &subject, args.ports.count(), &findings);
        (exit(args, &findings), looked.ends)
    });
    let end = match &outcome {
        Ok((exit, _)) => End::worked(*exit, &findings),
        Err(failure) => End::failed(failure),
    };
    let first = outcome.iter().flat_map(|(_, ends)| ends).min();
    run.end(&end, |metrics| measure(metrics, first)).await;
    outcome.map(|(exit, _)| exit)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
fn measure(metrics: &mut Metrics, first: Option<&DateTime<Utc>>) {
    if let Some(first) = first {
        let seconds = first.timestamp() as f64;
        metrics.set("etcdrx_certificates_next_expiry_timestamp_seconds", seconds);
    }
}

/// What the findings make the exit code.
fn exit(args: &CheckArgs, findings: &[Finding]) -> Exit {
    let is_bad = |finding: &Finding| match finding.severity {
        Severity::Error => true,
        Severity::Warning => args.strict,
        Severity::Info => false,
    };
    let silent = |finding: &&Finding| finding.code == "endpoint-unreachable";
    match findings.iter().any(is_bad) {
        true if findings
            .iter()
            .filter(|one| is_bad(one))
            .all(|one| silent(&one)) =>
        {
            Exit::Unreachable
        }
        true => Exit::Findings,
        false => Exit::Done,
    }
}

/// Everything that was named, in one.
fn subject(args: &CheckArgs) -> Result<Subject, Failure> {
    let mut subject = match (&args.inventory, &args.directory) {
        (Some(inventory), _) => read_inventory(inventory)?,
        (None, Some(directory)) => read_directory(directory)?,
        (None, None) => Subject::default(),
    };
    for path in &args.config_file {
        let flags = EtcdFlags::from_config(&text(path)?, &path.to_string_lossy())?;
        add_started(flags, &mut subject);
    }
    for path in &args.unit {
        let flags = EtcdFlags::from_unit(&text(path)?, &|path| fs::read_to_string(path).ok())?;
        add_started(flags, &mut subject);
    }
    for path in &args.manifest {
        let flags = EtcdFlags::from_manifest(&text(path)?, &path.to_string_lossy())?;
        add_started(flags, &mut subject);
    }
    add_loose(&args.loose, &mut subject);
    let is_empty = subject.members.is_empty() && subject.clients.is_empty();
    // Ports can be looked at without a file.
    let is_meant = !args.ports.any() || Path::new("pki").is_dir();
    if is_empty && is_meant {
        return Ok(read_directory(&PathBuf::from("pki"))?);
    }
    Ok(subject)
}

fn add_loose(args: &LooseArgs, subject: &mut Subject) {
    let trusted = args.trusted_ca.as_deref().map(read_file);
    let pair = |cert: &PathBuf| {
        let key = key_beside(cert);
        Pair {
            cert: read_file(cert),
            key: key.is_file().then(|| read_file(&key)),
        }
    };
    if args.server_cert.is_some() || args.peer_cert.is_some() {
        let peer_trusted = args.peer_trusted_ca.as_deref().map(read_file);
        subject.members.push(Member {
            name: "the member".to_owned(),
            server: args.server_cert.as_ref().map(pair),
            peer: args.peer_cert.as_ref().map(pair),
            trusted: trusted.clone(),
            peer_trusted: peer_trusted.or_else(|| trusted.clone()),
            ..Member::default()
        });
    }
    let clients = args.client_cert.iter().map(|cert| Client {
        pair: pair(cert),
        trusted: trusted.clone(),
        is_proxy: false,
    });
    subject.clients.extend(clients);
}

fn answer(context: &Context<'_>, subject: &Subject, ports: usize, findings: &[Finding]) {
    let (members, clients) = (subject.members.len(), subject.clients.len());
    if context.screen.json {
        let document = json!({"members": members, "clients": clients, "findings": findings});
        context.screen.answer_json(&document);
        return;
    }
    let mut lines = Vec::new();
    if !findings.is_empty() {
        lines.push(print::findings(findings));
    }
    let count = |severity| {
        let of_it = findings.iter().filter(|one| one.severity == severity);
        of_it.count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let several = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        many => format!("{many} {word}s"),
    };
    let counted = [
        (members, "member"),
        (clients, "client"),
        (ports, "running port"),
    ];
    let counted = counted.iter().filter(|(count, _)| *count > 0);
    let of: Vec<String> = counted.map(|(count, word)| several(*count, word)).collect();
    let of = of.join(", ");
    lines.push(match (errors, warnings) {
        (0, 0) => format!("nothing is wrong with {of}"),
        _ => format!(
            "{} and {} for {of}",
            several(errors, "error"),
            several(warnings, "warning")
        ),
    });
    context.screen.answer(&lines.join("\n"));
}
