//! What to do where a drill comes to no result.

use etcdrx::drill::{Break, backup, rehearsal, seed, site};
use etcdrx::recovery::Scenario;

use super::super::failure::{Exit, Failure};
use super::certs::{members_exit, pki_exit};
use super::data::{database_exit, membership_exit, restore_exit};
use super::sandbox::sandbox_exit;
use super::{backup_exit, config_exit, etcd_exit, fetch_exit, repository_exit};

pub(super) fn drill_backup_exit(error: &backup::Error) -> (Exit, &'static str) {
    match error {
        backup::Error::Sandbox { source } => sandbox_exit(source),
        backup::Error::Restore { source } => restore_exit(source),
        backup::Error::Membership { source } => membership_exit(source),
        backup::Error::Etcd { source } => etcd_exit(source),
    }
}

pub(super) fn site_exit(error: &site::Error) -> (Exit, &'static str) {
    match error {
        site::Error::Sandbox { source } => sandbox_exit(source),
        site::Error::Write { .. } => (Exit::Failed, "is the disk full, and may we write there?"),
        site::Error::Certificates { source } => pki_exit(source),
        site::Error::Names { source } => members_exit(source),
        site::Error::Seed { source } => seed_exit(source),
        site::Error::Config { source } => config_exit(source),
        site::Error::Access { source } => etcd_exit(source),
        site::Error::Script { .. } => (
            Exit::Failed,
            "the directory must be one whose files may be run: --dir names another",
        ),
        site::Error::NotServing { .. } | site::Error::NoLeader { .. } => (
            Exit::Failed,
            "nothing was broken yet; a machine that is very busy may be the cause: run it again",
        ),
    }
}

pub(super) fn seed_exit(error: &seed::Error) -> (Exit, &'static str) {
    match error {
        seed::Error::Scratch { source } => sandbox_exit(source),
        seed::Error::Fetch { source, .. } => match fetch_exit(source) {
            (exit @ Exit::Failed, _) => (
                exit,
                "the backup is brought here, and to each member: --dir names a directory with more room",
            ),
            told => told,
        },
        seed::Error::Read { .. } => (Exit::Failed, "did somebody clean up there? Run it again"),
        seed::Error::Database { source, .. } => database_exit(source),
        seed::Error::Membership { source } => membership_exit(source),
        seed::Error::Restore { source, .. } => restore_exit(source),
    }
}

pub(super) fn rehearsal_exit(error: &rehearsal::Error) -> (Exit, &'static str) {
    match error {
        rehearsal::Error::Site { source } => site_exit(source),
        rehearsal::Error::NoWrites { .. } => (
            Exit::Failed,
            "the machine is too busy or its disk too slow for so many clients: --writers says how many",
        ),
        rehearsal::Error::Repository { source } => repository_exit(source),
        rehearsal::Error::Name { source } => config_exit(source),
        rehearsal::Error::Backup { source } => backup_exit(source),
        rehearsal::Error::Interrupted => (Exit::Interrupted, ""),
    }
}

impl Failure {
    /// Certificates cannot end where there are none.
    pub(in crate::cli) fn break_needs_tls(breakage: Break) -> Self {
        let problem = "is about certificates, and the scratch cluster has none: say --tls";
        Self::bad_words(format!("`{breakage}` {problem}"))
    }

    /// A repository that would not be looked at.
    pub(in crate::cli) fn repository_without_from() -> Self {
        let problem = "--repository and --cluster say where the backup is that --from names";
        Self::bad_words(format!("{problem}, and there is no --from"))
    }

    /// A break that makes no such disaster.
    pub(in crate::cli) fn no_such_break(
        scenario: Option<Scenario>,
        breakage: Option<Break>,
    ) -> Self {
        let scenario = scenario.map_or_else(|| "any scenario".to_owned(), |one| one.to_string());
        let breakage = breakage.map(|one| one.to_string()).unwrap_or_default();
        let fitting = Break::ALL.map(|one| one.to_string()).join(", ");
        Self::bad_words(format!(
            "`{breakage}` does not make {scenario}: there are {fitting}"
        ))
    }
}
