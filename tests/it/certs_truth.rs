//! The judge of certificates, held against the truth: Go's own library, and running etcd.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use etcdrx::certs::judge::{Refusal, Usage, answers_to, judge};
use serde_json::{Value, json};

use crate::certs_forge::system_program;
use crate::certs_judge::certificates;
use crate::certs_rows::{Row, rows};
use crate::scratch::tools::function_name;

#[test]
fn the_judge_says_what_go_says_word_for_word() {
    let Some((oracle, rows)) = oracle_and_rows(&function_name!()) else {
        return;
    };
    let now = Utc::now();
    let cases: Vec<_> = cases(rows).collect();
    let questions = cases.iter().map(|(row, usage)| {
        json!({"Mode": "verify", "Usage": usage.to_string(), "Now": now,
            "Chain": base64(&row.chain), "Trusted": base64(&row.trusted)})
    });
    let answers = oracle.ask(questions.collect());

    let mut wrong = Vec::new();
    for ((row, usage), answer) in cases.iter().zip(&answers) {
        let (chain, trusted) = (certificates(&row.chain), certificates(&row.trusted));
        let verdict = judge(&chain, &trusted, *usage, now);
        // Chains are all that Go's x509 looks at; small and odd keys of leafs fail in the handshake.
        let of_leaf = |refusal: &Refusal| {
            matches!(
                refusal,
                Refusal::WeakKey { .. } | Refusal::UnusableKey { .. }
            )
        };
        let ours = match verdict {
            Err(refusal) if of_leaf(&refusal) => String::new(),
            Err(refusal) => refusal.go_text(),
            Ok(()) => String::new(),
        };
        if !answer.starts_with(&ours) || answer.is_empty() != ours.is_empty() {
            wrong.push(format!(
                "{}, {usage}: {ours:?}, Go says {answer:?}",
                row.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_judge_accepts_what_makes_a_handshake_in_go() {
    let Some((oracle, rows)) = oracle_and_rows(&function_name!()) else {
        return;
    };
    let now = Utc::now();
    let cases: Vec<_> = cases(rows).collect();
    let questions = cases.iter().map(|(row, usage)| {
        json!({"Mode": "handshake", "Usage": usage.to_string(), "Now": now, "Host": "localhost",
            "Chain": base64(&row.chain), "Key": base64(&row.key), "Trusted": base64(&row.trusted)})
    });
    let answers = oracle.ask(questions.collect());

    let mut wrong = Vec::new();
    for ((row, usage), answer) in cases.iter().zip(&answers) {
        let (chain, trusted) = (certificates(&row.chain), certificates(&row.trusted));
        let accepted = judge(&chain, &trusted, *usage, now).and_then(|()| match usage {
            Usage::Server => answers_to(&chain[0], "localhost"),
            Usage::Client => Ok(()),
        });
        if accepted.is_ok() != answer.is_empty() {
            wrong.push(format!(
                "{}, {usage}: {accepted:?}, Go says {answer:?}",
                row.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn oracle_and_rows(test: &str) -> Option<(Oracle, &'static [Row])> {
    let go = system_program("go", test)?;
    let rows = rows(test)?;
    Some((Oracle::build(&go), rows))
}

fn cases(rows: &[Row]) -> impl Iterator<Item = (&Row, Usage)> {
    let both = [Usage::Server, Usage::Client];
    rows.iter()
        .flat_map(move |row| both.into_iter().map(move |usage| (row, usage)))
}

fn base64(text: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(text)
}

/// A program in Go that says what Go says.
struct Oracle {
    program: &'static Path,
}

impl Oracle {
    /// Builds it, once; the first time ever that takes half a minute.
    fn build(go: &Path) -> Oracle {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
            let program = folder.join("certs-oracle");
            let output = Command::new(go)
                .args(["build", "-o"])
                .arg(&program)
                .arg(checkout.join("tests/it/certs_truth/oracle.go"))
                .env("GOCACHE", folder.join("go-cache"))
                .env("GO111MODULE", "off")
                .env("CGO_ENABLED", "0")
                .current_dir(folder)
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words}");
            program
        });
        Oracle { program }
    }

    fn ask(&self, questions: Vec<Value>) -> Vec<String> {
        let mut child = Command::new(self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let questions = Value::from(questions).to_string();
        stdin.write_all(questions.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
