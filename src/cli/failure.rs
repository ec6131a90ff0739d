//! Every error of the library, mapped to an exit code and a hint: the one place that decides both.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use etcdrx::catalog::Error as CatalogError;
use etcdrx::config::Error as ConfigError;
use etcdrx::etcd::Error as EtcdError;
use etcdrx::repository::{Error as RepositoryError, LockError};
use etcdrx::{backup, fetch, prune, verify};
use serde_json::{Value, json};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The command worked; the answer is bad.
    Findings = 3,
    /// Unsafe, or not confirmed.
    Refused = 4,
    /// etcd or the repository cannot be reached.
    Unreachable = 5,
    /// Not what was written.
    Damaged = 6,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl Exit {
    /// The word for the code in JSON.
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Findings => "findings",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Damaged => "damaged",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a command failed, as a person is told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    fn new(exit: Exit, error: &dyn StdError, hint: &str) -> Self {
        let mut causes: Vec<String> = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries repeat their cause in their own message.
            let repeated = causes.last().is_some_and(|last| last.contains(&text));
            if !repeated {
                causes.push(text);
            }
            next = cause.source();
        }
        Self {
            causes,
            ..Self::plain(exit, error.to_string(), hint)
        }
    }

    fn plain(exit: Exit, message: impl Into<String>, hint: &str) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hints: [hint]
                .into_iter()
                .filter(|hint| !hint.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    pub(super) fn interrupted() -> Self {
        Self::plain(Exit::Interrupted, "interrupted", "")
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the shape that `map_err` takes"
    )]
    pub(super) fn no_runtime(source: io::Error) -> Self {
        Self::new(
            Exit::Failed,
            &source,
            "the system gives no threads or signals: look at its limits",
        )
    }

    pub(super) fn config_unreadable(path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot read the configuration {}: {source}", path.display());
        Self::plain(
            Exit::Usage,
            message,
            "`etcdrx init` writes one; --config names another",
        )
    }

    pub(super) fn not_confirmed(message: &str, hint: &str) -> Self {
        Self::plain(Exit::Refused, message, hint)
    }

    pub(super) fn cannot_read(path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot read {}: {source}", path.display());
        Self::plain(Exit::Usage, message, "check the path and who may read it")
    }

    pub(super) fn cannot_write(path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot write {}: {source}", path.display());
        Self::plain(Exit::Failed, message, "")
    }

    pub(super) fn file_exists(path: &Path) -> Self {
        let message = format!("{} exists already", path.display());
        Self::plain(
            Exit::Refused,
            message,
            "nothing was written; name another file, or move this one away",
        )
    }

    /// The failure as one JSON document.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "code": self.exit.word(),
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints,
        }})
    }

    /// Message and causes in one line, for a heartbeat.
    pub(crate) fn one_line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Invalid { .. } => "docs/cli.md lists every key and its form",
            ConfigError::UnknownKey { .. } => "nothing was done; correct the key or remove it",
            ConfigError::UnknownVariable { .. } => {
                "nothing was done; correct the variable or unset it"
            }
            ConfigError::BadValue { .. } => "correct the value",
            ConfigError::NotEtcd { .. } => {
                "without it, `etcdrx init --endpoints ...` writes a file to fill in"
            }
            ConfigError::ClusterName { .. } => "the name is a folder in the repository",
            ConfigError::Senseless { .. } => "correct it in etcdrx.toml",
        };
        Self::new(Exit::Usage, &error, hint)
    }
}

