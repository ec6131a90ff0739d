//! What can be the matter with a cluster: the leaves of the decision tree.

use serde::{Deserialize, Serialize};

use crate::recovery::Scenario;

/// What is the matter; the worst first.
///
/// The names are a contract: scripts go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Several clusters answer, and it cannot be told which one is ours; or one was split in two.
    SplitClusters,
    /// No member has data left.
    Total,
    /// No quorum; of one member only the database is of use.
    MajorityDbOnly,
    /// No quorum and nobody alive; a directory is intact.
    MajoritySalvage,
    /// No quorum; a survivor runs and gives its snapshot.
    MajoritySurvivorLive,
    /// No quorum; enough members can be started on their own data.
    MajorityRestartable,
    /// No quorum; nobody has looked at what is left on the nodes.
    MajorityUnseen,
    /// The way from here leads to nobody: nothing is known of the cluster.
    NotADisasterNetwork,
    /// A member holds other data than the others.
    SilentCorruption,
    /// The CORRUPT alarm is raised: no writes.
    CorruptAlarm,
    /// The leader is gone.
    LeaderLost,
    /// Enough members are alive, and they have no leader yet.
    ElectionUnderWay,
    /// One member has no data that it could start from.
    FollowerDataLost,
    /// One member's data are damaged.
    FollowerCorrupt,
    /// A node of the configuration is no member: it was removed, and not added again.
    MissingMember,
    /// One member takes connections and does nothing.
    FollowerHung,
    /// One member cannot be reached, and may be alive.
    FollowerUnreachable,
    /// One member is down.
    FollowerDown,
    /// TLS keeps us out, of all members or of one: nothing is known of what is behind.
    NotADisasterTls,
    /// Members run, and nobody takes them in: their certificates have ended.
    NotADisasterCertificate,
    /// etcd answers, and does not let us look.
    NotAllowed,
    /// One member answers, and knows no leader while the others have one.
    MemberIsolated,
    /// One member is about to start, or does not get on with it.
    MemberStarting,
    /// A member of another cluster answers at a URL of ours.
    ForeignMember,
    /// A member that was removed runs on.
    RemovedMemberRunning,
    /// The NOSPACE alarm is raised: no writes.
    Nospace,
    /// A node's settings still say `--force-new-cluster`.
    ForceNewClusterLeft,
    /// A member was added and never started.
    UnstartedMember,
    /// A learner was never promoted.
    StrayLearner,
    /// A version that is known to damage data.
    KnownDataBugVersion,
    /// Nothing is wrong with what was seen, and not everything was.
    PartlySeen,
    /// Everything was looked at and is well.
    Healthy,
}

/// How sure the judgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// It was seen.
    Certain,
    /// Everything points there, and something was not looked at.
    Likely,
    /// It may be something else.
    Unclear,
}

impl Condition {
    /// The name that scripts go by.
    #[must_use]
    pub fn code(self) -> String {
        let text = serde_json::to_value(self);
        let text = text.expect("a condition is a word");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The scenario of a recovery from it; `None` where nothing has to be recovered, or nobody should yet.
    #[must_use]
    pub fn scenario(self) -> Option<Scenario> {
        match self {
            Self::Total => Some(Scenario::Total),
            Self::MajorityDbOnly
            | Self::MajoritySalvage
            | Self::MajoritySurvivorLive
            | Self::MajorityRestartable
            | Self::MajorityUnseen => Some(Scenario::Majority),
            Self::LeaderLost => Some(Scenario::Leader),
            Self::Nospace => Some(Scenario::Nospace),
            Self::SilentCorruption
            | Self::FollowerDataLost
            | Self::FollowerCorrupt
            | Self::MissingMember
            | Self::FollowerHung
            | Self::FollowerUnreachable
            | Self::FollowerDown => Some(Scenario::Follower),
            Self::SplitClusters
            | Self::NotADisasterTls
            | Self::NotADisasterNetwork
            | Self::NotADisasterCertificate
            | Self::NotAllowed
            | Self::CorruptAlarm
            | Self::ElectionUnderWay
            | Self::MemberIsolated
            | Self::MemberStarting
            | Self::ForeignMember
            | Self::RemovedMemberRunning
            | Self::ForceNewClusterLeft
            | Self::UnstartedMember
            | Self::StrayLearner
            | Self::KnownDataBugVersion
            | Self::PartlySeen
            | Self::Healthy => None,
        }
    }

    /// What it means, in a few words that follow a member's name or stand alone.
    #[must_use]
    pub fn words(self) -> &'static str {
        let entry = WORDS.iter().find(|(condition, _)| *condition == self);
        entry.map_or("something is wrong", |(_, words)| words)
    }

