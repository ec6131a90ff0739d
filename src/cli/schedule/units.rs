//! What other schedulers of a machine need, made of the configuration: units, timers, a crontab.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use etcdrx::config::Config;
use etcdrx::schedule::calendar::Error;
use etcdrx::schedule::{Calendar, Job, Plain, expression};

use super::words::patient_words;
use crate::cli::args::RepositoryArgs;
use crate::cli::context::{Context, now};
use crate::cli::failure::Failure;

const SERVICE: &str = include_str!("etcdrx.service.template");
const JOB_SERVICE: &str = include_str!("job.service.template");
const JOB_TIMER: &str = include_str!("job.timer.template");
/// What every service is kept from, whatever it does.
const HARDENING: &str = include_str!("hardening.template");

/// What the templates are filled with.
pub(super) struct Facts {
    program: PathBuf,
    config_file: PathBuf,
    pub(super) config: Config,
}

/// A job that is configured.
pub(super) struct Entry<'a> {
    pub(super) job: Job,
    /// When, as it stands in the configuration.
    pub(super) expression: &'a str,
    /// What is typed after the program's name and its configuration.
    pub(super) words: Vec<String>,
}

/// A file for systemd.
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) is_timer: bool,
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

    /// Everything that is configured, in the order of importance.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        Job::ALL.into_iter().filter_map(|job| {
            Some(Entry {
                job,
                expression: expression(&self.config.schedule, job)?.trim(),
                words: patient_words(job, &self.config.cluster.endpoints),
            })
        })
    }

    /// By whose clocks.
    pub(super) fn zone(&self) -> &str {
        let zone = self.config.schedule.timezone.as_deref();
        zone.unwrap_or("UTC")
    }

    /// The unit of a service that stays.
    pub(super) fn service(&self) -> Unit {
        Unit {
            name: "etcdrx.service".to_owned(),
            text: self.fill(SERVICE),
            is_timer: false,
        }
    }

    /// A service and a timer for each job.
    ///
    /// # Errors
    /// If a timer cannot say what is configured.
    pub(super) fn timers(&self) -> Result<Vec<Unit>, Failure> {
        let mut units = Vec::new();
        for entry in self.entries() {
            let Entry { job, words, .. } = &entry;
            let service = JOB_SERVICE
                .replace("@command@", job.command())
                .replace("@words@", &words.join(" "));
            units.push(Unit {
                name: format!("etcdrx-{job}.service"),
                text: self.fill(&service),
                is_timer: false,
            });
            units.push(Unit {
                name: format!("etcdrx-{job}.timer"),
                text: self.timer(&entry)?,
                is_timer: true,
            });
        }
        Ok(units)
    }

    fn timer(&self, entry: &Entry<'_>) -> Result<String, Failure> {
        let plain = Plain::read(entry.expression).ok_or_else(|| not_said(entry, "systemd"))?;
        let calendar = plain.on_calendar(self.zone());
        let calendar: Vec<String> = calendar
            .iter()
            .map(|line| format!("OnCalendar={line}"))
            .collect();
        let jitter = self.config.schedule.jitter.map_or(String::new(), |jitter| {
            let seconds = jitter.as_secs();
            format!("RandomizedDelaySec={seconds}\nFixedRandomDelay=true\n")
        });
        Ok(JOB_TIMER
            .replace("@command@", entry.job.command())
            .replace("@expression@", entry.expression)
            .replace("@calendar@", &calendar.join("\n"))
            .replace("@jitter@\n", &jitter))
    }

    fn fill(&self, template: &str) -> String {
        let mut writable = String::new();
        for path in self.writable() {
            let _ = writeln!(writable, "ReadWritePaths=-{}", path.display());
        }
        template
            .replace("@hardening@\n", HARDENING)
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

    /// Lines for /etc/cron.d.
    pub(super) fn crontab(&self) -> String {
        let mut text = format!(
            "# For /etc/cron.d/etcdrx. What writes waits five minutes for another run at work; --quiet says nothing but errors.\nSHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCRON_TZ={}\n",
            self.zone()
        );
        let (program, config) = (self.program.display(), self.config_file.display());
        for entry in self.entries() {
            let _ = writeln!(
                text,
                "{} root {program} --config {config} --quiet {}",
                entry.expression,
                entry.words.join(" ")
            );
        }
        text
    }
}

/// What `scheduler` cannot say.
pub(super) fn not_said(entry: &Entry<'_>, scheduler: &'static str) -> Failure {
    let error = Error::NotSaid {
        job: entry.job,
        text: entry.expression.to_owned(),
        scheduler,
    };
    error.into()
}
