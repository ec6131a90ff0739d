//! Whom a run tells how it went besides its caller: the metrics file and the webhook. Neither ever changes an exit code.

use std::time::Instant;

use etcdrx::config::Config;
use etcdrx::id::ClusterName;
use etcdrx::manifest::Finding;
use etcdrx::notify::{Metrics, Webhook};
use etcdrx::progress::told;
use etcdrx::repository::Holder;
use etcdrx::schedule::Job;
use serde_json::{Value, json};

use super::context::{Context, now};
use super::failure::{Exit, Failure};

/// A run that is told of when it ends.
pub(super) struct Run<'a> {
    context: &'a Context<'a>,
    config: &'a Config,
    cluster: ClusterName,
    job: Job,
    began: Instant,
    webhook: Option<Webhook>,
}

/// How a run ended.
pub(super) struct End<'a> {
    exit: Exit,
    failure: Option<&'a Failure>,
    findings: &'a [Finding],
}

impl<'a> End<'a> {
    /// It failed.
    pub(super) fn failed(failure: &'a Failure) -> Self {
        Self {
            exit: failure.exit,
            failure: Some(failure),
            findings: &[],
        }
    }

    /// It did its work, and found this.
    pub(super) fn worked(exit: Exit, findings: &'a [Finding]) -> Self {
        Self {
            exit,
            failure: None,
            findings,
        }
    }
}

impl<'a> Run<'a> {
    /// Notes when it begins; a webhook that is none is told at once.
    pub(super) fn begin(
        context: &'a Context<'_>,
        config: &'a Config,
        job: Job,
    ) -> Result<Self, Failure> {
        let url = config.notify.webhook_url.as_ref();
        let webhook = url.and_then(|url| match Webhook::open(url.reveal()) {
            Ok(webhook) => Some(webhook),
            Err(error) => {
                context.screen.warn(&format!("no webhook: {error}"));
                None
            }
        });
        Ok(Self {
            context,
            config,
            cluster: config.cluster.folder()?,
            job,
            began: Instant::now(),
            webhook,
        })
    }

    /// Tells how it ended; `measure` adds what it measured.
    pub(super) async fn end(self, end: &End<'_>, measure: impl FnOnce(&mut Metrics)) {
        let was_bad = self.write_metrics(end, measure);
        let event = match end.exit {
            Exit::Done if was_bad => "resolved",
            // Whoever interrupted it knows.
            Exit::Done | Exit::Interrupted => return,
            Exit::Findings => "findings",
            _ => "failed",
        };
        let Some(webhook) = &self.webhook else { return };
        if let Err(error) = webhook.post(&self.message(event, end)).await {
            self.context.screen.warn(&told(&error));
        }
    }

    /// Writes the metrics file, and says whether it knows of an earlier run that did not end well.
    fn write_metrics(&self, end: &End<'_>, measure: impl FnOnce(&mut Metrics)) -> bool {
        let Some(path) = &self.config.notify.metrics_file else {
            return false;
        };
        let mut metrics = Metrics::read(path, &self.cluster);
        let was_bad = metrics.get(&self.name("exit_code"));
        let was_bad = was_bad.is_some_and(|code| code > 0.0);
        self.set(&mut metrics, end);
        measure(&mut metrics);
        if let Err(error) = metrics.write(path, &self.cluster) {
            self.context.screen.warn(&told(&error));
        }
        was_bad
    }

    /// What every run measures.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
    fn set(&self, metrics: &mut Metrics, end: &End<'_>) {
        let now = now().timestamp() as f64;
        let took = self.began.elapsed().as_secs_f64();
        metrics.set(&self.name("run_timestamp_seconds"), now);
        metrics.set(&self.name("exit_code"), f64::from(end.exit as u8));
        metrics.set(&self.name("duration_seconds"), took);
        if end.exit == Exit::Done {
            metrics.set(&self.name("success_timestamp_seconds"), now);
        }
        let reachable = match end.failure {
            Some(failure) if failure.is_of_repository => Some(0.0),
            // Who looks at certificates asks no repository; who failed otherwise may not have come so far.
            None if self.job != Job::Certificates => Some(1.0),
            _ => None,
        };
        if let Some(reachable) = reachable {
            metrics.set("etcdrx_repository_reachable", reachable);
        }
    }

    fn name(&self, what: &str) -> String {
        format!("etcdrx_{}_last_{what}", self.job)
    }

    /// The document for the webhook; its fields are in docs/json.md.
    fn message(&self, event: &str, end: &End<'_>) -> Value {
        let (message, causes, hints) = match end.failure {
            Some(failure) => (failure.message.clone(), &*failure.causes, &*failure.hints),
            None if end.exit == Exit::Done => ("it went well again".to_owned(), &[][..], &[][..]),
            None => (in_short(end.findings), &[][..], &[][..]),
        };
        json!({
            "event": event,
            "command": self.job.command(),
            "cluster": self.cluster,
            "exit_code": end.exit as u8,
            "code": end.exit.word(),
            "message": message,
            "causes": causes,
            "hints": hints,
            "findings": end.findings,
            "host": Holder::this_process().host,
            "time": now(),
            "etcdrx_version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// The worst of the findings, and how many there are besides.
fn in_short(findings: &[Finding]) -> String {
    // Of equals the last is the greatest: the first is wanted.
    let worst = findings.iter().rev().max_by_key(|one| one.severity);
    match (worst, findings.len()) {
        (None, _) => "it found something".to_owned(),
        (Some(worst), 1) => worst.message.clone(),
        (Some(worst), count) => format!("{} (and {} more)", worst.message, count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_worst_findings_speaks_for_all() {
        let findings = [
            Finding::warning("a", "first"),
            Finding::error("b", "second"),
            Finding::error("c", "third"),
        ];
        assert_eq!(in_short(&findings), "second (and 2 more)");
        assert_eq!(in_short(&findings[..1]), "first");
    }
}
