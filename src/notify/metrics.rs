//! A file in the Prometheus text format, written after every run, also after one that failed.
//!
//! What a run does not know, such as the time of the last success after a failure, is kept from the file before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::id::ClusterName;

/// Every metric, with what it means. All are gauges. Of each job the first four are the same.
const METRICS: &[(&str, &str)] = &[
    (
        "etcdrx_backup_last_run_timestamp_seconds",
        "When the last backup run ended.",
    ),
    (
        "etcdrx_backup_last_exit_code",
        "Exit code of the last backup run; 0 is success.",
    ),
    (
        "etcdrx_backup_last_duration_seconds",
        "How long the last backup run took.",
    ),
    (
        "etcdrx_backup_last_success_timestamp_seconds",
        "When a backup was last committed.",
    ),
    ("etcdrx_backup_revision", "Revision of the last backup."),
    (
        "etcdrx_backup_revision_backwards",
        "1 if its revision is lower than that of the backup before, in the same cluster.",
    ),
    (
        "etcdrx_backup_db_size_bytes",
        "Size of the database in the last backup.",
    ),
    (
        "etcdrx_backup_stored_size_bytes",
        "Size of the last backup as stored.",
    ),
    ("etcdrx_backup_keys", "Keys alive in the last backup."),
    (
        "etcdrx_backup_verified",
        "1 if the last backup was read back and found whole.",
    ),
    (
        "etcdrx_backup_findings",
        "What was noticed while the last backup was taken.",
    ),
    (
        "etcdrx_backup_quorum",
        "1 if the cluster had a quorum when the last backup was taken.",
    ),
    (
        "etcdrx_backup_members_agree",
        "0 if a member had another hash than the last backup.",
    ),
    (
        "etcdrx_verify_last_run_timestamp_seconds",
        "When the last verification ended.",
    ),
    (
        "etcdrx_verify_last_exit_code",
        "Exit code of the last verification; 0 is success.",
    ),
    (
        "etcdrx_verify_last_duration_seconds",
        "How long the last verification took.",
    ),
    (
        "etcdrx_verify_last_success_timestamp_seconds",
        "When a verification last found nothing.",
    ),
    (
        "etcdrx_verify_damaged",
        "Backups that the last verification found damaged.",
    ),
    (
        "etcdrx_prune_last_run_timestamp_seconds",
        "When the last prune ended.",
    ),
    (
        "etcdrx_prune_last_exit_code",
        "Exit code of the last prune; 0 is success.",
    ),
    (
        "etcdrx_prune_last_duration_seconds",
        "How long the last prune took.",
    ),
    (
        "etcdrx_prune_last_success_timestamp_seconds",
        "When the retention was last applied.",
    ),
    (
        "etcdrx_drill_last_run_timestamp_seconds",
        "When the last drill of a backup ended.",
    ),
    (
        "etcdrx_drill_last_exit_code",
        "Exit code of the last drill of a backup; 0 is success.",
    ),
    (
        "etcdrx_drill_last_duration_seconds",
        "How long the last drill of a backup took.",
    ),
    (
        "etcdrx_drill_last_success_timestamp_seconds",
        "When a backup was last booted and found to be what it says.",
    ),
    (
        "etcdrx_certificates_last_run_timestamp_seconds",
        "When the last look at the certificates ended.",
    ),
    (
        "etcdrx_certificates_last_exit_code",
        "Exit code of the last look at the certificates; 0 is success.",
    ),
    (
        "etcdrx_certificates_last_duration_seconds",
        "How long the last look at the certificates took.",
    ),
    (
        "etcdrx_certificates_last_success_timestamp_seconds",
        "When a look at the certificates last found nothing.",
    ),
    (
        "etcdrx_certificates_next_expiry_timestamp_seconds",
        "When the first of the certificates that were looked at ends.",
    ),
    (
        "etcdrx_repository_reachable",
        "1 if the repository served the last command that asked for it, 0 if it failed it.",
    ),
];

/// The one metric of each repository that has a name.
const STORED: (&str, &str) = (
    "etcdrx_repository_last_success_timestamp_seconds",
    "When a backup was last committed to this repository.",
);

