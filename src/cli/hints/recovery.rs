//! The exit codes of a diagnosis and a recovery.

use etcdrx::recovery::judge::Diagnosis;

use crate::cli::failure::Exit;

/// Healthy, something wrong, or nobody reached at all.
pub(in crate::cli) fn diagnosis_exit(diagnosis: &Diagnosis) -> Exit {
    match (diagnosis.is_healthy(), diagnosis.reached_anything()) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Unreachable,
    }
}
