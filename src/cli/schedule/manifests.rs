//! What Kubernetes needs, made of the configuration: a deployment of the service, or a cron job for each job.

use std::fmt::Write as _;
use std::path::PathBuf;

use etcdrx::schedule::Plain;
use serde_json::json;

use super::units::{Facts, not_said};
use crate::cli::failure::Failure;

/// What is mounted in any case.
const ETCD_PKI: &str = "/etc/kubernetes/pki/etcd";
const NAMESPACE: &str = include_str!("namespace.yaml.template");
const DEPLOYMENT: &str = include_str!("deployment.yaml.template");
const CRON_JOB: &str = include_str!("cronjob.yaml.template");
/// What both run: the same mounts, rights and limits.
const POD: &str = include_str!("pod.yaml.template");
const PLACEMENT: &str = include_str!("placement.yaml.template");
const PROBES: &str = include_str!("probes.yaml.template");

/// The service, on two control planes.
pub(super) fn deployment(facts: &Facts, image: &str) -> String {
    let pod = POD
        .replace("@placement@\n", PLACEMENT)
        .replace("@probes@\n", PROBES);
    let pod = filled(&pod, facts, image, &["schedule", "run"]);
    let deployment = DEPLOYMENT.replace("@pod@\n", &indented(&pod, 6));
    format!("{NAMESPACE}{deployment}")
}

/// A cron job for each job.
///
/// # Errors
/// If Kubernetes would read an expression otherwise than we do.
pub(super) fn cron_jobs(facts: &Facts, image: &str) -> Result<String, Failure> {
    let mut documents = vec![NAMESPACE.trim_end().trim_end_matches("---").to_owned()];
    for entry in facts.entries() {
        let plain = Plain::read(entry.expression).filter(Plain::is_common);
        plain.ok_or_else(|| not_said(&entry, "Kubernetes"))?;
        let mut words = vec!["--no-progress"];
        words.extend(entry.words.iter().map(String::as_str));
        let pod = POD.replace("@placement@\n", "").replace("@probes@\n", "");
        let pod = indented(&filled(&pod, facts, image, &words), 10);
        let document = CRON_JOB
            .replace("@job@", entry.job.name())
            .replace("@expression@", entry.expression)
            .replace("@zone@", facts.zone())
            .replace("@pod@\n", &pod);
        documents.push(document);
    }
    Ok(documents.join("---\n"))
}

fn filled(pod: &str, facts: &Facts, image: &str, words: &[&str]) -> String {
    let mut args = vec!["--config", "/etc/etcdrx/etcdrx.toml"];
    args.extend(words);
    let (mounts, volumes) = attached(&facts.config.backup.attach);
    pod.replace("@image@", image)
        .replace("@args@", &json!(args).to_string())
        .replace("@mounts@\n", &mounts)
        .replace("@volumes@\n", &volumes)
}

/// Mounts and volumes for what is attached to a backup and lies on the machine.
fn attached(paths: &[PathBuf]) -> (String, String) {
    let (mut mounts, mut volumes) = (String::new(), String::new());
    let paths = paths.iter().filter(|path| !path.starts_with(ETCD_PKI));
    for (index, path) in paths.enumerate() {
        let path = json!(path);
        let _ = write!(
            mounts,
            "      - name: attach-{index}\n        mountPath: {path}\n        readOnly: true\n"
        );
        let _ = write!(
            volumes,
            "  - name: attach-{index}\n    hostPath:\n      path: {path}\n"
        );
    }
    (mounts, volumes)
}

fn indented(text: &str, width: usize) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{:width$}{line}\n", ""),
    });
    lines.collect()
}