fn etcd_exit(error: &EtcdError) -> (Exit, &'static str) {
    match error {
        EtcdError::BadEndpoint { .. } => {
            (Exit::Usage, "endpoints look like https://10.0.0.10:2379")
        }
        EtcdError::ReadFile { .. } => (Exit::Usage, "check the path and who may read it"),
        EtcdError::BadFile { .. } => (
            Exit::Usage,
            "`openssl x509 -noout -text -in FILE` shows what a certificate holds",
        ),
        EtcdError::NoPassword { .. } => (
            Exit::Usage,
            "set ETCDCTL_PASSWORD, or `password_file` in [cluster]",
        ),
        EtcdError::Unreachable { diagnosis, .. } if diagnosis.is_tls() => (
            Exit::Unreachable,
            "this is about certificates, not about the network; the log of etcd says more",
        ),
        EtcdError::NoneReachable { by_tls: true, .. } => (
            Exit::Unreachable,
            "at least one endpoint fails for its certificates, not for the network; the log of etcd says more",
        ),
        EtcdError::Unreachable { .. } | EtcdError::NoneReachable { .. } => (
            Exit::Unreachable,
            "are these the right endpoints, and is etcd running there?",
        ),
        EtcdError::TimedOut { .. } => (
            Exit::Unreachable,
            "the member may be overloaded, or the cluster may have no leader",
        ),
        EtcdError::WrongPassword { .. } => (
            Exit::Failed,
            "check `user` and ETCDCTL_PASSWORD or `password_file`",
        ),
        EtcdError::NotAllowed { .. } => (
            Exit::Failed,
            "a snapshot takes a user with the role root: by password, or a client certificate with CN=root",
        ),
        EtcdError::Call { .. } => (
            Exit::Failed,
            "etcd's own message is the one to look up; its log says more",
        ),
        EtcdError::SeveralClusters { .. } => (
            Exit::Refused,
            "remove the endpoints of the other cluster, or ask for one member by its name",
        ),
        EtcdError::NoCandidate { .. } => (
            Exit::Refused,
            "a backup from such a member could not be trusted",
        ),
        EtcdError::NoSuchMember { .. } => {
            (Exit::Usage, "use auto, leader, or one of the names above")
        }
        EtcdError::Broken { .. } | EtcdError::Stalled { .. } => (
            Exit::Unreachable,
            "nothing was committed; look at that member's log",
        ),
    }
}

fn repository_exit(error: &RepositoryError) -> (Exit, &'static str) {
    match error {
        RepositoryError::NotConfigured => (
            Exit::Usage,
            "set `url` in [repository], ETCDRX_REPOSITORY_URL, or --repository",
        ),
        RepositoryError::BadUrl { .. } | RepositoryError::BadSetting { .. } => (
            Exit::Usage,
            "correct [repository] in etcdrx.toml, or the credentials in the environment",
        ),
        RepositoryError::ReadCa { .. } => (Exit::Usage, "check the path and who may read it"),
        RepositoryError::NoDirectory { .. } => (
            Exit::Unreachable,
            "is it mounted? The first backup makes the last component of the path, nothing above it",
        ),
        RepositoryError::CreateDirectory { .. } => (
            Exit::Unreachable,
            "the directory above must be there: is it mounted, and may we write to it?",
        ),
        RepositoryError::NotFound { .. } => {
            (Exit::Failed, "it may have been removed in the meantime")
        }
        RepositoryError::NoBucket { .. } => (
            Exit::Failed,
            "etcdrx makes no buckets: create it, or correct the URL",
        ),
        RepositoryError::Exists { .. } => (Exit::Refused, "nothing was overwritten"),
        RepositoryError::NoCredentials { .. } => (
            Exit::Failed,
            "set them in the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3",
        ),
        RepositoryError::Denied { .. } => (
            Exit::Failed,
            "check the credentials and the rights on the bucket or directory: read, write, list, delete",
        ),
        RepositoryError::Full { .. } => (
            Exit::Failed,
            "free space, or prune; what was written of this backup was removed again",
        ),
        RepositoryError::Unreachable { .. } => (
            Exit::Unreachable,
            "`etcdrx check` tries the store step by step",
        ),
        RepositoryError::Local { .. } => (Exit::Failed, "look at the directory's owner and mode"),
        RepositoryError::WebDav { .. } => (Exit::Failed, "the server's log says more"),
        RepositoryError::TooLarge { .. } => (Exit::Failed, "is this etcdrx's folder?"),
    }
}

