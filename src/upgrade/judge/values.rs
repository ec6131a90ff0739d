//! Values that the new version refuses, and defaults that it changes.

use super::Upgrade;
use super::names::WITH_GATES;
use crate::manifest::Finding;
use crate::upgrade::settings::{Form, Setting};
use crate::upgrade::{Facts, Minor, Settings, table};

/// A value that ends etcd from some version on: the name, the value, the first such version, and what etcd says.
const REFUSED: [(&str, &str, Minor, &str); 3] = [
    (
        "logger",
        "capnslog",
        Minor(5),
        "--logger=capnslog is removed in v3.5",
    ),
    (
        "discovery-fallback",
        "proxy",
        Minor(6),
        "v2 proxy is deprecated",
    ),
    (
        "v2-deprecation",
        "not-yet",
        Minor(6),
        "invalid value \\\"not-yet\\\"",
    ),
];

/// Judges what a member's settings say.
pub(super) fn judge(settings: &Settings, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    for (name, value, first, says) in REFUSED {
        let setting = settings.find(name).filter(|setting| setting.value == value);
        // Of a file, 3.6 and 3.7 take any v2-deprecation and enforce their own; keys that they do not know are judged by name.
        let is_heard = |setting: &&Setting| setting.form != Form::Key || name == "logger";
        if let Some(setting) = setting.filter(is_heard).filter(|_| upgrade.to >= first) {
            let message = format!(
                "{}: etcd {} refuses {}={value} and exits (`{}`); remove it",
                setting.place,
                upgrade.to,
                setting.written(),
                says.replace('\\', "")
            );
            findings.push(Finding::error("value-refused", message));
        }
    }
    if upgrade.to >= WITH_GATES {
        gates(settings, upgrade, findings);
        both_forms(settings, upgrade, findings);
    }
}

/// Gates that the new version does not know.
fn gates(settings: &Settings, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let Some(setting) = settings.find("feature-gates") else {
        return;
    };
    for (gate, _) in pairs(&setting.value) {
        if table::gate(gate).is_some_and(|known| known.by(upgrade.to)) {
            continue;
        }
        let message = format!(
            "{}: etcd {} does not know the feature gate {gate} and exits (`unrecognized feature gate: {gate}`); remove it, or write it together with a program that knows it",
            setting.place, upgrade.to
        );
        findings.push(Finding::error("feature-gate-unknown", message));
    }
}

/// A setting in its old and its new form, which 3.6 refuses together.
fn both_forms(settings: &Settings, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let gates = settings
        .find("feature-gates")
        .map_or("", |setting| &setting.value);
    for old in &settings.settings {
        let new = match table::gate_of(&old.name) {
            Some(gate) => pairs(gates).find(|(name, _)| *name == gate).map(|_| gate),
            None => table::renamed(&old.name).filter(|new| settings.find(new).is_some()),
        };
        let is_known = table::flag(&old.name).is_some_and(|known| known.by(upgrade.to));
        let Some(new) = new.filter(|_| is_known && old.name.starts_with("experimental-")) else {
            continue;
        };
        let message = format!(
            "{}: {} and {new} are one setting in two forms, and etcd {} exits 1 where both are given (`cannot specify both flags`, `cannot set .. at the same time`); remove {}",
            old.place,
            old.written(),
            upgrade.to,
            old.written()
        );
        findings.push(Finding::error("both-forms", message));
    }
}

/// The gates of a list, with their values.
fn pairs(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').unwrap_or((word, "")))
}

/// Defaults that change, for members that do not set them.
pub(super) fn defaults(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let Some(from) = upgrade.from else {
        return;
    };
    for (name, before, after) in table::changed_defaults(from, upgrade.to) {
        let is_set = |settings: &Settings| settings.get(name).is_some();
        if !facts.settings.is_empty() && facts.settings.iter().all(is_set) {
            continue;
        }
        let means = match name {
            "snapshot-count" => {
                ": raft snapshots come earlier, and a member that is away for more entries than that gets the whole database"
            }
            "pre-vote" => ": a member that comes back no longer disturbs the leader",
            "logger" => ": the log is JSON; what reads it must know that",
            _ => "",
        };
        let message =
            format!("where {name} is not set, its default changes from {before} to {after}{means}");
        findings.push(Finding::note("default-changes", message));
    }
}
