//! What has the right types and can only be a mistake.

use std::path::{Component, Path};

use super::{Config, Error};

/// Refuses a configuration that cannot be meant.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let senseless = |table, key, problem: &str| {
        Err(Error::Senseless {
            table,
            key,
            problem: problem.to_owned(),
        })
    };
    config.cluster.folder()?;
    config.repositories.check()?;
    match (&config.cluster.cert, &config.cluster.key) {
        (Some(_), None) => return senseless("cluster", "key", "a certificate needs its key"),
        (None, Some(_)) => return senseless("cluster", "cert", "a key needs its certificate"),
        _ => {}
    }
    if !(1..=64).contains(&config.backup.compression_threads) {
        return senseless("backup", "compression_threads", "expected 1 to 64");
    }
    let attach = &config.backup.attach;
    if let Some(path) = attach.iter().find(|path| !is_plain(path)) {
        let problem = format!("`{}` is no absolute path without `..`", path.display());
        return senseless("backup", "attach", &problem);
    }
    if !attach.is_empty() && config.encryption.recipients.is_none() {
        let problem = "what is attached is secret, and is stored encrypted only: `recipients` in [encryption] says for whom";
        return senseless("backup", "attach", problem);
    }
    Ok(())
}

/// Whether a path means the same wherever it is read, and names something below the root.
fn is_plain(path: &Path) -> bool {
    let mut below = path.components().skip(1).peekable();
    path.is_absolute()
        && below.peek().is_some()
        && below.all(|part| matches!(part, Component::Normal(_)))
}
