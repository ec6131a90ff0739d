//! Keys as people make them, with age's and OpenSSH's own programs, and configurations that name them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::process::find_program;
use crate::scratch::tools;
use crate::setup::{Settings, Workplace};

/// An identity file, and the recipient that it opens for.
pub(crate) struct KeyPair {
    pub(crate) identity: PathBuf,
    pub(crate) recipient: String,
}

/// An identity of age's own kind.
pub(crate) fn age_key(workplace: &Workplace, name: &str) -> KeyPair {
    let program = tools::cache().join("age/bin/age-keygen");
    let made = Command::new(program).output().unwrap();
    let identity = workplace.path(name);
    fs::write(&identity, &made.stdout).unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let recipient = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    KeyPair {
        identity,
        recipient: recipient.unwrap().to_owned(),
    }
}

/// A key of OpenSSH, locked where a passphrase is given; `None` where no ssh-keygen is.
pub(crate) fn ssh_key(workplace: &Workplace, name: &str, passphrase: &str) -> Option<KeyPair> {
    let identity = workplace.path(name);
    let mut command = Command::new(find_program("ssh-keygen")?);
    command.args([
        "-q",
        "-t",
        "ed25519",
        "-C",
        "ops@example.com",
        "-N",
        passphrase,
    ]);
    let made = command.arg("-f").arg(&identity).status().unwrap();
    assert!(made.success());
    let recipient = fs::read_to_string(workplace.path(&format!("{name}.pub"))).unwrap();
    Some(KeyPair {
        identity,
        recipient: recipient.trim().to_owned(),
    })
}

/// Settings whose backups are encrypted for these.
pub(crate) fn encrypted(settings: Settings, keys: &[&KeyPair]) -> Settings {
    let recipients: Vec<String> = keys.iter().map(|key| key.recipient.clone()).collect();
    settings.set("encryption.recipients", recipients)
}

/// The same, and what opens them.
pub(crate) fn opened_with(settings: Settings, key: &KeyPair) -> Settings {
    settings.set(
        "encryption.identity_file",
        key.identity.display().to_string(),
    )
}

/// Opens a file with the command `age`.
pub(crate) fn age_decrypts(identity: &Path, sealed: &Path) -> Vec<u8> {
    let mut command = Command::new(tools::expect_tool("age"));
    let opened = command
        .arg("-d")
        .arg("-i")
        .arg(identity)
        .arg(sealed)
        .output();
    let opened = opened.unwrap();
    let words = String::from_utf8_lossy(&opened.stderr).into_owned();
    assert!(opened.status.success(), "{words}");
    opened.stdout
}

/// Encrypts a file with the command `age`.
pub(crate) fn age_encrypts(recipients: &[&str], plain: &Path) -> Vec<u8> {
    let mut command = Command::new(tools::expect_tool("age"));
    for recipient in recipients {
        command.args(["-r", recipient]);
    }
    let sealed = command.arg(plain).output().unwrap();
    assert!(sealed.status.success(), "{sealed:?}");
    sealed.stdout
}
