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

/// What the unit is called.
const NAME: &str = "etcdrx.service";

pub(super) fn install(context: &Context<'_>, args: &InstallArgs) -> Outcome {
    let unit = Facts::of(context)?.service();
    let path = args.unit_dir.join(NAME);
    let word = match fs::read_to_string(&path) {
        Ok(there) if there == unit => "is there already",
        Ok(_) => {
            write(&path, &unit)?;
            "was replaced"
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write(&path, &unit)?;
            "was written"
        }
        Err(error) => return Err(Failure::cannot_read(&path, &error)),
    };
    context.screen.answer(&format!("{} {word}", path.display()));
    context.screen.note(&format!(
        "start it: systemctl daemon-reload && systemctl enable --now {NAME}\nlook at it: systemctl status {NAME}; journalctl -u {NAME}"
    ));
    Ok(Exit::Done)
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