    /// Whether [`Self::words`] speak of a member, whose name comes before them.
    #[must_use]
    pub fn is_about_a_member(self) -> bool {
        matches!(
            self,
            Self::FollowerDataLost
                | Self::FollowerCorrupt
                | Self::MissingMember
                | Self::FollowerHung
                | Self::FollowerUnreachable
                | Self::FollowerDown
                | Self::NotADisasterCertificate
                | Self::MemberIsolated
                | Self::MemberStarting
                | Self::ForeignMember
                | Self::RemovedMemberRunning
                | Self::ForceNewClusterLeft
                | Self::UnstartedMember
                | Self::StrayLearner
                | Self::KnownDataBugVersion
        )
    }
}

/// What each condition means.
const WORDS: [(Condition, &str); 32] = [
    (
        Condition::SplitClusters,
        "several clusters answer, and nobody can tell from here which is the right one",
    ),
    (
        Condition::Total,
        "no member has data left: only a backup brings the cluster back",
    ),
    (
        Condition::MajorityDbOnly,
        "the quorum is lost, and only the database of one member is of use",
    ),
    (
        Condition::MajoritySalvage,
        "the quorum is lost and nobody is alive; an intact data directory is left",
    ),
    (
        Condition::MajoritySurvivorLive,
        "the quorum is lost; a survivor runs and gives its snapshot: do not restart it",
    ),
    (
        Condition::MajorityRestartable,
        "the quorum is lost, and enough members can be started on their own data: nothing is lost",
    ),
    (
        Condition::MajorityUnseen,
        "the quorum is lost, and nobody has looked at what is left on the nodes",
    ),
    (
        Condition::NotADisasterTls,
        "TLS keeps us out; whether anything is wrong with the cluster cannot be seen from here",
    ),
    (
        Condition::NotADisasterNetwork,
        "nothing at all comes back from any member: look at this machine's own network first",
    ),
    (
        Condition::NotADisasterCertificate,
        "has a certificate that has ended, so that nobody takes it in; its data are not the matter",
    ),
    (
        Condition::NotAllowed,
        "etcd answers and does not let us look",
    ),
    (
        Condition::SilentCorruption,
        "the members do not hold the same data",
    ),
    (
        Condition::CorruptAlarm,
        "the CORRUPT alarm is raised: the cluster takes no writes",
    ),
    (Condition::LeaderLost, "the leader is gone"),
    (
        Condition::ElectionUnderWay,
        "enough members are alive, and they have no leader",
    ),
    (
        Condition::FollowerDataLost,
        "has lost its data and must be replaced",
    ),
    (
        Condition::FollowerCorrupt,
        "has damaged data and must be replaced",
    ),
    (
        Condition::MissingMember,
        "stands in the configuration, and the cluster does not list it: it was removed and not added again",
    ),
    (
        Condition::FollowerHung,
        "hangs: it takes connections and does nothing",
    ),
    (
        Condition::FollowerUnreachable,
        "cannot be reached from here, and may be alive",
    ),
    (Condition::FollowerDown, "is down"),
    (
        Condition::MemberIsolated,
        "is cut off: it answers, and knows no leader while the others have one",
    ),
    (
        Condition::MemberStarting,
        "is starting, or does not get on with it",
    ),
    (Condition::ForeignMember, "belongs to another cluster"),
    (
        Condition::RemovedMemberRunning,
        "was removed from the cluster and is still there",
    ),
    (
        Condition::Nospace,
        "the NOSPACE alarm is raised: the cluster takes no writes",
    ),
    (
        Condition::ForceNewClusterLeft,
        "is still told to --force-new-cluster: the next start would throw the others out",
    ),
    (
        Condition::UnstartedMember,
        "was added and never started: it counts for the quorum all the same",
    ),
    (Condition::StrayLearner, "is a learner that nobody promoted"),
    (
        Condition::KnownDataBugVersion,
        "runs a version that is known to damage data (etcd 3.5.0 to 3.5.2)",
    ),
    (
        Condition::PartlySeen,
        "nothing is wrong with what could be seen, and not everything could be",
    ),
    (Condition::Healthy, "the cluster is healthy"),
];
