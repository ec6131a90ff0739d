//! Why an etcd ended, read from its log.

use std::fmt;

/// What made an etcd end, as far as its log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The write-ahead log is not as etcd wrote it.
    DamagedLog,
    /// The database is not as etcd wrote it, or is not there.
    DamagedDatabase,
    /// Database and log belong to different members.
    Mixed,
    /// Another version of etcd wrote the data.
    WrongVersion,
    /// The disk is full.
    DiskFull,
    /// It may not read or write its files.
    NotPermitted,
    /// Somebody else took its port.
    PortTaken,
    /// It was told something that it does not know.
    BadFlag,
    /// Nothing that is known here.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DamagedLog => "the write-ahead log is damaged",
            Self::DamagedDatabase => "the database is damaged or missing",
            Self::Mixed => "the database and the write-ahead log belong to different members",
            Self::WrongVersion => "the data were written by another version of etcd",
            Self::DiskFull => "the disk is full",
            Self::NotPermitted => "it may not read or write its files",
            Self::PortTaken => "its port was taken by another program",
            Self::BadFlag => "it does not know a flag that it was given",
            Self::Unknown => "its log says why",
        })
    }
}

/// The words by which a reason is known (etcd 3.4.23 to 3.7.1), those that say most first: a broken log may end in a panic that names
/// the database, and not the other way round.
const WORDS: &[(Reason, &[&str])] = &[
    (
        Reason::DiskFull,
        &["no space left on device", "disk quota exceeded"],
    ),
    (
        Reason::WrongVersion,
        &[
            "cannot be downgraded",
            "invalid downgrade",
            "Failed to validate schema",
            "is not supported",
            "unmarshal should never fail",
            // What etcd 3.4 says of a log of a later version.
            "panic: not implemented",
        ],
    ),
    (
        Reason::DamagedLog,
        &[
            "walpb: crc mismatch",
            "wal: max entry size limit exceeded",
            "wal: file not found",
            "wal: slice bounds out of range",
            "tocommit(",
        ],
    ),
    (Reason::Mixed, &["member unknown"]),
    (
        Reason::DamagedDatabase,
        &[
            "failed to find database snapshot file",
            "checksum error",
            "invalid database",
            "freepages:",
            "self identifies as",
            "has unexpected type/flags",
            "unexpected fault address",
            "SIGBUS",
            "failed to open database",
            "cannot open database",
        ],
    ),
    (Reason::PortTaken, &["address already in use"]),
    (Reason::NotPermitted, &["permission denied"]),
    (Reason::BadFlag, &["flag provided but not defined"]),
];

/// Finds the reason in what one start of etcd logged.
pub(super) fn reason(log: &str) -> Reason {
    let known = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let found = WORDS.iter().find(|(_, words)| known(words));
    found.map_or(Reason::Unknown, |(reason, _)| *reason)
}

/// The lines of a log that a person should see: the last errors, and how it panicked; else its end.
pub(super) fn last_words(log: &str) -> Vec<String> {
    const MOST: usize = 6;
    const MOST_BYTES: usize = 400;
    let serious = |line: &&str| {
        let levels = [
            r#""level":"error""#,
            r#""level":"fatal""#,
            r#""level":"panic""#,
        ];
        levels.iter().any(|level| line.contains(level)) || line.starts_with("panic: ")
    };
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut told: Vec<&str> = lines.iter().copied().filter(serious).collect();
    if told.is_empty() {
        told = lines;
    }
    let first = told.len().saturating_sub(MOST);
    let cut = |line: &&str| line.chars().take(MOST_BYTES).collect();
    told[first..].iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_logs_is_told_in_words() {
        for (log, expected) in [
            (
                r#"{"level":"fatal","msg":"discovery failed","error":"walpb: crc mismatch"}"#,
                Reason::DamagedLog,
            ),
            (
                r#"{"level":"fatal","msg":"invalid downgrade; server version is lower than determined cluster version"}"#,
                Reason::WrongVersion,
            ),
            (
                "panic: failed to update; member unknown\n\ngoroutine 1",
                Reason::Mixed,
            ),
            (
                "panic: assertion failed: Page expected to be: 48, but self identifies as 0",
                Reason::DamagedDatabase,
            ),
            (
                "listen tcp 127.0.0.1:1: bind: address already in use",
                Reason::PortTaken,
            ),
            ("", Reason::Unknown),
        ] {
            assert_eq!(reason(log), expected, "{log}");
        }
    }

    #[test]
    fn of_a_long_log_the_errors_are_shown() {
        let mut log = "{\"level\":\"info\"}\n".repeat(100);
        assert_eq!(last_words(&log).len(), 6);
        log.push_str("{\"level\":\"fatal\",\"msg\":\"why\"}\n\ngoroutine 1 [running]:\n");
        assert_eq!(last_words(&log), ["{\"level\":\"fatal\",\"msg\":\"why\"}"]);
    }
}
