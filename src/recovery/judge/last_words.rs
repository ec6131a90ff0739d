//! What the last lines of a member's log say about why it does not run: etcd's own words, and what they mean.

/// What a line means for its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recovery) enum Meaning {
    /// The cluster removed it: its directory must never be used again.
    Removed,
    /// Its data are damaged, or lack what it acknowledged.
    Damaged,
    /// Its directory is empty, and the cluster knows it.
    Blank,
    /// It runs into another cluster.
    Foreign,
    /// Its settings or its program are wrong; the data are not.
    Settings,
}

/// Texts of etcd 3.4 to 3.7, measured; the exit code tells less than they do: a removed member exits with 0 or with 1.
const TEXTS: &[(&str, Meaning)] = &[
    ("permanently removed from the cluster", Meaning::Removed),
    (
        "data-dir used by this member must be removed",
        Meaning::Removed,
    ),
    ("is out of range [lastIndex(", Meaning::Damaged),
    ("walpb: crc mismatch", Meaning::Damaged),
    ("max entry size limit exceeded", Meaning::Damaged),
    ("(checksum error)", Meaning::Damaged),
    ("(invalid database)", Meaning::Damaged),
    (
        "freepages: failed to get all reachable pages",
        Meaning::Damaged,
    ),
    ("has unexpected type/flags", Meaning::Damaged),
    ("but self identifies as", Meaning::Damaged),
    ("unexpected fault address", Meaning::Damaged),
    ("failed to find database snapshot file", Meaning::Damaged),
    ("found data inconsistency with peers", Meaning::Damaged),
    ("failed to update; member unknown", Meaning::Damaged),
    ("has already been bootstrapped", Meaning::Blank),
    ("cluster ID mismatch", Meaning::Foreign),
    ("member count is unequal", Meaning::Settings),
    ("no match found for existing member", Meaning::Settings),
    ("couldn't find local name", Meaning::Settings),
    ("unexpected clusterState", Meaning::Settings),
    ("permission denied", Meaning::Settings),
    ("cannot be downgraded", Meaning::Settings),
    ("invalid downgrade", Meaning::Settings),
    ("is not supported", Meaning::Settings),
    ("unmarshal should never fail", Meaning::Settings),
    // What etcd 3.4 says of a log of a later version.
    ("panic: not implemented", Meaning::Settings),
    ("too many learner members", Meaning::Settings),
    ("flag provided but not defined", Meaning::Settings),
    ("address already in use", Meaning::Settings),
];

/// The last line that is known, and what it means.
pub(in crate::recovery) fn read(log: &[String]) -> Option<(Meaning, &str)> {
    log.iter().rev().find_map(|line| {
        let (_, meaning) = TEXTS.iter().find(|(text, _)| line.contains(text))?;
        Some((*meaning, line.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_removal_is_found_above_the_last_line() {
        let log = [
            r#"{"level":"warn","msg":"the member has been permanently removed from the cluster"}"#,
            r#"{"level":"fatal","msg":"listener failed"}"#,
        ]
        .map(str::to_owned);

        let (meaning, line) = read(&log).unwrap();

        assert_eq!(meaning, Meaning::Removed);
        assert!(line.contains("permanently removed"));
        assert_eq!(read(&["all is well".to_owned()]), None);
    }
}
