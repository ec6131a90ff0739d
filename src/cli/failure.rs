//! How a command fails: its exit code, its message, and what to do next.

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::path::Path;

use etcdrx::certs::explain::fixes;
use etcdrx::etcd;
use etcdrx::id::{BackupId, Revision};
use etcdrx::repository;
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
    pub(super) fn word(self) -> &'static str {
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
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// Whether it was the repository that failed.
    pub(crate) is_of_repository: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: &(dyn StdError + 'static), hint: &str) -> Self {
        let mut causes: Vec<String> = Vec::new();
        let mut is_of_repository = error.is::<repository::Error>();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries repeat their cause in their own message.
            let repeated = causes.last().is_some_and(|last| last.contains(&text));
            if !repeated {
                causes.push(text.trim_end().to_owned());
            }
            is_of_repository |= cause.is::<repository::Error>();
            next = cause.source();
        }
        let mut failure = Self {
            causes,
            is_of_repository,
            ..Self::plain(exit, error.to_string(), hint)
        };
        failure.hints.extend(fixes_of(error));
        failure
    }

    fn plain(exit: Exit, message: impl Into<String>, hint: &str) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            is_of_repository: false,
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

    pub(super) fn no_certificate(path: &Path) -> Self {
        Self::plain(
            Exit::Usage,
            format!("{} holds no certificate in PEM", path.display()),
            "etcd reads PEM only; `openssl x509 -inform DER` converts",
        )
    }

    pub(super) fn cannot_read(path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot read {}: {source}", path.display());
        Self::plain(Exit::Usage, message, "check the path and who may read it")
    }

    pub(super) fn cannot_write(path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot write {}: {source}", path.display());
        Self::plain(Exit::Failed, message, "")
    }

    /// A backup that is not in every repository: `missed` says where not, and why.
    pub(super) fn partial(id: &BackupId, present: &[String], missed: &[(String, Self)]) -> Self {
        let names: Vec<&str> = missed.iter().map(|(name, _)| name.as_str()).collect();
        let message = format!(
            "the backup {id} is in {} and not in {}",
            present.join(", "),
            names.join(", ")
        );
        let (from, to) = (present.first(), names.first());
        let hint = match (from, to) {
            (Some(from), Some(to)) => {
                format!("once it answers, `etcdrx copy --from {from} --to {to}` brings it there")
            }
            _ => String::new(),
        };
        let mut failure = Self::plain(Exit::Failed, message, &hint);
        failure.causes = lines(missed);
        failure
    }

    /// Repositories not one of which can be opened: the first one's failure, and what the others say.
    pub(super) fn nowhere(failures: impl IntoIterator<Item = Self>) -> Self {
        let mut failures = failures.into_iter();
        let first = failures.next();
        let mut first = first.unwrap_or_else(|| Self::plain(Exit::Usage, "no repository", ""));
        first.causes.extend(failures.map(|other| other.one_line()));
        first
    }

    /// The same, where other repositories may have what is looked for.
    pub(super) fn or_another(mut self, name: &str, others: &str) -> Self {
        self.hints.push(format!(
            "this is about the repository {name}; `--repository` with the name of another may do: {others}"
        ));
        self
    }

    /// Work in several repositories that failed in some of them, and was done in the others.
    pub(super) fn in_some(what: &str, failed: &[(String, Self)]) -> Self {
        let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
        let message = format!("{what} failed in {}", names.join(", "));
        let mut failure = Self::plain(
            Exit::Failed,
            message,
            "the other repositories had their turn",
        );
        failure.causes = lines(failed);
        let mut hints = failed.iter().flat_map(|(_, failure)| failure.hints.clone());
        failure.hints.extend(hints.next());
        failure
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the shape that `map_err` takes"
    )]
    pub(super) fn no_program(source: io::Error) -> Self {
        Self::plain(
            Exit::Failed,
            format!("cannot tell where this program lies: {source}"),
            "",
        )
    }

    pub(super) fn schedule_runs(path: &Path) -> Self {
        Self::plain(
            Exit::Refused,
            format!(
                "another service keeps this cluster's schedule on this machine: it holds {}",
                path.display()
            ),
            "stop that one first, or name another --state-dir or another cluster",
        )
    }

    pub(super) fn cannot_listen(address: &str, source: &io::Error) -> Self {
        Self::plain(
            Exit::Failed,
            format!("cannot listen on {address}: {source}"),
            "[schedule] listen in etcdrx.toml says where metrics are served, such as 127.0.0.1:9379",
        )
    }

    pub(super) fn no_such_key(key: &str, revision: Revision) -> Self {
        let message = format!("there is no key `{key}` at revision {revision}");
        Self::plain(
            Exit::Failed,
            message,
            "`etcdrx snapshot keys` lists them; --rev looks at an earlier revision",
        )
    }

    pub(super) fn not_a_key(path: &Path, line: usize) -> Self {
        let message = format!("line {line} of {} is no key with a value", path.display());
        Self::plain(
            Exit::Usage,
            message,
            "nothing was put; `etcdrx snapshot extract` writes such lines",
        )
    }

    pub(super) fn unknown_text() -> Self {
        let hints = [
            "read etcd's log first, `etcdrx certs explain --log FILE`: the side that refuses has the reason, the other only an alert",
            "known are the errors about TLS and certificates of etcd, etcdctl, curl and Rust clients; give the whole line",
        ];
        Self {
            hints: hints.map(str::to_owned).to_vec(),
            ..Self::plain(Exit::Failed, "no explanation is known for this text", "")
        }
    }

    pub(super) fn bad_words(problem: String) -> Self {
        Self::plain(Exit::Usage, problem, "nothing was done")
    }

    pub(super) fn no_endpoints() -> Self {
        Self::plain(
            Exit::Usage,
            "no endpoints are configured",
            "--endpoints names them, or `endpoints` in [cluster]",
        )
    }

    pub(super) fn no_such_user(problem: &str) -> Self {
        Self::plain(
            Exit::Usage,
            problem,
            "--as-user names the user as whom etcd runs here; its number does as well",
        )
    }

    pub(super) fn no_hosts() -> Self {
        Self::plain(
            Exit::Usage,
            "a member's certificate needs the names and addresses that it answers to",
            "--host 10.0.0.1,m1.example.com names them; nothing was written",
        )
    }

    pub(super) fn client_with_hosts() -> Self {
        Self::plain(
            Exit::Usage,
            "a client's certificate holds no names and addresses",
            "etcd compares them with the address that the client comes from; nothing was written",
        )
    }

    /// Members that are not as far as the next step needs them.
    pub(super) fn not_yet(obstacles: &[String]) -> Self {
        let mut failure = Self::plain(
            Exit::Refused,
            "not every member is as far as this step needs",
            "nothing was changed; `etcdrx certs rotate-ca plan` says what comes before this step",
        );
        failure.causes = obstacles.to_vec();
        failure
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

/// Each failure in a line, behind the name of what it happened to.
fn lines(failures: &[(String, Failure)]) -> Vec<String> {
    let line = |(name, failure): &(String, Failure)| format!("{name}: {}", failure.one_line());
    failures.iter().map(line).collect()
}

/// What to do about certificates that keep us from a member, as `certs explain` says it.
fn fixes_of(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut chain = iter::successors(Some(error), |&error| error.source());
    let refused = chain.find_map(|error| {
        let error = error.downcast_ref::<etcd::Error>()?;
        error.is_tls().then(|| fixes(&error.to_string()))
    });
    refused.unwrap_or_default()
}
