//! How values look: sizes, times, backups, findings.

use chrono::{DateTime, SecondsFormat, Utc};
use etcdrx::catalog::{Backup, Signature};
use etcdrx::manifest::{Attachments, Finding, Manifest, Severity};
use etcdrx::retention::Health;
use serde::Serialize;
use serde_json::{Value, json};

use super::screen::Screen;

/// A size as people read it, in binary units.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A time as people read it, always UTC.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The word for a health.
pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Verified => "verified",
        Health::Unproven => "unproven",
        Health::Damaged => "DAMAGED",
    }
}

/// The word by which JSON calls a value that is one of a few words.
pub(super) fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// A backup as JSON: its manifest, and what was learnt later.
pub(super) fn backup_json(backup: &Backup) -> Value {
    let mut json = manifest_json(&backup.manifest, backup.pinned);
    let verified = backup.verified();
    json["verified_at"] = json!(verified.map(|(at, _)| at));
    json["verified_how"] = json!(verified.map(|(_, how)| how));
    if backup.signature != Signature::Unasked {
        json["signature"] = json!(backup.signature);
    }
    json["health"] = json!(health(backup.health()).to_lowercase());
    json
}

/// A manifest as JSON.
pub(super) fn manifest_json(manifest: &Manifest, pinned: bool) -> Value {
    let mut json =
        serde_json::to_value(manifest).expect("a manifest holds nothing that JSON cannot");
    json["pinned"] = json!(pinned);
    json
}

/// What was done to the bytes before they were stored, such as `zstd, age`.
pub(super) fn stored_as(manifest: &Manifest) -> String {
    let compression = Some(manifest.compression.as_str());
    let steps = compression
        .into_iter()
        .chain(manifest.encryption.as_deref());
    steps.collect::<Vec<_>>().join(", ")
}

/// The side files that are stored with a backup, in short.
pub(super) fn attached(attachments: &Attachments) -> String {
    let files = match attachments.files {
        1 => "1 file".to_owned(),
        many => format!("{many} files"),
    };
    format!(
        "{} ({files}, {} stored, encrypted)",
        attachments.paths.join(", "),
        size(attachments.stored_size_bytes)
    )
}

/// Findings, a line each.
pub(super) fn findings(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Info => "note",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            format!("{severity} [{}] {}", finding.code, finding.message)
        })
        .collect();
    lines.join("\n")
}

/// Whether anything among the findings puts data or a promise in doubt.
pub(super) fn any_error(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
}

/// Rows under a heading, in columns as wide as they must be.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(heading[column].len())
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(heading.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

/// The version, as text or JSON.
pub(super) fn version(screen: &Screen) {
    let version = env!("CARGO_PKG_VERSION");
    match screen.json {
        true => screen.answer_json(&json!({
            "version": version,
            "manifest_format": etcdrx::manifest::FORMAT,
        })),
        false => screen.answer(&format!("etcdrx {version}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["é".to_owned(), "x".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(table(&["A", "B"], &rows), "A     B\né     x\nlong");
    }
}
