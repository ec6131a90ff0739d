//! What a rehearsal came to: as text, as a row of a table, as JSON.

use std::time::Duration;

use etcdrx::drill::{Rehearsal, Seed};
use serde_json::{Value, json};

use super::super::print;

/// A rehearsal, and what is known of it beside.
pub(super) struct Told<'a> {
    pub(super) rehearsal: &'a Rehearsal,
    pub(super) members: usize,
    pub(super) etcd_version: &'a str,
    pub(super) from: Option<&'a Seed>,
    pub(super) seed: u64,
}

/// The columns of the table, with their widths.
const COLUMNS: [(&str, usize); 11] = [
    ("SEED", 5),
    ("SCENARIO", 9),
    ("MEMBERS", 8),
    ("BREAK", 19),
    ("ACKED", 6),
    ("LOST", 5),
    ("GONE", 5),
    ("JUDGED", 8),
    ("RECOVERED", 10),
    ("SERVED", 8),
    ("", 0),
];

/// The head of the table.
pub(super) fn heading() -> String {
    row(&COLUMNS.map(|(name, _)| name.to_owned()))
}

fn row(cells: &[String; 11]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    let cells = cells.map(|(cell, (_, width))| format!("{cell:<width$}"));
    cells.collect::<String>().trim_end().to_owned()
}

impl Told<'_> {
    /// How many writes are not as they were acknowledged, or are nobody's; and how many keys of the backup are not as they were.
    fn lost(&self) -> usize {
        let compared = &self.rehearsal.compared;
        let of_backup = self.rehearsal.seeded.as_ref();
        let of_backup = of_backup.map_or(0, |held| held.lost.len());
        compared.lost.len() + compared.changed.len() + compared.foreign.len() + of_backup
    }

    /// A line of the table.
    pub(super) fn row(&self) -> String {
        let rehearsal = self.rehearsal;
        let codes: Vec<&str> = rehearsal
            .findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect();
        row(&[
            self.seed.to_string(),
            rehearsal.exercise.scenario.to_string(),
            self.members.to_string(),
            rehearsal.exercise.breakage.to_string(),
            rehearsal.acknowledged.to_string(),
            self.lost().to_string(),
            rehearsal.compared.given_up.to_string(),
            seconds(rehearsal.judged_after),
            seconds(rehearsal.recovered_after),
            seconds(rehearsal.served_after),
            match rehearsal.is_ok() {
                true => "ok".to_owned(),
                false => format!("BAD {}", codes.join(" ")),
            },
        ])
    }

    /// Everything, for a person.
    pub(super) fn text(&self) -> String {
        let rehearsal = self.rehearsal;
        let compared = &rehearsal.compared;
        let mut lines = vec![format!(
            "broken     {} of {} members ({}): {}",
            rehearsal.broken.len(),
            self.members,
            rehearsal.broken.join(", "),
            rehearsal.exercise.breakage
        )];
        lines.extend(self.course());
        lines.extend([
            format!(
                "writes     {} acknowledged and {} without an answer until then, from {} clients",
                rehearsal.acknowledged, rehearsal.ambiguous, rehearsal.exercise.writers
            ),
            format!(
                "kept       {}, with later ones; {} that got no answer are there, too",
                compared.kept, compared.appeared
            ),
        ]);
        lines.extend(self.backup());
        lines.push(format!("lost       {}", self.lost()));
        if let Some(until) = rehearsal.until {
            lines.push(format!(
                "gone       {}: written after revision {until}, of which no copy was left",
                compared.given_up
            ));
        }
        if !rehearsal.findings.is_empty() {
            lines.push(print::findings(&rehearsal.findings));
        }
        let of_backup = rehearsal.seeded.as_ref();
        let of_backup = of_backup.map_or_else(Vec::new, |held| held.lost.clone());
        for (what, keys) in [
            ("lost of the backup", &of_backup),
            ("lost", &compared.lost),
            ("changed", &compared.changed),
            ("written by nobody", &compared.foreign),
        ] {
            let first = keys.iter().take(3);
            lines.extend(first.map(|key| format!("error [{what}] {key}")));
        }
        lines.push(match rehearsal.is_ok() {
            true => "ok: the cluster is as it was; each member was restarted and killed once more"
                .to_owned(),
            false => "BAD: this recovery cannot be relied upon".to_owned(),
        });
        lines.join("\n")
    }

    /// What became of the backup that it began with, where the cluster could be read.
    fn backup(&self) -> Option<String> {
        let (seed, held) = (self.from?, self.rehearsal.seeded.as_ref()?);
        let leased = match held.leased {
            0 => String::new(),
            count => format!("; {count} hang on leases and may be gone"),
        };
        let kept = held.kept;
        Some(format!(
            "backup     {}: {kept} keys kept{leased}",
            seed.backup()
        ))
    }

    /// How it went, where it came to its end.
    fn course(&self) -> Vec<String> {
        let rehearsal = self.rehearsal;
        let account = &rehearsal.account;
        let ways = account.ways.iter().map(|way| format!("`{way}`"));
        let ways: Vec<String> = ways.collect();
        let how = match account.renewed.as_slice() {
            [] => format!("by way of {}", ways.join(", then ")),
            renewed => format!(
                "by new certificates and a restart of {}: no case for `recover`",
                renewed.join(", ")
            ),
        };
        if ways.is_empty() && account.renewed.is_empty() {
            let after = seconds(rehearsal.recovered_after);
            return vec![format!("recovered  no; it gave up after {after}")];
        }
        vec![
            format!(
                "judged     after {}: {}",
                seconds(rehearsal.judged_after),
                account.verdict
            ),
            format!(
                "recovered  after {}, {how}",
                seconds(rehearsal.recovered_after)
            ),
            format!(
                "served     after {}; no write was acknowledged for {}",
                seconds(rehearsal.served_after),
                seconds(rehearsal.longest_gap)
            ),
        ]
    }

    /// Everything, for machines.
    pub(super) fn document(&self) -> Value {
        let rehearsal = self.rehearsal;
        let compared = &rehearsal.compared;
        json!({
            "event": "drilled",
            "ok": rehearsal.is_ok(),
            "scenario": rehearsal.exercise.scenario,
            "break": rehearsal.exercise.breakage,
            "members": self.members,
            "broken": rehearsal.broken,
            "seed": self.seed,
            "etcd_version": self.etcd_version,
            "condition": rehearsal.account.condition,
            "ways": rehearsal.account.ways,
            "renewed": rehearsal.account.renewed,
            "judged_after_ms": in_ms(rehearsal.judged_after),
            "recovered_after_ms": in_ms(rehearsal.recovered_after),
            "served_after_ms": in_ms(rehearsal.served_after),
            "longest_gap_ms": in_ms(rehearsal.longest_gap),
            "writers": rehearsal.exercise.writers,
            "acknowledged": rehearsal.acknowledged,
            "ambiguous": rehearsal.ambiguous,
            "kept": compared.kept,
            "appeared": compared.appeared,
            "gone": compared.given_up,
            "gone_after_revision": rehearsal.until,
            "lost": compared.lost,
            "changed": compared.changed,
            "foreign": compared.foreign,
            "from": self.from.map(|seed| json!({
                "backup": seed.backup(),
                "revision": seed.revision(),
                "kept": rehearsal.seeded.as_ref().map(|held| held.kept),
                "leased": rehearsal.seeded.as_ref().map(|held| held.leased),
                "lost": rehearsal.seeded.as_ref().map(|held| &held.lost),
            })),
            "findings": rehearsal.findings,
        })
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
