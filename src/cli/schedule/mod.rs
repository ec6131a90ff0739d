//! `etcdrx schedule`

mod install;
mod run;
mod units;
mod work;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Outcome;
use super::context::Context;

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
}

pub(super) async fn dispatch(context: &Context<'_>, command: &ScheduleCommand) -> Outcome {
    match command {
        ScheduleCommand::Run(args) => run::run(context, args).await,
        ScheduleCommand::Print(args) => units::print(context, args),
        ScheduleCommand::Install(args) => install::install(context, args),
    }
}
