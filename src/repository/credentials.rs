//! The file with one repository's credentials: who reads it instead of the environment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::Error;
use crate::config::Secret;

/// Reads lines of `NAME=value`, by the names that the environment has for object stores.
///
/// Empty lines and those that begin with `#` are passed over; quotes around a value belong to the line, not to it.
///
/// # Errors
/// If the file cannot be read, everybody may read it, or a line sets nothing that a store knows.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Secret>, Error> {
    let unreadable = |source| Error::ReadCredentials {
        path: path.to_owned(),
        source,
    };
    let bad = |problem| Error::BadCredentials {
        path: path.to_owned(),
        problem,
    };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(bad(format!(
            "it has mode {mode:04o}, and everybody on this machine may use it"
        )));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let mut found = BTreeMap::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is never shown: it may be the secret.
        let number = index + 1;
        let Some((name, value)) = line.split_once('=') else {
            return Err(bad(format!("line {number} is not of the form NAME=value")));
        };
        let name = name.trim().to_lowercase();
        if !is_known(&name) {
            return Err(bad(format!(
                "line {number} sets nothing that an object store knows, such as AWS_ACCESS_KEY_ID"
            )));
        }
        found.insert(name, Secret::new(unquoted(value.trim())));
    }
    match found.is_empty() {
        true => Err(bad("it holds no credentials".to_owned())),
        false => Ok(found),
    }
}

fn is_known(name: &str) -> bool {
    // The check of certificates is not to be turned off anywhere.
    !name.ends_with("allow_invalid_certificates")
        && (["webdav_username", "webdav_password"].contains(&name)
            || name.parse::<AmazonS3ConfigKey>().is_ok()
            || name.parse::<AzureConfigKey>().is_ok()
            || name.parse::<GoogleConfigKey>().is_ok())
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn refused(text: &str, mode: u32) -> String {
        read(file(text, mode).path()).unwrap_err().to_string()
    }

    #[test]
    fn names_are_those_of_the_environment_and_quotes_are_not_part_of_a_value() {
        let text = "# of the far one\n\nAWS_ACCESS_KEY_ID = far\nAWS_SECRET_ACCESS_KEY=\"a=b\"\r\n";
        let found = read(file(text, 0o640).path()).unwrap();
        assert_eq!(found["aws_access_key_id"].reveal(), "far");
        assert_eq!(found["aws_secret_access_key"].reveal(), "a=b");
    }

    #[test]
    fn a_file_that_everybody_reads_or_that_says_nothing_is_refused_without_showing_it() {
        assert!(refused("AWS_ACCESS_KEY_ID=a\n", 0o644).contains("mode 0644"));
        assert!(refused("\n", 0o600).contains("holds no credentials"));
        let line = refused("AWS_ACCESS_KEY_ID=a\nhunter2\n", 0o600);
        assert!(
            line.contains("line 2") && !line.contains("hunter2"),
            "{line}"
        );
        let line = refused("AWS_SECRET_ACES_KEY=hunter2\n", 0o600);
        assert!(
            line.contains("line 1") && !line.contains("hunter2"),
            "{line}"
        );
        assert!(refused("AWS_ALLOW_INVALID_CERTIFICATES=true\n", 0o600).contains("line 1"));
    }
}
