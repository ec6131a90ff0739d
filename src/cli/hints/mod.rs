//! Every error of the library, mapped to an exit code and a hint: the one place that decides both.

mod certs;
mod data;
mod drill;
mod node;
mod recover;
mod sandbox;
mod store;
mod upgrade;

use std::io::ErrorKind;

use etcdrx::catalog::Error as CatalogError;
use etcdrx::config::Error as ConfigError;
use etcdrx::datadir::{inspect, membership};
use etcdrx::etcd::Error as EtcdError;
use etcdrx::notify::MetricsError;
use etcdrx::repository::{CommitError, Error as RepositoryError};
use etcdrx::schedule::{calendar, records};
use etcdrx::{
    apply, attachments, backup, certs as library, copy, fetch, id, keys, pki, prune, recovery,
    restore, source, verify,
};

use self::certs::{authority_exit, members_exit, pki_exit, profile_exit};
use self::data::{inspect_exit, membership_exit, restore_exit, source_exit};
use self::drill::{drill_backup_exit, rehearsal_exit, seed_exit, site_exit};
use self::node::node_exit;
use self::recover::playbook_exit;
use self::sandbox::{salvage_exit, sandbox_exit};
use self::store::{CHANGES, catalog_exit, lock_exit, repository_exit};
use self::upgrade::upgrade_exit;
use super::failure::{Exit, Failure};

pub(super) use self::recover::diagnosis_exit;

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
    ConfigError => config_exit,
    EtcdError => etcd_exit,
    RepositoryError => repository_exit,
    CatalogError => catalog_exit,
    verify::Error => verify_exit,
    keys::Error => keys_exit,
    backup::Error => backup_exit,
    prune::Error => prune_exit,
    copy::Error => copy_exit,
    fetch::Error => fetch_exit,
    source::Error => source_exit,
    membership::Error => membership_exit,
    restore::Error => restore_exit,
    inspect::Error => inspect_exit,
    etcdrx::node::Error => node_exit,
    apply::Error => apply_exit,
    id::Error => id_exit,
    library::members::Error => members_exit,
    library::profile::Error => profile_exit,
    library::authority::Error => authority_exit,
    pki::Error => pki_exit,
    library::check::Error => certs_check_exit,
    MetricsError => metrics_exit,
    recovery::playbook::Error => playbook_exit,
    etcdrx::drill::backup::Error => drill_backup_exit,
    calendar::Error => calendar_exit,
    records::Error => records_exit,
    etcdrx::drill::seed::Error => seed_exit,
    etcdrx::drill::site::Error => site_exit,
    etcdrx::drill::rehearsal::Error => rehearsal_exit,
    etcdrx::sandbox::Error => sandbox_exit,
    etcdrx::node::salvage::Error => salvage_exit,
    etcdrx::upgrade::Error => upgrade_exit,
}

fn certs_check_exit(_: &library::check::Error) -> (Exit, &'static str) {
    (
        Exit::Usage,
        "name the directory that holds ca.crt and the members' directories, or files by flags",
    )
}

fn metrics_exit(_: &MetricsError) -> (Exit, &'static str) {
    (Exit::Failed, "check the path and who may write there")
}

fn id_exit(_: &id::Error) -> (Exit, &'static str) {
    (Exit::Usage, "")
}

