//! What `certs explain` knows, held against texts that etcd and its clients really wrote.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;

use etcdrx::certs::explain::{Explanation, explain, read_log};
use proptest::prelude::*;
use serde::Deserialize;

use crate::setup::{Workplace, assert_ends, etcdrx};

/// A text, and the ids of its explanations in their order.
#[derive(Deserialize)]
struct Specimen {
    ids: Vec<String>,
    text: String,
}

fn specimens() -> Vec<Specimen> {
    #[derive(Deserialize)]
    struct File {
        specimen: Vec<Specimen>,
    }
    let file: File = toml::from_str(include_str!("../data/explain-specimens.toml")).unwrap();
    file.specimen
}

/// Logs of clusters without trouble, of 3.4 (in both its forms) to 3.7: started, written to through gRPC and the gateway,
/// probed by connections that say nothing, members killed, stopped and started again.
fn healthy_log() -> Vec<u8> {
    let packed = include_bytes!("../data/explain-healthy.log.zst");
    zstd::decode_all(packed.as_slice()).unwrap()
}

fn ids(explanations: &[Explanation]) -> Vec<&str> {
    explanations.iter().map(|one| one.id).collect()
}

#[test]
fn every_text_has_its_own_explanation_and_no_other() {
    for specimen in specimens() {
        let explanations = explain(&specimen.text);

        assert_eq!(ids(&explanations), specimen.ids, "{}", specimen.text);
    }
}

/// Members may share a machine, and before 3.5.15 a line does not say at which port somebody was refused.
#[test]
fn a_line_that_names_no_port_speaks_of_clients_and_of_peers() {
    let line = |remote: &str, error: &str| {
        format!(
            r#"{{"level":"warn","msg":"rejected connection","remote-addr":"{remote}:4000","error":"{error}"}}"#
        )
    };
    let usage = "tls: failed to verify client certificate: x509: certificate specifies an incompatible key usage";
    let address = "x509: certificate is valid for 127.0.0.3, not 127.0.0.1";

    let gateway = &explain(&line("127.0.0.1", usage))[..];
    let source = &explain(&line("127.0.0.1", address))[..];

    assert_eq!(ids(gateway), ["gateway-refused-by-itself"]);
    assert!(gateway[0].cause.contains("so does a peer"));
    assert!(gateway[0].look.contains("--peer-cert-file"));
    assert_eq!(ids(source), ["source-address-not-in-certificate"]);
    assert_eq!(source[0].places.len(), 2, "{source:?}");
}

#[test]
fn no_explanation_has_a_gap_in_its_words() {
    for specimen in specimens() {
        for one in explain(&specimen.text) {
            let words = [&one.means, &one.cause, &one.fix, &one.look];
            let is_whole = |text: &&String| !text.is_empty() && !text.contains(['{', '}']);
            assert!(words.iter().all(is_whole), "{words:?}");
        }
    }
}

#[test]
fn every_entry_explains_some_text() {
    #[derive(Deserialize)]
    struct Table {
        entry: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
    }
    let table: Table = toml::from_str(include_str!("../../certs/explain.toml")).unwrap();
    let explained: BTreeSet<String> = specimens().into_iter().flat_map(|one| one.ids).collect();

    let dead: Vec<String> = table.entry.into_iter().map(|entry| entry.id).collect();
    let dead: Vec<&String> = dead.iter().filter(|id| !explained.contains(*id)).collect();

    assert!(dead.is_empty(), "no text for {dead:?}");
}

#[test]
fn a_line_means_the_same_in_a_log() {
    // What says too little there, unless somebody asks.
    let silent = ["closed-without-tls", "started-without-quorum"];
    for specimen in specimens() {
        let report = read_log(Cursor::new(&specimen.text), || true).unwrap();

        let found = ids(&report.explanations);
        let known = found
            .iter()
            .all(|id| specimen.ids.iter().any(|own| own == id));
        assert!(known, "{found:?} for {}", specimen.text);
        if specimen.text.contains("\"caller\":") && !silent.contains(&specimen.ids[0].as_str()) {
            assert_eq!(found, specimen.ids, "{}", specimen.text);
        }
    }
}

#[test]
fn the_log_of_a_healthy_cluster_gives_no_alarm() {
    let report = read_log(Cursor::new(healthy_log()), || true).unwrap();

    assert!(report.lines > 3000, "{}", report.lines);
    assert_eq!(ids(&report.explanations), [""; 0]);
}

