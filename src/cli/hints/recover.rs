//! The part of the table that is about recoveries.

use etcdrx::recovery::execute::{Error, Failure as StepFailure};
use etcdrx::recovery::judge::Diagnosis;
use etcdrx::recovery::{journal, playbook};

use super::super::failure::{Exit, Failure};
use super::etcd_exit;
use super::node::host_exit;

/// Healthy, something wrong, or nobody reached at all.
pub(in crate::cli) fn diagnosis_exit(diagnosis: &Diagnosis) -> Exit {
    match (diagnosis.is_healthy(), diagnosis.reached_anything()) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Unreachable,
    }
}

pub(super) fn playbook_exit(error: &playbook::Error) -> (Exit, &'static str) {
    match error {
        playbook::Error::Invalid { .. } | playbook::Error::Incomplete { .. } => (
            Exit::Usage,
            "nothing was changed; docs/recovery.md says what a playbook holds",
        ),
        playbook::Error::OtherScenario { .. } => (
            Exit::Usage,
            "nothing was changed; name the playbook of this scenario",
        ),
        playbook::Error::OtherSteps { .. } => (
            Exit::Refused,
            "nothing was changed; the order of the steps is what keeps the data safe",
        ),
    }
}

fn journal_exit(error: &journal::Error) -> (Exit, &'static str) {
    match error {
        journal::Error::Write { .. } => (
            Exit::Failed,
            "nothing is done without a journal; --state-dir names a directory with room",
        ),
        journal::Error::Read { .. } | journal::Error::Garbled { .. } => (
            Exit::Damaged,
            "look at the file; --state-dir names another directory",
        ),
        journal::Error::Busy { .. } => (
            Exit::Refused,
            "wait until it is done; if its process is gone, the lock is, too",
        ),
        journal::Error::NoSuchRun { .. } | journal::Error::NoPlan { .. } => (
            Exit::Usage,
            "--state-dir names the directory that the run was kept in",
        ),
    }
}

fn step_exit(failure: &StepFailure) -> Exit {
    match failure {
        StepFailure::Etcd { source } => etcd_exit(source).0,
        StepFailure::Node { source, .. } => host_exit(source).0,
        StepFailure::Write { .. }
        | StepFailure::Unexpected { .. }
        | StepFailure::NotInTime { .. } => Exit::Failed,
        StepFailure::Fetch { source } => super::fetch_exit(source).0,
        StepFailure::Damaged { .. } | StepFailure::Unsound { .. } => Exit::Damaged,
        StepFailure::Declined { .. } => Exit::Refused,
        StepFailure::Interrupted => Exit::Interrupted,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Refused { .. } => Self::new(Exit::Refused, &error, "nothing was changed"),
            Error::Journal { source } => {
                let (exit, hint) = journal_exit(source);
                Self::new(exit, &error, hint)
            }
            Error::Step { source, run, .. } => {
                let mut failure = Self::new(step_exit(source), &error, "");
                failure.hints = going_on(run);
                failure
            }
            Error::Interrupted { run, .. } => {
                let mut failure = Self::new(Exit::Interrupted, &error, "");
                failure.hints = going_on(run);
                failure
            }
        }
    }
}

fn going_on(run: &str) -> Vec<String> {
    vec![
        format!("mend what is in the way, and go on: `etcdrx recover --resume {run}`; what is done is not done again"),
        "nothing was deleted: what was set aside lies beside, as member.etcdrx-RUN in each data directory".to_owned(),
    ]
}

impl Failure {
    /// A plan that the evidence speaks against.
    pub(in crate::cli) fn plan_refused(reasons: &[String]) -> Self {
        let mut failure = Self::not_confirmed(
            "this is not done, and nothing was changed",
            "`etcdrx diagnose` shows the evidence",
        );
        failure.causes = reasons.to_vec();
        failure
    }

    /// A plan that is another one than was approved.
    pub(in crate::cli) fn plan_changed(approved: &str, now: &str) -> Self {
        Self::not_confirmed(
            &format!(
                "the plan is not the one that was approved: its digest is {now}, and {approved} was approved"
            ),
            "the cluster changed, or the choices did; nothing was changed. Read the new plan with --dry-run",
        )
    }

    /// A plan that nobody is there to approve.
    pub(in crate::cli) fn plan_not_approved(digest: &str) -> Self {
        Self::not_confirmed(
            "nobody is here to approve the plan, and nothing was changed",
            &format!("read it with --dry-run; then --yes --plan {digest} carries it out"),
        )
    }

    /// Something is wrong, and no scenario fits.
    pub(in crate::cli) fn no_scenario(verdict: &str) -> Self {
        let mut failure = Self::not_confirmed(
            "no recovery fits what was found; nothing was changed",
            "`etcdrx diagnose` says what to do; --scenario names one all the same",
        );
        failure.causes = vec![verdict.to_owned()];
        failure
    }

    /// A `--new-node` that is none.
    pub(in crate::cli) fn bad_new_node(text: &str) -> Self {
        let mut failure = Self::not_confirmed(
            &format!("`{text}` is not a new node"),
            "--new-node etcd-4=https://10.0.0.13:2380",
        );
        failure.exit = Exit::Usage;
        failure
    }
}
