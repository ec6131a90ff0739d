//! The part of the table that is about upgrades.

use etcdrx::upgrade::Error;

use super::super::failure::Exit;

pub(super) fn upgrade_exit(error: &Error) -> (Exit, &'static str) {
    let hint = match error {
        Error::UnknownVersion { .. } => "name a minor version, such as --upgrade-to 3.6",
        Error::Read { .. } => "check the path and who may read it",
        Error::Settings { .. } => {
            "--etcd-config takes etcd's configuration file, a systemd unit, a file of ETCD_ variables or a pod's manifest"
        }
        Error::NoUnit { .. } => {
            "correct `service` of the node, or name the file with --etcd-config"
        }
    };
    (Exit::Usage, hint)
}