fn config_exit(error: &ConfigError) -> (Exit, &'static str) {
    let hint = match error {
        ConfigError::Invalid { .. } => "docs/guide.md lists every key and its form",
        ConfigError::UnknownKey { .. } => "nothing was done; correct the key or remove it",
        ConfigError::UnknownVariable { .. } => "nothing was done; correct the variable or unset it",
        ConfigError::BadValue { .. } => "correct the value",
        ConfigError::NotEtcd { .. } => {
            "without it, `etcdrx init --endpoints ...` writes a file to fill in"
        }
        ConfigError::ClusterName { .. } => "the name is a folder in the repository",
        ConfigError::SeveralRepositories { .. } => {
            "set it in etcdrx.toml, below the [[repository]] that is meant, and unset the variable"
        }
        ConfigError::NoRepository { .. } => "--repository takes one of these names",
        ConfigError::Senseless { .. } => "correct it in etcdrx.toml",
    };
    (Exit::Usage, hint)
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
            "this is about TLS, not about the network; `etcdrx certs explain --log FILE` reads etcd's log for you",
        ),
        EtcdError::NoneReachable { by_tls: true, .. } => (
            Exit::Unreachable,
            "at least one endpoint fails for TLS, not for the network; `etcdrx certs explain --log FILE` reads etcd's log for you",
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

fn verify_exit(error: &verify::Error) -> (Exit, &'static str) {
    match error {
        verify::Error::Repository { source } => repository_exit(source),
        verify::Error::Output { source } if source.kind() == ErrorKind::BrokenPipe => {
            (Exit::Failed, "whoever read the output went away")
        }
        verify::Error::Output { .. } => (Exit::Failed, "is the disk full?"),
        verify::Error::NoIdentity { .. } => (
            Exit::Refused,
            "`identity_file` in [encryption], or ETCDRX_ENCRYPTION_IDENTITY_FILE, names the file that opens it; nothing was done",
        ),
        verify::Error::WrongIdentity { .. } => (
            Exit::Refused,
            "`identity_file` in [encryption] must name the private part of one of these keys; nothing was done",
        ),
        verify::Error::Keys { source } => keys_exit(source),
        verify::Error::Header { .. } => (
            Exit::Damaged,
            "use another backup; `etcdrx list` shows which were verified",
        ),
        verify::Error::Unsigned { .. } => (
            Exit::Refused,
            "nothing was done; it may be older than the key: who trusts it all the same leaves out `verifying_key_file` once",
        ),
        verify::Error::WrongSignature { .. } => (
            Exit::Damaged,
            "nothing was done; take another backup, and find out who wrote to the repository",
        ),
        verify::Error::UnknownEncryption { .. } => (
            Exit::Failed,
            "a newer release of etcdrx may know it; nothing was done",
        ),
    }
}

fn keys_exit(error: &keys::Error) -> (Exit, &'static str) {
    match error {
        keys::Error::Recipients { .. } => (
            Exit::Usage,
            "nothing was stored: what was to be encrypted is never stored in the clear; `age-keygen -y FILE` prints the recipient of an identity",
        ),
        keys::Error::Identity { .. } => (
            Exit::Usage,
            "the file holds AGE-SECRET-KEY-1… as `age-keygen` writes it, or a private key of ssh",
        ),
        keys::Error::Signing { .. } => (
            Exit::Usage,
            "no backup was taken; `openssl genpkey -algorithm ed25519` makes such a key",
        ),
        keys::Error::Verifying { .. } => (
            Exit::Usage,
            "nothing was done; `openssl pkey -in KEY -pubout` writes the public key",
        ),
        keys::Error::NoIdentity => (
            Exit::Usage,
            "`identity_file` in [encryption] names the file that opens backups",
        ),
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
        backup::Error::ReadBack { .. } | backup::Error::ManifestReadBack { .. } => {
            (Exit::Damaged, CHANGES)
        }
        backup::Error::Silent { .. } => (
            Exit::Unreachable,
            "`etcdrx check` tries the store step by step",
        ),
        backup::Error::Nowhere { failures } => match failures.first() {
            Some((_, error)) => backup_exit(error),
            None => (Exit::Failed, ""),
        },
        backup::Error::Keys { source } => keys_exit(source),
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

fn copy_exit(error: &copy::Error) -> (Exit, &'static str) {
    match error {
        copy::Error::Catalog { source, .. } => catalog_exit(source),
        copy::Error::Lock { source } => lock_exit(source),
        copy::Error::Repository { source } => repository_exit(source),
        copy::Error::Commit { source } => match source.as_ref() {
            CommitError::Lock { source } => lock_exit(source),
            CommitError::Store { source } => repository_exit(source),
            CommitError::ReadBack { .. } => (Exit::Damaged, CHANGES),
        },
        copy::Error::Damaged { .. } => (
            Exit::Damaged,
            "it was not copied; does another repository have a good one? `etcdrx verify --all` tells",
        ),
        copy::Error::ReadBack { .. } => (Exit::Damaged, CHANGES),
        copy::Error::Another { .. } => (Exit::Refused, "nothing was overwritten"),
        copy::Error::Interrupted => (Exit::Interrupted, ""),
    }
}

fn fetch_exit(error: &fetch::Error) -> (Exit, &'static str) {
    match error {
        fetch::Error::Exists { .. } => (
            Exit::Refused,
            "nothing was written; name another file, or move this one away",
        ),
        fetch::Error::Write { .. } => (Exit::Failed, "nothing is left behind"),
        fetch::Error::NoAttachments { .. } => (
            Exit::Usage,
            "`etcdrx show` tells what a backup holds; `attach` in [backup] says what the next ones do",
        ),
        fetch::Error::Attachments { source } => attachments_exit(source),
        fetch::Error::Read { source } => verify_exit(source),
        fetch::Error::Damaged { .. } => (
            Exit::Damaged,
            "use another backup; `etcdrx list` shows which were verified",
        ),
    }
}

fn attachments_exit(error: &attachments::Error) -> (Exit, &'static str) {
    match error {
        attachments::Error::Exists { .. } => (
            Exit::Refused,
            "nothing was written; name another directory, or move this one away",
        ),
        attachments::Error::Write { .. } => {
            (Exit::Failed, "nothing is left behind; is the disk full?")
        }
        attachments::Error::Archive { .. } | attachments::Error::TooLarge { .. } => {
            (Exit::Damaged, "take those of another backup")
        }
    }
}

fn apply_exit(error: &apply::Error) -> (Exit, &'static str) {
    let apply::Error::Etcd { source } = error;
    etcd_exit(source)
}

fn calendar_exit(error: &calendar::Error) -> (Exit, &'static str) {
    let hint = match error {
        calendar::Error::NotSaid { .. } => {
            "say it with numbers, ranges, lists and steps alone, or let `schedule run` keep it, which knows all of cron"
        }
        calendar::Error::Expression { .. }
        | calendar::Error::Never { .. }
        | calendar::Error::Zone { .. }
        | calendar::Error::Empty => {
            "five fields: minute, hour, day of the month, month, day of the week; `*/30 * * * *` is every half hour"
        }
    };
    (Exit::Usage, hint)
}

fn records_exit(_: &records::Error) -> (Exit, &'static str) {
    (
        Exit::Failed,
        "is the disk full, and may we write there? --state-dir names another directory",
    )
}