/// Why the file could not be written; never a reason for a backup to fail.
#[derive(Debug, Error)]
#[error("cannot write the metrics file {}", .path.display())]
pub struct MetricsError {
    path: PathBuf,
    source: io::Error,
}

/// The metrics of one cluster.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Metrics {
    values: BTreeMap<&'static str, f64>,
    /// When each repository got its last backup.
    stored: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads what an earlier run wrote; a file that is missing or not ours holds nothing.
    #[must_use]
    pub fn read(path: &Path, cluster: &ClusterName) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let label = format!("{{cluster=\"{cluster}\"}} ");
        let values = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(&label)?;
            let (known, _) = METRICS.iter().find(|(known, _)| *known == name)?;
            Some((*known, value.parse().ok()?))
        });
        let begin = format!("{}{{cluster=\"{cluster}\",repository=\"", STORED.0);
        let stored = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix(&begin)?.split_once("\"} ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self {
            values: values.collect(),
            stored: stored.collect(),
        }
    }

    /// Sets when the repository of this name got its last backup, in seconds since 1970.
    pub fn set_stored(&mut self, repository: &str, seconds: f64) {
        self.stored.insert(repository.to_owned(), seconds);
    }

    /// What one metric says; none where nobody set it yet.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Sets one metric.
    ///
    /// # Panics
    /// If there is no metric of this name, which is a mistake in the program.
    pub fn set(&mut self, name: &str, value: f64) {
        let known = METRICS.iter().find(|(known, _)| *known == name);
        let (known, _) = known.expect("every metric that is set is described");
        self.values.insert(known, value);
    }

    /// Replaces the file: a reader sees the old one or the new one, never half of one. Everybody may read it.
    ///
    /// # Errors
    /// If the file system does not let us.
    pub fn write(&self, path: &Path, cluster: &ClusterName) -> Result<(), MetricsError> {
        publish(path, &self.text(cluster))
    }

    fn text(&self, cluster: &ClusterName) -> String {
        let mut text = String::new();
        for (name, help) in METRICS {
            if let Some(value) = self.values.get(name) {
                writeln!(
                    text,
                    "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{cluster=\"{cluster}\"}} {value}"
                )
                .expect("writing to a string does not fail");
            }
        }
        let (name, help) = STORED;
        for (index, (repository, value)) in self.stored.iter().enumerate() {
            if index == 0 {
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge")
                    .expect("writing to a string does not fail");
            }
            writeln!(
                text,
                "{name}{{cluster=\"{cluster}\",repository=\"{repository}\"}} {value}"
            )
            .expect("writing to a string does not fail");
        }
        text
    }
}

/// Replaces a file in the Prometheus text format, as [`Metrics::write`] does.
///
/// # Errors
/// If the file system does not let us.
pub fn publish(path: &Path, text: &str) -> Result<(), MetricsError> {
    let mut temporary = path.as_os_str().to_owned();
    // node_exporter reads `*.prom` only.
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let replace = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    replace().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        MetricsError {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_failure_keeps_the_last_success() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etcdrx.prom");
        let cluster = "prod".parse().unwrap();
        let mut metrics = Metrics::read(&path, &cluster);
        metrics.set("etcdrx_backup_last_success_timestamp_seconds", 1.5e9);
        metrics.write(&path, &cluster).unwrap();

        let mut after = Metrics::read(&path, &cluster);
        after.set("etcdrx_backup_last_exit_code", 5.0);
        after.set_stored("near", 2.0);
        after.write(&path, &cluster).unwrap();
        let mut after = Metrics::read(&path, &cluster);
        after.set_stored("far", 3.0);
        after.write(&path, &cluster).unwrap();

        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(
            "etcdrx_backup_last_success_timestamp_seconds{cluster=\"prod\"} 1500000000\n"
        ));
        assert!(text.contains("etcdrx_backup_last_exit_code{cluster=\"prod\"} 5\n"));
        for stored in ["near\"} 2\n", "far\"} 3\n"] {
            let line = format!("seconds{{cluster=\"prod\",repository=\"{stored}");
            assert!(text.contains(&line), "{text}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}
