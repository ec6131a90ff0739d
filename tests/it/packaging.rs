//! What packages are made of: manual pages, completions, and the list of files in Cargo.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::setup::{Workplace, assert_ends};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_command_has_a_manual_page() {
    let workplace = Workplace::new();
    let directory = workplace.path("man");
    fs::create_dir(&directory).unwrap();
    let directory = directory.to_str().unwrap();

    let written = workplace.etcdrx().run(["man", "--output-dir", directory]);
    let refused = workplace.etcdrx().run(["man", "--output-dir", "/no/such"]);

    assert_ends(&written, 0, &[]);
    assert_ends(&refused, 1, &["cannot write /no/such"]);
    let pages = fs::read_dir(directory).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let reference = read("docs/cli.md");
    let titles = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let commands = titles.filter(|title| title.starts_with("etcdrx"));
    let expected: BTreeSet<String> = commands
        .map(|command| format!("{}.1", command.replace(' ', "-")))
        .collect();
    assert!(expected.len() > 40, "{expected:?}");
    assert_eq!(pages, expected);
}

#[test]
fn shells_take_the_completions() {
    let workplace = Workplace::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = workplace
            .etcdrx()
            .run(["completions", shell])
            .success()
            .stdout;
        for word in ["certs", "schedule", "--timers"] {
            let word = match shell {
                "fish" => word.trim_start_matches('-'),
                _ => word,
            };
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
}

#[test]
fn everything_that_the_build_makes_goes_into_the_package() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let assets = &manifest["package"]["metadata"]["deb"]["assets"];
    let sources = assets
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| asset[0].as_str().unwrap());
    let build = read("packaging/build");
    for source in sources {
        let made = source.strip_prefix("target/package/");
        match made {
            Some(name) => {
                let stem = name.split(['/', '.']).next().unwrap();
                assert!(
                    build.contains(&format!("$out/{stem}")),
                    "nobody makes {source}"
                );
            }
            None if source.starts_with("target/") => {}
            None => {
                let path = source.trim_end_matches("/*").trim_end_matches("/*.md");
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
                assert!(path.exists(), "{source}");
            }
        }
    }
}
