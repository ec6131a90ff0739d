//! What can have happened to a cluster, and the name that a person types for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a recovery is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// One member is lost, and the others have a quorum.
    Follower,
    /// The leader is lost, and the others can have one.
    Leader,
    /// So many members are lost that the others have no quorum.
    Majority,
    /// No member's data are left.
    Total,
    /// The quota is used up, and nothing can be written.
    Nospace,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Follower,
        Self::Leader,
        Self::Majority,
        Self::Total,
        Self::Nospace,
    ];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::Leader => "leader",
            Self::Majority => "majority",
            Self::Total => "total",
            Self::Nospace => "nospace",
        })
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is not follower, leader, majority, total or nospace"))
    }
}
