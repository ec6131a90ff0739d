//! The table of what is known, and the search in it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use regex::{Regex, RegexSet};
use serde::Deserialize;

use super::extract::printable;
use super::line::Line;
use super::{Explanation, Place, Severity};

/// What is known.
pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../../../certs/explain.toml")));

/// The most characters of a line that are shown.
const SAMPLE: usize = 600;

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Somebody asks about this very text.
    Asked,
    /// It is one line of a log, and most lines of a log say nothing about certificates.
    Read,
}

/// What must be so besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum When {
    OwnAddress,
    AfterHandshake,
}

/// One entry of `certs/explain.toml`, which says what its fields are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    #[serde(default)]
    places: Vec<Place>,
    when: Option<When>,
    #[serde(default)]
    patterns: Vec<String>,
    #[serde(default)]
    typed: Vec<String>,
    severity: Severity,
    means: String,
    cause: String,
    fix: String,
    look: String,
    versions: Option<String>,
}

impl Entry {
    fn stands_at(&self, place: Place) -> bool {
        self.places.is_empty() || self.places.contains(&place)
    }

    /// Whether its condition holds; `None` where the line does not tell.
    fn holds(&self, line: &Line, own: &[String]) -> Option<bool> {
        match self.when {
            None => Some(true),
            Some(When::AfterHandshake) => line.after_handshake,
            Some(When::OwnAddress) => line.remote.as_deref().map(|remote| {
                let known = |hosts: &[String]| hosts.iter().any(|host| host == remote);
                is_loopback(remote) || known(own) || known(&line.names)
            }),
        }
    }

    fn texts(&self) -> [&str; 4] {
        [&self.means, &self.cause, &self.fix, &self.look]
    }
}

/// Whether an address is one under which a machine reaches itself.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.")
}

/// One pattern, and whose it is.
struct Pattern {
    entry: usize,
    for_logs: bool,
    source: String,
    /// To find what its groups match; most are never needed.
    regex: OnceLock<Regex>,
}

/// All entries in their order, and their patterns in one automaton.
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
    patterns: Vec<Pattern>,
    set: RegexSet,
}

impl Table {
    fn parse(text: &str) -> Self {
        #[derive(Deserialize)]
        struct File {
            entry: Vec<Entry>,
        }
        let file: File = toml::from_str(text).expect("the table is part of the program");
        let mut patterns = Vec::new();
        for (index, entry) in file.entry.iter().enumerate() {
            let mut add = |source: &String, for_logs| {
                patterns.push(Pattern {
                    entry: index,
                    for_logs,
                    source: source.clone(),
                    regex: OnceLock::new(),
                });
            };
            entry.patterns.iter().for_each(|source| add(source, true));
            entry.typed.iter().for_each(|source| add(source, false));
        }
        let set = RegexSet::new(patterns.iter().map(|pattern| &pattern.source));
        Self {
            entries: file.entry,
            set: set.expect("the patterns are part of the program"),
            patterns,
        }
    }

    /// What a line may mean: for each place where it may stand the first entry that fits, in the order of the table.
    ///
    /// `own` are the member's own addresses. An entry of which the line does not tell whether its condition holds is
    /// one reading, and the next that fits another.
    pub(super) fn readings(&self, line: &Line, own: &[String], mode: Mode) -> Vec<Reading<'_>> {
        let hits = self.set.matches(&line.text);
        let hits: Vec<&Pattern> = hits
            .iter()
            .map(|index| &self.patterns[index])
            .filter(|pattern| pattern.for_logs || mode == Mode::Asked)
            .collect();
        let mut readings: BTreeMap<usize, Reading<'_>> = BTreeMap::new();
        if hits.is_empty() {
            return Vec::new();
        }
        'places: for place in line.places(mode) {
            for pattern in &hits {
                let entry = &self.entries[pattern.entry];
                let holds = entry.holds(line, own);
                if !entry.stands_at(place) || holds == Some(false) {
                    continue;
                }
                let reading = readings.entry(pattern.entry).or_insert_with(|| Reading {
                    entry,
                    pattern,
                    places: Vec::new(),
                });
                if !reading.places.contains(&place) {
                    reading.places.push(place);
                }
                if holds == Some(true) {
                    // What a member does to itself needs no other reading; the entry speaks of a peer on the same host.
                    if entry.when == Some(When::OwnAddress) {
                        break 'places;
                    }
                    break;
                }
            }
        }
        readings.into_values().collect()
    }
}

/// One entry that fits a line.
pub(super) struct Reading<'a> {
    pub(super) entry: &'a Entry,
    pattern: &'a Pattern,
    places: Vec<Place>,
}

impl Reading<'static> {
    /// The words of the entry for this line; `raw` is the line as it stood there.
    pub(super) fn explain(&self, line: &Line, raw: &str) -> Explanation {
        let [means, cause, fix, look] = self.filled(&line.text);
        let nowhere = self.places.len() == Place::ALL.len();
        Explanation {
            id: &self.entry.id,
            places: if nowhere {
                Vec::new()
            } else {
                self.places.clone()
            },
            severity: self.entry.severity,
            means,
            cause,
            fix,
            look,
            versions: self.entry.versions.as_deref(),
            count: 1,
            remote: line.remote.clone(),
            names: line.names.clone(),
            first: line.time.clone(),
            last: line.time.clone(),
            lines: vec![printable(raw.trim(), SAMPLE)],
        }
    }

    /// The texts with what the groups of the pattern matched.
    fn filled(&self, text: &str) -> [String; 4] {
        let mut texts = self.entry.texts().map(str::to_owned);
        if !texts.iter().any(|text| text.contains('{')) {
            return texts;
        }
        let regex = self.pattern.regex.get_or_init(|| {
            Regex::new(&self.pattern.source).expect("the set has compiled it before")
        });
        let Some(captures) = regex.captures(text) else {
            return texts;
        };
        for name in regex.capture_names().flatten() {
            let value = captures.name(name).map_or("?", |value| value.as_str());
            let value = printable(value, 120);
            for text in &mut texts {
                *text = text.replace(&format!("{{{name}}}"), &value);
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_knows_the_words_that_the_texts_of_its_entry_need() {
        let placeholder = Regex::new(r"\{([a-z]+)\}").unwrap();
        for pattern in &TABLE.patterns {
            let entry = &TABLE.entries[pattern.entry];
            let regex = Regex::new(&pattern.source).unwrap();
            let known: Vec<&str> = regex.capture_names().flatten().collect();
            for text in entry.texts() {
                for found in placeholder.captures_iter(text) {
                    let needed = found.get(1).unwrap().as_str();
                    assert!(
                        known.contains(&needed),
                        "{}: {needed} in {}",
                        entry.id,
                        pattern.source
                    );
                }
            }
            let used = |name: &&str| {
                entry
                    .texts()
                    .iter()
                    .any(|text| text.contains(&format!("{{{name}}}")))
            };
            assert!(
                known.iter().all(used),
                "{}: {} has a group that no text needs",
                entry.id,
                pattern.source
            );
        }
    }

    #[test]
    fn entries_are_told_apart_by_their_ids() {
        let mut ids: Vec<&str> = TABLE
            .entries
            .iter()
            .map(|entry| entry.id.as_str())
            .collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
