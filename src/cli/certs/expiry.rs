//! `etcdrx certs expiry`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use etcdrx::certs::Certificate;
use etcdrx::certs::check::find_certificates;
use etcdrx::notify::publish;
use serde_json::json;

use super::chain;
use crate::cli::Outcome;
use crate::cli::context::{Context, now};
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

/// `certs expiry`
#[derive(Debug, Args)]
pub(crate) struct ExpiryArgs {
    /// Directory in which certificates lie, however deep
    #[arg(default_value = "pki")]
    directory: PathBuf,

    /// How long before its end a certificate is due
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30d")]
    within: Duration,

    /// Also write the dates to a file in the Prometheus text format
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

/// One line of the answer.
struct Line {
    path: PathBuf,
    certificate: Certificate,
    is_due: bool,
}

#[expect(clippy::unused_async, reason = "as the other commands")]
pub(super) async fn run(context: &Context<'_>, args: &ExpiryArgs) -> Outcome {
    let now = now();
    let within = TimeDelta::from_std(args.within).unwrap_or(TimeDelta::MAX);
    let mut lines = Vec::new();
    for path in find_certificates(&args.directory)? {
        for certificate in chain(&path)? {
            lines.push(Line {
                is_due: certificate.not_after - now < within,
                path: path.clone(),
                certificate,
            });
        }
    }
    if lines.is_empty() {
        return Err(Failure::no_certificate(&args.directory));
    }
    lines.sort_by_key(|line| line.certificate.not_after);
    if let Some(file) = &args.prometheus {
        publish(file, &metrics(&lines))?;
    }
    answer(context, &lines, now);
    Ok(match lines.iter().any(|line| line.is_due) {
        true => Exit::Findings,
        false => Exit::Done,
    })
}

fn answer(context: &Context<'_>, lines: &[Line], now: DateTime<Utc>) {
    let left = |line: &Line| (line.certificate.not_after - now).num_days();
    if context.screen.json {
        let all = lines.iter().map(|line| {
            json!({
                "file": line.path,
                "role": line.certificate.role().name(),
                "subject": line.certificate.subject.text,
                "issuer": line.certificate.issuer.text,
                "not_after": line.certificate.not_after,
                "days_left": left(line),
                "due": line.is_due,
            })
        });
        let document = json!({"certificates": all.collect::<Vec<_>>()});
        context.screen.answer_json(&document);
        return;
    }
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let days = match (line.certificate.not_after < now, line.is_due) {
                (true, _) => "EXPIRED".to_owned(),
                (false, true) => format!("{}d DUE", left(line)),
                (false, false) => format!("{}d", left(line)),
            };
            vec![
                line.path.display().to_string(),
                line.certificate.role().words().to_owned(),
                line.certificate
                    .not_after
                    .format("%Y-%m-%d %H:%M UTC")
                    .to_string(),
                days,
                line.certificate.issuer.text.clone(),
            ]
        })
        .collect();
    let heading = ["CERTIFICATE", "ROLE", "EXPIRES", "LEFT", "ISSUER"];
    context.screen.answer(&print::table(&heading, &rows));
}

/// The dates in the Prometheus text format: of each file and role the first to end.
fn metrics(lines: &[Line]) -> String {
    const NAME: &str = "etcdrx_cert_not_after_seconds";
    let mut text = format!(
        "# HELP {NAME} When the certificate ends, in seconds since 1970.\n# TYPE {NAME} gauge\n"
    );
    let mut seen = Vec::new();
    for line in lines {
        let role = line.certificate.role().name();
        let path = line.path.to_string_lossy().replace('\\', "\\\\");
        let label = format!("path=\"{}\",role=\"{role}\"", path.replace('"', "\\\""));
        if !seen.contains(&label) {
            let end = line.certificate.not_after.timestamp();
            writeln!(text, "{NAME}{{{label}}} {end}").expect("writing to a string does not fail");
            seen.push(label);
        }
    }
    text
}
