//! What one line of a log says, in whichever form: etcd's own JSON and console lines, the text of 3.4, plain words, and
//! all of these behind or inside what journald, Docker, Kubernetes and klog make of them.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Place;
use super::extract::{host, listed, member_in, printable, remote_in, time_in, unescaped};
use super::place::place_of;
use super::table::Mode;

/// How deep a line may be wrapped: journald's JSON around Docker's around etcd's.
const DEEPEST: usize = 3;

/// The fields of a record that belong to its message: patterns may need them.
const SAID_BESIDE: [&str; 3] = ["revision", "client-url", "peer-url"];

/// The fields that tell a member's own addresses.
const OWN_URLS: [&str; 4] = [
    "advertise-client-urls",
    "initial-advertise-peer-urls",
    "listen-client-urls",
    "listen-peer-urls",
];

/// What one line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its message and error, for the patterns.
    pub(super) text: String,
    /// Where it stands, as far as it tells; empty: unknown.
    places: Vec<Place>,
    /// The other side: a host, or a member's id.
    pub(super) remote: Option<String>,
    /// The addresses and names in the certificate that was refused.
    pub(super) names: Vec<String>,
    /// Whether a connection was refused when its handshake was done.
    pub(super) after_handshake: Option<bool>,
    /// The time, as it stands there.
    pub(super) time: Option<String>,
    /// Whether etcd itself finds that it is nothing bad.
    pub(super) is_harmless: bool,
    /// Hosts of the member's own URLs.
    pub(super) own: Vec<String>,
    /// A member's id, and its host.
    pub(super) member: Option<(String, String)>,
}

impl Line {
    /// Reads a line; whatever it is, some text comes out.
    pub(super) fn parse(raw: &str) -> Self {
        Self::parse_inside(raw.trim(), DEEPEST)
    }

    fn parse_inside(raw: &str, depth: usize) -> Self {
        let Some((before, record)) = record(raw) else {
            return Self::from_text(raw);
        };
        if let Some(message) = text(&record, "msg") {
            let said = Said {
                level: text(&record, "level").unwrap_or_default(),
                caller: text(&record, "caller").unwrap_or_default(),
                message,
            };
            return Self::from_record(before, &said, &record);
        }
        if let Some(inner) = wrapped(&record)
            && depth > 0
        {
            let mut line = Self::parse_inside(inner.trim(), depth - 1);
            line.time = line.time.or_else(|| time_of(&record, "time"));
            return line;
        }
        // The console form puts the message before the fields, between tabulators.
        let columns: Vec<&str> = before.trim().split('\t').collect();
        match columns.as_slice() {
            [.., level, caller, message] => {
                let said = Said {
                    level,
                    caller,
                    message,
                };
                Self::from_record(before, &said, &record)
            }
            _ => Self::from_text(raw),
        }
    }

    fn from_record(before: &str, said: &Said<'_>, record: &Map<String, Value>) -> Self {
        let mut whole = said.message.to_owned();
        for key in SAID_BESIDE {
            if let Some(value) = record.get(key) {
                let _ = write!(whole, " \"{key}\":{value}");
            }
        }
        if let Some(error) = text(record, "error") {
            whole.push_str(": ");
            whole.push_str(error);
        }
        let whole = unescaped(&whole);
        let address = |key| text(record, key).and_then(host);
        let id = ["remote-peer-id", "remote-member-id", "peer-id"]
            .iter()
            .find_map(|key| text(record, key));
        let peer = address("address").or_else(|| first_url(record, "remote-peer-urls"));
        let target = || text(record, "target").and_then(|target| host(target.rsplit('/').next()?));
        let remote = address("remote-addr")
            .or_else(|| id.map(str::to_owned))
            .or_else(|| peer.clone())
            .or_else(target)
            .or_else(|| remote_in(&whole));
        let rejected = said.message.starts_with("rejected connection");
        Self {
            places: place_of(&whole, said),
            names: [
                strings(record, "ip-addresses"),
                strings(record, "dns-names"),
            ]
            .concat(),
            after_handshake: rejected.then(|| record.contains_key("ip-addresses")),
            time: time_of(record, "ts").or_else(|| time_in(before)),
            is_harmless: ["info", "debug", "INFO", "DEBUG"].contains(&said.level),
            own: OWN_URLS
                .iter()
                .flat_map(|key| strings(record, key))
                .filter_map(|url| host(&url))
                .collect(),
            member: id.map(str::to_owned).zip(peer),
            remote,
            text: whole,
        }
    }

    fn from_text(raw: &str) -> Self {
        let text = unescaped(raw);
        let said = Said {
            level: "",
            caller: "",
            message: &text,
        };
        let remote = remote_in(&text);
        let rejected = text.contains("rejected connection from ");
        Self {
            places: place_of(&text, &said),
            names: listed(&text, "IPAddresses [")
                .chain(listed(&text, "DNSNames ["))
                .collect(),
            after_handshake: rejected.then(|| text.contains("IPAddresses [")),
            time: time_in(&text),
            own: text
                .split_once("advertise client URLs = ")
                .into_iter()
                .flat_map(|(_, urls)| urls.split(','))
                .filter_map(host)
                .collect(),
            member: member_in(&text),
            is_harmless: false,
            remote,
            text,
        }
    }