#[test]
fn a_log_is_summed_up() {
    let workplace = Workplace::new();
    let refused = r#"{"level":"warn","ts":"2026-11-21T20:35:22Z","caller":"embed/config_logging.go:185","msg":"rejected connection on peer endpoint","remote-addr":"10.0.0.9:45636","server-name":"","ip-addresses":["10.0.0.3"],"dns-names":[],"error":"x509: certificate is valid for 10.0.0.3, not 10.0.0.9"}"#;
    let later = refused.replace("20:35:22", "20:36:22");
    let log = [healthy_log(), format!("{refused}\n{later}\n").into_bytes()].concat();
    fs::write(workplace.path("etcd.log"), log).unwrap();

    let text = workplace
        .etcdrx()
        .run(["certs", "explain", "--log", "etcd.log"]);
    let json = workplace
        .etcdrx()
        .run(["certs", "explain", "--log", "etcd.log", "--json"]);

    assert_ends(&text, 0, &[]);
    let expected = "\
2 of 3042 lines tell of trouble with TLS or certificates:

error [source-address-not-in-certificate] the certificate that was shown does not hold 10.0.0.9,
from where it came
  where   etcd's log, about its peer port
  seen    2 times, the other side is 10.0.0.9, its certificate is for 10.0.0.3, from
          2026-11-21T20:35:22Z to 2026-11-21T20:36:22Z
  cause   ";
    assert!(text.stdout.starts_with(expected), "{text:?}");
    let json = json.success().json();
    let one = &json["explanations"][0];
    assert_eq!(one["id"], "source-address-not-in-certificate");
    assert_eq!(one["where"], serde_json::json!(["peer-port"]));
    assert_eq!(
        (&one["count"], &one["remote"]),
        (&2.into(), &"10.0.0.9".into())
    );
    assert_eq!(one["names"], serde_json::json!(["10.0.0.3"]));
    assert_eq!(one["lines"], serde_json::json!([refused]));
}

#[test]
fn a_log_without_trouble_says_so() {
    let workplace = Workplace::new();
    fs::write(workplace.path("etcd.log"), healthy_log()).unwrap();

    let text = workplace
        .etcdrx()
        .run(["certs", "explain", "--log", "etcd.log"]);
    let empty = workplace
        .etcdrx()
        .run(["certs", "explain", "--log", "-", "--json"]);

    let expected = "none of 3040 lines tells of trouble with TLS or certificates\n";
    assert_eq!(text.success().stdout, expected);
    assert_eq!(
        empty.success().json(),
        serde_json::json!({"explanations": []})
    );
}

#[test]
fn a_text_that_nobody_knows_is_an_error_with_a_hint() {
    let unknown = etcdrx().run(["certs", "explain", "the disk is full"]);
    let missing = etcdrx().run(["certs", "explain", "--log", "/nowhere/etcd.log"]);
    let nothing = etcdrx().run(["certs", "explain"]);

    assert_ends(
        &unknown,
        1,
        &[
            "no explanation is known for this text",
            "hint: read etcd's log first",
        ],
    );
    assert_ends(&missing, 2, &["cannot read /nowhere/etcd.log", "hint:"]);
    assert_ends(&nothing, 2, &["<STRING>"]);
}

#[test]
fn what_a_log_holds_cannot_steer_the_terminal() {
    let text = "x509: certificate is valid for a\u{1b}[2J, not b\u{1b}]0;owned\u{7}";

    let explained = etcdrx().run(["certs", "explain", text]).success();

    assert!(
        !explained.stdout.contains(['\u{1b}', '\u{7}']),
        "{explained:?}"
    );
}

proptest! {
    #[test]
    fn no_line_is_too_odd(line in any::<Vec<u8>>(), piece in "\\PC{0,200}") {
        let text = String::from_utf8_lossy(&line).into_owned();
        let samples = [
            text.clone(),
            piece.clone(),
            format!("{{\"msg\":\"rejected connection\",\"error\":\"{piece}\",\"remote-addr\":\"{piece}\"}}"),
            format!("{piece}\trejected connection\t{{\"{piece}\":{piece}}}"),
            format!("rejected connection from \"{piece}\" (error \"x509: certificate is valid for {piece}, not {piece}"),
            format!("{{\"log\":{{\"MESSAGE\":\"{piece}\"}}}}"),
        ];
        for sample in samples {
            let _ = explain(&sample);
        }
        let report = read_log(Cursor::new(line), || true).unwrap();
        prop_assert!(report.explained <= report.lines);
    }

    #[test]
    fn half_a_line_is_no_hindrance(index in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let specimens = specimens();
        let text = &index.get(&specimens).text;
        let signs: Vec<char> = text.chars().collect();
        let half: String = signs[..cut.index(signs.len() + 1)].iter().collect();
        for one in explain(&half) {
            prop_assert!(!one.cause.is_empty());
        }
    }
}
