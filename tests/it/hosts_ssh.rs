//! What sshd on a host, and the ssh that leads there, are told.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::scratch::{process, program};

/// Where sshd listens on every host.
pub(crate) const SSH_PORT: u16 = 2222;

/// Makes a key, and `.pub` beside it.
pub(crate) fn make_key(path: &Path) {
    let keygen = process::find_program("ssh-keygen").unwrap();
    let mut command = process::command(&keygen);
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    command.arg(path);
    program::run(command, Duration::from_secs(30)).success();
}

/// An sshd that lets the owner of the key `user` in, with `home` and `bin` of the host's folder for whoever comes.
pub(crate) fn server_config(address: &str, folder: &Path, user: &Path) -> String {
    format!(
        "Port {SSH_PORT}\nListenAddress {address}\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nSubsystem sftp internal-sftp\nAuthorizedKeysFile {}\nSetEnv HOME={} PATH={}:{}\n",
        folder.join("host_key").display(),
        user.display(),
        folder.join("home").display(),
        folder.join("bin").display(),
        std::env::var("PATH").unwrap()
    )
}

/// The line of a host among those that are known.
pub(crate) fn known_host(address: &str, folder: &Path) -> String {
    let key = fs::read_to_string(folder.join("host_key.pub")).unwrap();
    format!("[{address}]:{SSH_PORT} {key}")
}

/// An ssh that shows the key `user` of a folder, and believes nobody but the `known_hosts` there.
pub(crate) fn client_config(folder: &Path) -> String {
    format!(
        "IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n\
         StrictHostKeyChecking yes\n",
        folder.join("user").display(),
        folder.join("known_hosts").display()
    )
}
