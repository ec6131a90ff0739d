//! `etcdrx schedule install`

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use etcdrx::partial::Partial;

use super::InstallArgs;
use super::units::Facts;
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::failure::{Exit, Failure};

pub(super) fn install(context: &Context<'_>, args: &InstallArgs) -> Outcome {
    let facts = Facts::of(context)?;
    let units = match args.timers {
        true => facts.timers()?,
        false => vec![facts.service()],
    };
    let mut lines = Vec::new();
    for unit in &units {
        let path = args.unit_dir.join(&unit.name);
        let word = put(&path, &unit.text)?;
        lines.push(format!("{} {word}", path.display()));
    }
    context.screen.answer(&lines.join("\n"));
    // A job's service is begun by its timer.
    let begun = units.iter().filter(|unit| !args.timers || unit.is_timer);
    let begin: Vec<&str> = begun.map(|unit| unit.name.as_str()).collect();
    let begin = begin.join(" ");
    let look = match args.timers {
        true => "systemctl list-timers 'etcdrx-*'; journalctl -u 'etcdrx-*'".to_owned(),
        false => format!("systemctl status {begin}; journalctl -u {begin}"),
    };
    context.screen.note(&format!(
        "start it: systemctl daemon-reload && systemctl enable --now {begin}\nlook at it: {look}"
    ));
    Ok(Exit::Done)
}

/// Puts one unit in its place, and says what was there.
fn put(path: &Path, text: &str) -> Result<&'static str, Failure> {
    let word = match fs::read_to_string(path) {
        Ok(there) if there == text => return Ok("is there already"),
        Ok(_) => "was replaced",
        Err(error) if error.kind() == ErrorKind::NotFound => "was written",
        Err(error) => return Err(Failure::cannot_read(path, &error)),
    };
    write(path, text)?;
    Ok(word)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source| Failure::cannot_write(path, &source);
    let mut partial = Partial::create(path).map_err(failed)?;
    partial.file().write_all(text.as_bytes()).map_err(failed)?;
    // A unit is everybody's to read; it holds no secret.
    let readable = Permissions::from_mode(0o644);
    partial.file().set_permissions(readable).map_err(failed)?;
    partial.replace().map_err(failed)
}
