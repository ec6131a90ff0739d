//! What must hold after a recovery.

use serde::{Deserialize, Serialize};

/// Something that must hold, and whether it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariant {
    /// Its name, such as `I5`.
    pub code: String,
    /// What must hold.
    pub title: String,
    /// Whether it does; `None` where nobody could look.
    pub ok: Option<bool>,
    /// What was seen.
    pub evidence: Vec<String>,
}
