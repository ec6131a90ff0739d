//! `etcdrx check`

use etcdrx::check::{Report, check_attachments, check_cluster, check_repository};
use etcdrx::manifest::Finding;
use etcdrx::repository::Mode;
use serde_json::json;

use super::Outcome;
use super::args::CheckArgs;
use super::context::{Context, now, open_access, open_folders};
use super::failure::{Exit, Failure};
use super::print;
use super::upgrade;

pub(super) async fn run(context: &Context<'_>, args: &CheckArgs) -> Outcome {
    let config = context.configure_both(&args.etcd, &args.repository, |layers| layers)?;
    if let Some(to) = args.upgrade.to {
        return upgrade::run(context, &config, &args.upgrade, to).await;
    }
    let access = open_access(&config)?;
    let mut report = Report::default();
    check_cluster(&access, &config.backup.member, now(), &mut report).await;
    check_attachments(&config.backup.attach, &mut report);
    // What is wrong with the repository must not hide what was learnt of the cluster.
    for (settings, folder) in open_folders(&config, Mode::Create)? {
        let tried = match folder {
            Ok(folder) => check_repository(&folder, now, &mut report)
                .await
                .map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = tried {
            let finding = unusable(settings.name.as_deref(), &failure);
            report.findings.push(finding);
        }
    }
    answer(context, &report);
    Ok(match print::any_error(&report.findings) {
        true => Exit::Findings,
        false => Exit::Done,
    })
}

fn unusable(name: Option<&str>, failure: &Failure) -> Finding {
    let mut message = name.map_or_else(String::new, |name| format!("{name}: "));
    message.push_str(&failure.one_line());
    for hint in &failure.hints {
        message.push_str("; ");
        message.push_str(hint);
    }
    Finding::error("repository", message)
}

pub(super) fn answer(context: &Context<'_>, report: &Report) {
    let screen = context.screen;
    if screen.json {
        screen.answer_json(&json!({"passed": report.passed, "findings": report.findings}));
        return;
    }
    let passed = report.passed.iter().map(|text| format!("ok {text}"));
    let mut lines: Vec<String> = passed.collect();
    if !report.findings.is_empty() {
        lines.push(print::findings(&report.findings));
    }
    lines.push(match report.findings.len() {
        0 => "everything works".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    });
    screen.answer(&lines.join("\n"));
}
