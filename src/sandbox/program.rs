//! The program etcd: where it is, and of which version.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use super::Error;
use super::process::{self, Process};

/// Where etcd is installed by custom, besides `PATH`.
const PLACES: [&str; 6] = [
    "/usr/local/bin",
    "/usr/bin",
    "/usr/sbin",
    "/opt/etcd",
    "/opt/etcd/bin",
    "/opt/bin",
];

/// Where util-linux lies; that of busybox knows no `--pdeathsig`, which is found out by trying.
const LAUNCHERS: [&str; 2] = ["/usr/bin/setpriv", "/bin/setpriv"];

/// How long a program may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// A release as far as data depend on it: `3.6` of 3.6.14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u32, pub u32);

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Minor {
    type Err = ();

    /// Reads the beginning of a version such as `3.6`, `3.6.14` or `3.7.0-rc.0`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.trim().split('.');
        let mut number = || parts.next()?.parse().ok();
        number()
            .and_then(|major| Some(Self(major, number()?)))
            .ok_or(())
    }
}

/// Where to look for a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search<'a> {
    /// The program, where somebody named it: no other is taken.
    pub program: Option<&'a Path>,
    /// The folders of `PATH`.
    pub folders: &'a [PathBuf],
}

/// A program etcd that runs and told its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    version: String,
    minor: Minor,
    /// What ties its life to ours, where the system has such a thing.
    launcher: Option<PathBuf>,
}

impl Program {
    /// Finds an etcd of the minor version `wanted`, or any where that is unknown: no other starts on a directory without harm.
    ///
    /// # Errors
    /// If there is none, with every one that was looked at; or if the one that was named is of another version.
    pub async fn find(search: &Search<'_>, wanted: Option<Minor>) -> Result<Self, Error> {
        if let Some(path) = search.program {
            let program = Self::open(path).await?;
            return match wanted {
                Some(wanted) if program.minor != wanted => Err(Error::WrongVersion {
                    path: program.path,
                    found: program.version,
                    wanted,
                }),
                _ => Ok(program),
            };
        }
        let mut looked = Vec::new();
        for path in candidates(search.folders) {
            match Self::open(&path).await {
                Ok(program) if wanted.is_none_or(|wanted| wanted == program.minor) => {
                    return Ok(program);
                }
                Ok(program) => looked.push(format!("{} is {}", path.display(), program.version)),
                Err(error) => looked.push(error.to_string()),
            }
        }
        if looked.is_empty() {
            looked.push("none in PATH nor where it is installed by custom".to_owned());
        }
        Err(Error::NoProgram { wanted, looked })
    }

    /// Takes the program at `path`, of whatever version.
    ///
    /// # Errors
    /// If it cannot be run or is no etcd.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        for launcher in LAUNCHERS.map(Path::new) {
            if launcher.is_file()
                && let Ok(program) = Self::ask(path, Some(launcher)).await
            {
                return Ok(program);
            }
        }
        Self::ask(path, None).await
    }

    async fn ask(path: &Path, launcher: Option<&Path>) -> Result<Self, Error> {
        let mut command = process::command(launcher, path);
        command.arg("--version");
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let failed = |source| Error::Run {
            path: path.to_owned(),
            source,
        };
        let mut process = Process::start(command).map_err(failed)?;
        let ended = process.wait(VERSION_LIMIT).await;
        let output = match ended {
            Some(status) if status.success() => process.output(),
            _ => String::new(),
        };
        let version = output
            .lines()
            .find_map(|line| line.strip_prefix("etcd Version: "));
        let minor = version.and_then(|version| version.parse().ok());
        match (version, minor) {
            (Some(version), Some(minor)) => Ok(Self {
                path: path.to_owned(),
                version: version.trim().to_owned(),
                minor,
                launcher: launcher.map(Path::to_owned),
            }),
            _ => Err(Error::NotEtcd {
                path: path.to_owned(),
            }),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, such as `3.6.14`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version as far as data depend on it.
    #[must_use]
    pub fn minor(&self) -> Minor {
        self.minor
    }

    /// A command that runs it; the child dies with us.
    pub(super) fn command(&self) -> std::process::Command {
        process::command(self.launcher.as_deref(), &self.path)
    }
}

/// Every file that may be the program, each once.
fn candidates(folders: &[PathBuf]) -> Vec<PathBuf> {
    let places = PLACES.map(PathBuf::from);
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders.iter().chain(&places) {
        let path = folder.join("etcd");
        if path.is_file() && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_counts_as_far_as_data_depend_on_it() {
        for (text, minor) in [
            ("3.6.14", Some(Minor(3, 6))),
            ("3.7.0-rc.0", Some(Minor(3, 7))),
            ("3.10", Some(Minor(3, 10))),
            ("3", None),
            ("three.six", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), minor, "{text}");
        }
        assert!(Minor(3, 10) > Minor(3, 9));
    }
}
