//! The tools cache: the real servers that `tests/tools` got, and a loud word about those that it could not get.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Every etcd minor that the program promises to work with, newest last.
const ETCD_VERSIONS: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// The programs of one etcd minor, as built by `tests/tools`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtcdRelease {
    version: &'static str,
    minor: u32,
    directory: PathBuf,
}

impl EtcdRelease {
    /// Says `3.6` for etcd 3.6.
    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    /// Says 6 for etcd 3.6.
    pub(crate) fn minor(&self) -> u32 {
        self.minor
    }

    /// The server.
    pub(crate) fn etcd(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// The client.
    pub(crate) fn etcdctl(&self) -> PathBuf {
        self.directory.join("etcdctl")
    }

    /// The tool for files at rest; in 3.4 that is etcdctl.
    pub(crate) fn etcdutl(&self) -> PathBuf {
        if self.minor < 5 {
            return self.etcdctl();
        }
        self.directory.join("etcdutl")
    }

    fn is_complete(&self) -> bool {
        let programs = [self.etcd(), self.etcdctl(), self.etcdutl()];
        programs.iter().all(|path| path.is_file())
    }
}

/// The folder that `tests/tools` fills: `ETCDRX_TOOLS`, or `.tools` in the checkout.
pub(crate) fn cache() -> PathBuf {
    match env::var_os("ETCDRX_TOOLS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"),
    }
}

/// Finds a tool by its name: `minio`, `seaweedfs`, `azurite`, `wsgidav`; `openssl` is the system's.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    if name == "openssl" {
        let path = env::var_os("PATH").unwrap_or_default();
        return env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|path| path.is_file());
    }
    let executable = match name {
        "seaweedfs" => "weed",
        "azurite" => "azurite-blob",
        other => other,
    };
    let path = cache().join(name).join("bin").join(executable);
    path.is_file().then_some(path)
}

/// As [`tool`], for what is known to be there.
///
/// # Panics
///
/// When it is not: a test says `require!("minio")` first.
pub(crate) fn expect_tool(name: &str) -> PathBuf {
    tool(name).unwrap_or_else(|| {
        let cache = cache();
        panic!("no {name} in {}: {}", cache.display(), why_missing(name))
    })
}

/// The etcd minors that are here, newest last.
pub(crate) fn etcd_versions() -> Vec<EtcdRelease> {
    ETCD_VERSIONS.into_iter().filter_map(etcd).collect()
}

/// The newest etcd that is here.
///
/// # Panics
///
/// When there is none: nothing can be tested without an etcd.
pub(crate) fn newest_etcd() -> EtcdRelease {
    etcd_versions()
        .pop()
        .unwrap_or_else(|| panic!("no etcd in {}: run `make tools`", cache().display()))
}

/// The release of one minor (`"3.6"`), if it is here with all its programs.
pub(crate) fn etcd(version: &str) -> Option<EtcdRelease> {
    let version = ETCD_VERSIONS.into_iter().find(|known| *known == version)?;
    let minor = version.strip_prefix("3.")?.parse().ok()?;
    // Where no Go is, `tests/tools` gets an older patch release of 3.5.
    let folders = [format!("etcd-{version}"), format!("etcd-{version}.1")];
    let releases = folders.iter().map(|folder| EtcdRelease {
        version,
        minor,
        directory: cache().join(folder).join("bin"),
    });
    releases.into_iter().find(EtcdRelease::is_complete)
}

/// Says on stderr, past the capture of the test runner, that a test did not run, and notes it in `.tools/skipped`.
///
/// # Panics
///
/// When `ETCDRX_REQUIRE`, a list with commas, names the tool: then its absence is a failure.
pub(crate) fn skip(test: &str, tool: &str) {
    let why = why_missing(tool);
    let required = env::var("ETCDRX_REQUIRE").unwrap_or_default();
    assert!(
        !required
            .split(',')
            .any(|name| name.trim() == tool || name.trim() == "all"),
        "{tool} is required by ETCDRX_REQUIRE and is not here ({why})"
    );
    let line = format!("SKIPPED {test}: {tool} is not here ({why})\n");
    // Not eprintln: that is captured, and a skipped test passes. Neither write may fail the test.
    let _ = std::io::stderr().write_all(line.as_bytes());
    let _ = File::options()
        .append(true)
        .create(true)
        .open(cache().join("skipped"))
        .and_then(|mut file| file.write_all(line.as_bytes()));
}

/// What `tests/tools` noted when it could not get a tool: a line `<tool>: <reason>` of `.tools/missing`.
fn why_missing(tool: &str) -> String {
    let notes = fs::read_to_string(cache().join("missing")).unwrap_or_default();
    let reason = notes
        .lines()
        .find_map(|line| line.strip_prefix(tool)?.strip_prefix(": "));
    reason.unwrap_or("`make tools` gets it").to_owned()
}

/// The name of the function that holds it, as `module::function`.
macro_rules! function_name {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        let name = name.trim_end_matches("::here");
        name.trim_end_matches("::{{closure}}").to_owned()
    }};
}

/// Gives a tool's path; where the tool is not here, says so loudly and returns from the test.
macro_rules! require {
    ($name:expr) => {
        match $crate::scratch::tools::tool($name) {
            Some(path) => path,
            None => {
                let test = $crate::scratch::tools::function_name!();
                $crate::scratch::tools::skip(&test, $name);
                return;
            }
        }
    };
}

/// Gives an etcd release (`"3.4"`); where it is not here, says so loudly and returns from the test.
macro_rules! require_etcd {
    ($version:expr) => {
        match $crate::scratch::tools::etcd($version) {
            Some(release) => release,
            None => {
                let test = $crate::scratch::tools::function_name!();
                $crate::scratch::tools::skip(&test, &format!("etcd-{}", $version));
                return;
            }
        }
    };
}

pub(crate) use {function_name, require, require_etcd};
