//! A whole log: line by line, counted, in memory that does not grow with it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufRead, Read};

use super::line::Line;
use super::table::{Mode, TABLE};
use super::{Explanation, Place};

/// The most bytes of a line that are read; the rest of it is skipped.
const LONGEST: u64 = 64 * 1024;

/// The most groups that are told apart. What comes after is counted without its host.
const MOST_GROUPS: usize = 1000;

/// The most hosts that are remembered as the member's own, and as those of members.
const MOST_HOSTS: usize = 100;

/// What a log says about certificates.
#[derive(Debug, Default)]
pub struct Report {
    /// How many lines were read.
    pub lines: u64,
    /// How many of them are explained.
    pub explained: u64,
    /// The explanations, one for each kind and other side: the worst first, and of those the most frequent.
    pub explanations: Vec<Explanation>,
}

/// Reads a log to its end, or until `go_on` says no.
///
/// Lines need not be UTF-8, and of a very long one only the beginning is looked at. What etcd itself logs as information
/// is not explained.
///
/// # Errors
///
/// The log cannot be read.
pub fn read_log(mut log: impl BufRead, go_on: impl Fn() -> bool) -> io::Result<Report> {
    let mut reading = Reading::default();
    let mut bytes = Vec::new();
    while go_on() && next_line(&mut log, &mut bytes)? {
        reading.read(&String::from_utf8_lossy(&bytes));
    }
    Ok(reading.finish())
}

/// Brings the next line, without what is beyond [`LONGEST`]; says whether there was one.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    log.by_ref().take(LONGEST).read_until(b'\n', line)?;
    if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
        log.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

/// What makes two lines the same: the entry, where, the other side with its names, and what the patterns found.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    id: &'static str,
    places: Vec<Place>,
    remote: Option<String>,
    names: Vec<String>,
    cause: String,
}

impl Key {
    fn of(explanation: &Explanation) -> Self {
        Self {
            id: explanation.id,
            places: explanation.places.clone(),
            remote: explanation.remote.clone(),
            names: explanation.names.clone(),
            cause: explanation.means.clone() + &explanation.cause,
        }
    }
}

/// Lines that are the same, counted.
struct Group {
    explanation: Explanation,
    /// The number of the last line.
    ends_at: u64,
}

/// Groups in the order in which they came.
#[derive(Default)]
struct Groups {
    places: HashMap<Key, usize>,
    groups: Vec<Group>,
}