    /// The places where it may stand.
    ///
    /// What somebody asks about may be from anywhere. In a log etcd's own lines are known, so the others are a client's.
    pub(super) fn places(&self, mode: Mode) -> Vec<Place> {
        match (self.places.is_empty(), mode) {
            (false, _) => self.places.clone(),
            (true, Mode::Asked) => Place::ALL.to_vec(),
            (true, Mode::Read) => vec![Place::Client],
        }
    }
}

/// Who says what in a line.
pub(super) struct Said<'a> {
    pub(super) level: &'a str,
    pub(super) caller: &'a str,
    pub(super) message: &'a str,
}

/// The first JSON object of a line, and what stands before it.
fn record(raw: &str) -> Option<(&str, Map<String, Value>)> {
    let at = raw.find("{\"")?;
    let mut values =
        serde_json::Deserializer::from_str(&raw[at..]).into_iter::<Map<String, Value>>();
    Some((&raw[..at], values.next()?.ok()?))
}

fn text<'a>(record: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    record.get(key)?.as_str()
}

/// The line that journald's or Docker's JSON is about.
fn wrapped(record: &Map<String, Value>) -> Option<&str> {
    text(record, "MESSAGE").or_else(|| text(record, "log"))
}

/// A time as it stands there; some programs write seconds since 1970.
fn time_of(record: &Map<String, Value>, key: &str) -> Option<String> {
    match record.get(key)? {
        Value::String(time) => Some(printable(time, 40)),
        Value::Number(seconds) => Some(seconds.to_string()),
        _ => None,
    }
}

fn strings(record: &Map<String, Value>, key: &str) -> Vec<String> {
    let values = record
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let texts = values.filter_map(Value::as_str);
    texts.map(|text| printable(text, 100)).collect()
}

fn first_url(record: &Map<String, Value>, key: &str) -> Option<String> {
    strings(record, key).first().and_then(|url| host(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTED: &str = r#"{"level":"warn","ts":"2026-11-21T20:51:44.353660Z","caller":"embed/config_logging.go:185","msg":"rejected connection on peer endpoint","remote-addr":"10.0.0.3:59966","server-name":"","ip-addresses":["10.0.0.4"],"dns-names":["m3"],"error":"x509: certificate is valid for 10.0.0.4, not 10.0.0.3"}"#;

    #[test]
    fn a_record_of_etcd_is_taken_apart() {
        let line = Line::parse(REJECTED);

        assert!(
            line.text
                .ends_with("endpoint: x509: certificate is valid for 10.0.0.4, not 10.0.0.3")
        );
        assert_eq!(line.places(Mode::Read), [Place::PeerPort]);
        assert_eq!(line.remote.as_deref(), Some("10.0.0.3"));
        assert_eq!(line.names, ["10.0.0.4", "m3"]);
        assert_eq!(line.after_handshake, Some(true));
        assert_eq!(line.time.as_deref(), Some("2026-11-21T20:51:44.353660Z"));
    }

    #[test]
    fn what_a_record_is_wrapped_in_changes_nothing() {
        let plain = Line::parse(REJECTED);
        let docker = serde_json::json!({"log": format!("{REJECTED}\n"), "stream": "stderr", "time": "later"});
        let journal = serde_json::json!({"_HOSTNAME": "host-1", "MESSAGE": REJECTED});
        let wrapped = [
            format!("Nov 21 20:51:44 host-1 etcd[123]: {REJECTED}"),
            format!("2026-11-21T20:51:44.353Z stderr F {REJECTED}"),
            docker.to_string(),
            journal.to_string(),
        ];

        for raw in wrapped {
            assert_eq!(Line::parse(&raw), plain, "{raw}");
        }
    }

    #[test]
    fn the_form_of_etcd_3_4_says_the_same() {
        let line = Line::parse(
            r#"2026-11-21 20:57:10.858377 I | embed: rejected connection from "10.0.0.3:49038" (error "tls: \"10.0.0.3\" does not match any of DNSNames [\"m3\"]", ServerName "", IPAddresses ["10.0.0.4" "10.0.0.5"], DNSNames ["m3"])"#,
        );

        assert_eq!(
            line.places(Mode::Read),
            [Place::ClientPort, Place::PeerPort]
        );
        assert_eq!(line.remote.as_deref(), Some("10.0.0.3"));
        assert_eq!(line.names, ["10.0.0.4", "10.0.0.5", "m3"]);
        assert_eq!(line.after_handshake, Some(true));
        assert_eq!(line.time.as_deref(), Some("2026-11-21 20:57:10.858377"));
    }
}
