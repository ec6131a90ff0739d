//! Names that the new version does not know: on the command line etcd exits, as a variable it warns, as a key it says nothing.

use super::Upgrade;
use crate::manifest::{Finding, Severity};
use crate::upgrade::settings::{Form, Setting};
use crate::upgrade::table::{self, Known};
use crate::upgrade::{Minor, Settings};

/// The first version that knows feature gates.
pub(super) const WITH_GATES: Minor = Minor(6);

/// What is lost where a setting that is on is not heard any more.
const PROTECTIONS: [(&str, &str); 7] = [
    (
        "experimental-initial-corrupt-check",
        "the members no longer compare their data when they start",
    ),
    (
        "experimental-corrupt-check-time",
        "the members no longer compare their data while they run",
    ),
    (
        "experimental-compact-hash-check-enabled",
        "the members no longer compare their data after compactions",
    ),
    (
        "experimental-enable-lease-checkpoint",
        "a new leader gives every lease its whole time again",
    ),
    (
        "experimental-enable-lease-checkpoint-persist",
        "a new leader gives every lease its whole time again",
    ),
    (
        "experimental-peer-skip-client-san-verification",
        "members whose certificates lack the address that they dial from are refused",
    ),
    ("enable-v2", "clients of the second API get no answer"),
];

/// `ETCD_UNSUPPORTED_ARCH`, which is no flag and which etcd reads all the same.
const ARCHITECTURE: &str = "unsupported-arch";

/// Judges every name that a member is given.
pub(super) fn judge(settings: &Settings, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    for setting in &settings.settings {
        let known = known(setting);
        let is_read_elsewhere = setting.name == ARCHITECTURE;
        if is_read_elsewhere || known.is_some_and(|known| known.by(upgrade.to)) {
            continue;
        }
        let was_known = match (known, upgrade.from) {
            (Some(known), Some(from)) => known.by(from),
            (Some(_), None) => true,
            (None, _) => false,
        };
        findings.push(match (setting.form, was_known) {
            (Form::Flag, _) if known.is_none() => of_nobody(setting),
            (Form::Flag, _) => flag(setting, upgrade),
            (_, false) => unheard(setting, upgrade),
            (_, true) => ignored(setting, upgrade),
        });
    }
}

fn known(setting: &Setting) -> Option<Known> {
    match setting.form {
        Form::Key => table::key(&setting.name),
        Form::Flag | Form::Variable => table::flag(&setting.name),
    }
}

fn flag(setting: &Setting, upgrade: Upgrade) -> Finding {
    let message = format!(
        "{}: etcd {} does not know {} and exits 2 (`flag provided but not defined: -{}`); {}",
        setting.place,
        upgrade.to,
        setting.written(),
        setting.name,
        instead(setting, upgrade)
    );
    Finding::error("flag-unknown", message)
}

/// A flag that etcd never had: most often that of a shell or a container's runtime in front of it.
fn of_nobody(setting: &Setting) -> Finding {
    let message = format!(
        "{}: no etcd from 3.4 to 3.7 knows {}; if it is meant for etcd, etcd exits 2 with it",
        setting.place,
        setting.written()
    );
    Finding::warning("setting-unknown", message)
}

/// A name that the running version does not know either.
fn unheard(setting: &Setting, upgrade: Upgrade) -> Finding {
    let today = match upgrade.from {
        Some(from) => format!("and etcd {from} neither"),
        None => "and no version since 3.4".to_owned(),
    };
    let message = format!(
        "{}: etcd {} does not know {}, {today}: it changes nothing; correct or remove it",
        setting.place,
        upgrade.to,
        setting.written()
    );
    Finding::warning("setting-unknown", message)
}

fn ignored(setting: &Setting, upgrade: Upgrade) -> Finding {
    let how = match setting.form {
        Form::Variable => "with one warning (`unrecognized environment variable`)",
        Form::Key | Form::Flag => "without a word",
    };
    let lost = PROTECTIONS.iter().find(|(name, _)| *name == setting.name);
    let (code, severity, lost) = match lost {
        _ if setting.is_off() => ("setting-ignored", Severity::Info, String::new()),
        Some((_, lost)) => ("protection-lost", Severity::Error, format!(": {lost}")),
        None => ("setting-ignored", Severity::Warning, String::new()),
    };
    let message = format!(
        "{}: etcd {} ignores {} {how}{lost}; {}",
        setting.place,
        upgrade.to,
        setting.written(),
        instead(setting, upgrade)
    );
    Finding {
        severity,
        code: code.to_owned(),
        message,
    }
}

/// What to write, and when.
fn instead(setting: &Setting, upgrade: Upgrade) -> String {
    let renamed = match setting.form {
        Form::Key => table::renamed_key(&setting.name),
        Form::Flag | Form::Variable => table::renamed(&setting.name),
    };
    let Some(renamed) = renamed else {
        return "nothing takes its place: remove it".to_owned();
    };
    let new = match (table::gate_of(&setting.name), setting.form) {
        (Some(gate), Form::Flag) => format!("--feature-gates={gate}={}", on_or_off(setting)),
        (Some(gate), Form::Variable) => format!("ETCD_FEATURE_GATES={gate}={}", on_or_off(setting)),
        (Some(gate), Form::Key) => format!("`feature-gates: {gate}={}`", on_or_off(setting)),
        (None, form) => Setting {
            name: renamed.to_owned(),
            form,
            ..setting.clone()
        }
        .written(),
    };
    // Where the running version knows the new name, the change can be made and tried before the upgrade.
    let first = match table::gate_of(&setting.name) {
        Some(gate) => table::gate(gate),
        None => known(&Setting {
            name: renamed.to_owned(),
            ..setting.clone()
        }),
    };
    match upgrade.from {
        Some(from) if first.is_some_and(|known| known.by(from)) => {
            format!("write {new} in its place now: etcd {from} takes it (not both at once)")
        }
        _ => format!("write {new} in its place together with the new program"),
    }
}

fn on_or_off(setting: &Setting) -> bool {
    !setting.is_off()
}