impl Groups {
    fn knows(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    fn add(&mut self, key: Key, group: Group) {
        match self.places.entry(key) {
            Entry::Vacant(free) => {
                free.insert(self.groups.len());
                self.groups.push(group);
            }
            Entry::Occupied(known) => {
                let known = &mut self.groups[*known.get()];
                known.explanation.count += group.explanation.count;
                if group.ends_at > known.ends_at {
                    known.ends_at = group.ends_at;
                    known.explanation.last = group.explanation.last;
                }
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    report: Report,
    groups: Groups,
    /// The member's own hosts.
    own: Vec<String>,
    /// The hosts of members by their ids.
    members: HashMap<String, String>,
}

impl Reading {
    fn read(&mut self, raw: &str) {
        self.report.lines += 1;
        let line = Line::parse(raw);
        self.learn(&line);
        if line.is_harmless {
            return;
        }
        let readings = TABLE.readings(&line, &self.own, Mode::Read);
        self.report.explained += u64::from(!readings.is_empty());
        for reading in readings {
            self.count(reading.explain(&line, raw));
        }
    }

    fn learn(&mut self, line: &Line) {
        for host in &line.own {
            if self.own.len() < MOST_HOSTS && !self.own.contains(host) {
                self.own.push(host.clone());
            }
        }
        if let Some((id, host)) = &line.member
            && self.members.len() < MOST_HOSTS
        {
            self.members.insert(id.clone(), host.clone());
        }
    }

    fn count(&mut self, mut explanation: Explanation) {
        let mut key = Key::of(&explanation);
        if self.groups.groups.len() >= MOST_GROUPS && !self.groups.knows(&key) {
            explanation.remote = None;
            explanation.names.clear();
            // What patterns find may be as various as the hosts are.
            key = Key {
                cause: String::new(),
                ..Key::of(&explanation)
            };
        }
        let ends_at = self.report.lines;
        self.groups.add(
            key,
            Group {
                explanation,
                ends_at,
            },
        );
    }

    /// Puts hosts in the place of members' ids, and orders the explanations.
    fn finish(mut self) -> Report {
        let mut groups = Groups::default();
        for mut group in self.groups.groups {
            let remote = &mut group.explanation.remote;
            if let Some(host) = remote.as_ref().and_then(|id| self.members.get(id)) {
                *remote = Some(host.clone());
            }
            groups.add(Key::of(&group.explanation), group);
        }
        let groups = groups.groups.into_iter();
        self.report.explanations = groups.map(|group| group.explanation).collect();
        let worst_first = |one: &Explanation| (Reverse(one.severity), Reverse(one.count));
        self.report.explanations.sort_by_key(worst_first);
        self.report
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Cursor;

    use super::*;

    fn read(log: impl AsRef<[u8]>) -> Report {
        read_log(Cursor::new(log), || true).unwrap()
    }

    fn rejected(host: &str, minute: u32, error: &str) -> String {
        format!(
            r#"{{"level":"warn","ts":"2026-11-21T20:{minute:02}:00Z","caller":"embed/config_logging.go:194","msg":"rejected connection on client endpoint","remote-addr":"{host}:{minute}","server-name":"","error":"{error}"}}"#
        ) + "\n"
    }

    const NONE_SHOWN: &str = "tls: client didn't provide a certificate";
    const NO_CLIENT_AUTH: &str =
        "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage";

    #[test]
    fn lines_of_one_host_are_counted_together() {
        let log = [
            rejected("10.0.0.8", 1, NONE_SHOWN),
            rejected("10.0.0.9", 2, NONE_SHOWN),
            rejected("10.0.0.9", 3, NONE_SHOWN),
            "nothing to see\n".to_owned(),
        ];

        let report = read(log.concat());

        assert_eq!((report.lines, report.explained), (4, 3));
        let [most, least] = report.explanations.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!((most.remote.as_deref(), most.count), (Some("10.0.0.9"), 2));
        assert_eq!(most.first.as_deref(), Some("2026-11-21T20:02:00Z"));
        assert_eq!(most.last.as_deref(), Some("2026-11-21T20:03:00Z"));
        assert_eq!(
            (least.remote.as_deref(), least.count),
            (Some("10.0.0.8"), 1)
        );
    }

    #[test]
    fn the_addresses_that_a_member_logs_at_its_start_are_its_own() {
        let start = r#"{"level":"info","caller":"embed/etcd.go:310","msg":"starting an etcd server","advertise-client-urls":["https://10.0.0.1:2379"]}"#;
        let refusals = [
            rejected("10.0.0.1", 1, NO_CLIENT_AUTH),
            rejected("10.0.0.2", 1, NO_CLIENT_AUTH),
        ];

        let report = read(format!("{start}\n{}", refusals.concat()));

        let ids: Vec<_> = report
            .explanations
            .iter()
            .map(|one| (one.id, one.remote.as_deref()))
            .collect();
        assert_eq!(
            ids,
            [
                ("gateway-refused-by-itself", Some("10.0.0.1")),
                ("client-lacks-client-auth", Some("10.0.0.2")),
            ]
        );
    }

    #[test]
    fn a_members_id_becomes_its_host_once_a_line_tells_it() {
        let log = r#"
{"level":"warn","ts":"1","caller":"rafthttp/probing_status.go:68","msg":"prober detected unhealthy status","remote-peer-id":"8e3d0549e8d6b36b","error":"remote error: tls: bad certificate"}
{"level":"warn","ts":"2","caller":"etcdserver/cluster_util.go:261","msg":"failed to reach the peer URL","address":"https://10.0.0.3:2380/version","remote-member-id":"8e3d0549e8d6b36b","error":"Get \"https://10.0.0.3:2380/version\": remote error: tls: bad certificate"}
"#;

        let report = read(log);

        let [one] = report.explanations.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!(
            (one.id, one.remote.as_deref(), one.count),
            ("refused-by-peer", Some("10.0.0.3"), 2)
        );
        assert_eq!(
            (one.first.as_deref(), one.last.as_deref()),
            (Some("1"), Some("2"))
        );
    }

    #[test]
    fn very_long_lines_and_lines_that_are_no_text_are_no_hindrance() {
        let mut log = vec![b'x'; 3 * 64 * 1024];
        log.extend_from_slice(b"\n\xff\xfe tls: client didn't \xff\n");
        log.extend_from_slice(rejected("10.0.0.9", 1, NONE_SHOWN).trim_end().as_bytes());

        let report = read(log);

        assert_eq!((report.lines, report.explained), (3, 1));
    }

    #[test]
    fn a_flood_of_hosts_is_counted_and_not_listed() {
        let mut log = String::new();
        for number in 0..2 * MOST_GROUPS {
            let host = format!("10.1.{}.{}", number / 250, number % 250);
            write!(log, "{}", rejected(&host, 1, NONE_SHOWN)).unwrap();
        }

        let report = read(log);

        assert!(report.explanations.len() <= MOST_GROUPS + 1);
        let count: u64 = report.explanations.iter().map(|one| one.count).sum();
        assert_eq!(count, 2 * MOST_GROUPS as u64);
        assert_eq!(report.explanations[0].remote, None);
    }

    #[test]
    fn what_is_told_to_stop_stops() {
        let report = read_log(Cursor::new("a\nb\n"), || false).unwrap();
        assert_eq!(report.lines, 0);
    }
}
