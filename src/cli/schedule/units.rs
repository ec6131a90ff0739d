//! `etcdrx schedule print`: what another scheduler needs, made of the configuration.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use etcdrx::config::Config;
use etcdrx::schedule::Calendar;

use super::{PrintArgs, Scheduler};
use crate::cli::Outcome;
use crate::cli::args::RepositoryArgs;
use crate::cli::context::{Context, now};
use crate::cli::failure::{Exit, Failure};

const SERVICE: &str = include_str!("etcdrx.service.template");
const DEPLOYMENT: &str = include_str!("deployment.yaml.template");

/// What the templates are filled with.
pub(super) struct Facts {
    program: PathBuf,
    config_file: PathBuf,
    config: Config,
}

impl Facts {
    /// Refuses a configuration that schedules nothing, or nothing that can be kept.
    pub(super) fn of(context: &Context<'_>) -> Result<Self, Failure> {
        let config = context.configure(&RepositoryArgs::default())?;
        Calendar::of(&config.schedule, now(), || 0.0)?;
        let file = context.config_file();
        let file = file.unwrap_or_else(|| PathBuf::from("/etc/etcdrx/etcdrx.toml"));
        Ok(Self {
            program: env::current_exe().map_err(Failure::no_program)?,
            config_file: std::path::absolute(&file).unwrap_or(file),
            config,
        })
    }

    /// The unit of a service that stays.
    pub(super) fn service(&self) -> String {
        let mut writable = String::new();
        for path in self.writable() {
            let _ = writeln!(writable, "ReadWritePaths=-{}", path.display());
        }
        SERVICE
            .replace("@program@", &self.program.display().to_string())
            .replace("@config@", &self.config_file.display().to_string())
            .replace("@writable@\n", &writable)
    }

    /// The directories outside of its own that the service writes to.
    fn writable(&self) -> Vec<PathBuf> {
        let repositories = self.config.repositories.all().iter();
        let directories = repositories.filter_map(|one| one.url.strip_prefix("file://"));
        let metrics = self.config.notify.metrics_file.as_deref();
        let metrics = metrics.and_then(Path::parent);
        let all = directories.map(PathBuf::from);
        all.chain(metrics.map(PathBuf::from)).collect()
    }

    fn crontab(&self) -> String {
        let schedule = &self.config.schedule;
        let zone = schedule.timezone.as_deref().unwrap_or("UTC");
        let mut text = format!(
            "# For /etc/cron.d/etcdrx. A backup does not begin while another run is at work; --quiet says nothing but errors.\nSHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCRON_TZ={zone}\n"
        );
        let commands = [
            (&schedule.backup, "backup"),
            (&schedule.verify, "verify latest"),
            (&schedule.prune, "prune --yes --wait 5m"),
            (&schedule.drill, "drill backup latest"),
        ];
        let (program, config) = (self.program.display(), self.config_file.display());
        for (expression, command) in commands {
            if let Some(expression) = expression {
                let _ = writeln!(
                    text,
                    "{expression} root {program} --config {config} --quiet {command}"
                );
            }
        }
        text
    }
}

pub(super) fn print(context: &Context<'_>, args: &PrintArgs) -> Outcome {
    let facts = Facts::of(context)?;
    let text = match args.scheduler {
        Scheduler::Systemd => facts.service(),
        Scheduler::Cron => facts.crontab(),
        Scheduler::Kubernetes => DEPLOYMENT.replace("@image@", &args.image),
    };
    context.screen.answer(text.trim_end());
    Ok(Exit::Done)
}
