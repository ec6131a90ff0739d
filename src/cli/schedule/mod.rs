//! `etcdrx schedule`

mod install;
mod manifests;
mod run;
mod units;
mod words;
mod work;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use self::units::{Facts, Unit};
use super::Outcome;
use super::context::Context;
use super::failure::{Exit, Failure};

/// `schedule`
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Stay, and do what [schedule] in etcdrx.toml says
    Run(RunArgs),
    /// Print what another scheduler needs: units, a crontab, or manifests
    Print(PrintArgs),
    /// Put the units where systemd finds them
    Install(InstallArgs),
}

/// `schedule run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where it is kept what was done [default: /var/lib/etcdrx, or below the home directory]
    #[arg(long, value_name = "DIR", env = "ETCDRX_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Work without asking whether another service of this cluster does; writes nothing to etcd
    #[arg(long)]
    pub(crate) alone: bool,
}

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheduler {
    /// A hardened service that stays
    Systemd,
    /// A crontab for /etc/cron.d
    Cron,
    /// A deployment on a control plane of kubeadm
    Kubernetes,
}

/// `schedule print`
#[derive(Debug, Args)]
pub(crate) struct PrintArgs {
    /// For whom
    pub(crate) scheduler: Scheduler,

    /// The image that holds this program
    #[arg(long, value_name = "IMAGE", default_value = concat!("etcdrx:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,

    /// For systemd: a service and a timer for each job, rather than a service that stays
    #[arg(long)]
    pub(crate) timers: bool,

    /// For Kubernetes: a cron job for each job, rather than a deployment that stays
    #[arg(long)]
    pub(crate) cronjobs: bool,
}

/// `schedule install`
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// For whom; systemd is the only one
    #[arg(value_parser = ["systemd"])]
    pub(crate) scheduler: String,

    /// Where the unit goes
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    pub(crate) unit_dir: PathBuf,

    /// A service and a timer for each job, rather than a service that stays
    #[arg(long)]
    pub(crate) timers: bool,
}

pub(super) async fn dispatch(context: &Context<'_>, command: &ScheduleCommand) -> Outcome {
    match command {
        ScheduleCommand::Run(args) => run::run(context, args).await,
        ScheduleCommand::Print(args) => print(context, args),
        ScheduleCommand::Install(args) => install::install(context, args),
    }
}

fn print(context: &Context<'_>, args: &PrintArgs) -> Outcome {
    let facts = Facts::of(context)?;
    let text = match (args.scheduler, args.timers, args.cronjobs) {
        (Scheduler::Systemd, false, false) => facts.service().text,
        (Scheduler::Systemd, true, false) => in_one(&facts.timers()?),
        (Scheduler::Cron, false, false) => facts.crontab(),
        (Scheduler::Kubernetes, false, false) => manifests::deployment(&facts, &args.image),
        (Scheduler::Kubernetes, false, true) => manifests::cron_jobs(&facts, &args.image)?,
        _ => {
            let problem = "--timers goes with systemd, and --cronjobs with kubernetes";
            return Err(Failure::bad_words(problem.to_owned()));
        }
    };
    context.screen.answer(text.trim_end());
    Ok(Exit::Done)
}

/// Several files, each under its name, as `systemctl cat` shows them.
fn in_one(units: &[Unit]) -> String {
    let texts = units
        .iter()
        .map(|unit| format!("# /etc/systemd/system/{}\n{}", unit.name, unit.text));
    texts.collect::<Vec<_>>().join("\n")
}