fn lock_exit(error: &LockError) -> (Exit, &'static str) {
    match error {
        LockError::Held { .. } => (
            Exit::Refused,
            "wait for it (--wait 10m); a run that died is recognised by itself within two minutes",
        ),
        LockError::Lost => (
            Exit::Failed,
            "was this machine asleep, or the store out of reach for more than two minutes? Run it again",
        ),
        LockError::Store { source } => repository_exit(source),
    }
}

fn catalog_exit(error: &CatalogError) -> (Exit, &'static str) {
    match error {
        CatalogError::Repository { source } => repository_exit(source),
        CatalogError::Empty { .. } => (
            Exit::Failed,
            "`etcdrx backup` takes one; is --cluster the right name?",
        ),
        CatalogError::Unknown { .. } | CatalogError::Ambiguous { .. } => {
            (Exit::Usage, "`etcdrx list` shows the ids")
        }
        CatalogError::Unreadable { .. } => (
            Exit::Damaged,
            "the data beside the manifest may still be whole",
        ),
    }
}

fn verify_exit(error: &verify::Error) -> (Exit, &'static str) {
    match error {
        verify::Error::Repository { source } => repository_exit(source),
        verify::Error::Output { .. } => (Exit::Failed, "is the disk full?"),
    }
}

fn backup_exit(error: &backup::Error) -> (Exit, &'static str) {
    match error {
        backup::Error::Etcd { source } => etcd_exit(source),
        backup::Error::Repository { source } => repository_exit(source),
        backup::Error::Lock { source } => lock_exit(source),
        backup::Error::Catalog { source } => catalog_exit(source),
        backup::Error::Damaged { .. } => (
            Exit::Damaged,
            "nothing was committed; that member's disk or the way to it changes bytes",
        ),
        backup::Error::Stale { .. } => (
            Exit::Failed,
            "nothing was committed; that member lags: look at its disk and its link to the others",
        ),
        backup::Error::AllFailed { source } => backup_exit(source),
        backup::Error::ReadBack { .. } | backup::Error::ManifestReadBack { .. } => (
            Exit::Damaged,
            "the store changes what it is given: trust nothing in it, and use another",
        ),
        backup::Error::AnotherCluster { .. } => (
            Exit::Refused,
            "give each cluster a `name` of its own in [cluster]",
        ),
        backup::Error::TimedOut { .. } => (
            Exit::Failed,
            "nothing was committed; `timeout` in [backup] allows more",
        ),
        backup::Error::Interrupted => (Exit::Interrupted, ""),
    }
}

fn prune_exit(error: &prune::Error) -> (Exit, &'static str) {
    match error {
        prune::Error::NoPolicy => (
            Exit::Usage,
            "nothing was removed; set keep_last, keep_daily, ... in [retention]",
        ),
        prune::Error::Interrupted => (Exit::Interrupted, ""),
        prune::Error::Catalog { source } => catalog_exit(source),
        prune::Error::Lock { source } => lock_exit(source),
        prune::Error::Repository { source } => repository_exit(source),
    }
}

fn fetch_exit(error: &fetch::Error) -> (Exit, &'static str) {
    match error {
        fetch::Error::Exists { .. } => (
            Exit::Refused,
            "nothing was written; name another file, or move this one away",
        ),
        fetch::Error::Write { .. } => (Exit::Failed, "nothing is left behind"),
        fetch::Error::Read { source } => verify_exit(source),
        fetch::Error::Damaged { .. } => (
            Exit::Damaged,
            "use another backup; `etcdrx list` shows which were verified",
        ),
    }
}

/// Makes a failure of each kind of error by the function that knows it.
macro_rules! failure_from {
    ($($error:ty => $exit:ident),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let (exit, hint) = $exit(&error);
                Self::new(exit, &error, hint)
            }
        }
    )*};
}

failure_from! {
    EtcdError => etcd_exit,
    RepositoryError => repository_exit,
    CatalogError => catalog_exit,
    verify::Error => verify_exit,
    backup::Error => backup_exit,
    prune::Error => prune_exit,
    fetch::Error => fetch_exit,
}

impl From<etcdrx::id::Error> for Failure {
    fn from(error: etcdrx::id::Error) -> Self {
        Self::new(Exit::Usage, &error, "")
    }
}
