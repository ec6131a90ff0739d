//! What to do where a drill comes to no result.

use etcdrx::drill::backup;

use super::super::failure::Exit;
use super::data::{membership_exit, restore_exit};
use super::etcd_exit;
use super::sandbox::sandbox_exit;

pub(super) fn drill_backup_exit(error: &backup::Error) -> (Exit, &'static str) {
    match error {
        backup::Error::Sandbox { source } => sandbox_exit(source),
        backup::Error::Restore { source } => restore_exit(source),
        backup::Error::Membership { source } => membership_exit(source),
        backup::Error::Etcd { source } => etcd_exit(source),
    }
}
