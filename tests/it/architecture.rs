//! The house that `docs/architecture.md` describes, held in place.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The one door of each outside crate: where in `src/` it may be named.
const DOORS: &[(&str, &[&str])] = &[
    // What is stored can be encrypted.
    ("age", &["codec/"]),
    // etcd hashes ids with SHA-1; certificates have fingerprints and signatures.
    ("axum", &["schedule/"]),
    ("aws_lc_rs", &["certs/", "codec/", "datadir/", "keys/"]),
    ("base64", &["certs/", "cli/"]),
    ("clap", &["cli/"]),
    ("chrono_tz", &["schedule/"]),
    ("croner", &["schedule/"]),
    ("sd_notify", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("crc32c", &["backend/", "datadir/"]),
    ("etcd_client", &["etcd/"]),
    ("indicatif", &["cli/"]),
    // A file of the log is allocated before it is written, free space is asked for, processes are looked at and ended, users looked up.
    (
        "nix",
        &["certs/", "cli/", "datadir/", "drill/", "node/", "sandbox/"],
    ),
    ("object_store", &["repository/"]),
    // What stands in a line of a log is found by patterns, all of them at once.
    ("regex", &["certs/"]),
    // WebDAV needs a request that object_store has not; a heartbeat is a request and nothing else.
    ("reqwest", &["notify/", "repository/"]),
    ("rcgen", &["certs/"]),
    // cli/mod.rs installs the process's default for all TLS; certs/ takes its type for keys in every form.
    ("rustls", &["certs/key.rs", "cli/mod.rs", "etcd/"]),
    ("rustls_native_certs", &["etcd/"]),
    ("serde_saphyr", &["config/", "recovery/playbook/"]),
    ("strsim", &["config/"]),
    ("tokio_rustls", &["etcd/"]),
    // Flags are the last layer of a configuration, and layers are TOML; so are profiles, and what `certs explain` knows.
    // And what each version of etcd knows.
    ("tar", &["attachments/"]),
    ("toml", &["certs/", "cli/", "config/", "upgrade/"]),
    ("tracing_subscriber", &["cli/"]),
    ("x509_parser", &["certs/"]),
    // The tests of backend/ unpack what real servers streamed.
    ("zstd", &["backend/golden.rs", "codec/"]),
];

/// Crates without an outside of their own, for every room.
const EVERYWHERE: &[&str] = &[
    "bytes",
    "chrono",
    "futures_util",
    "hex",
    "humantime",
    "rand",
    "serde",
    "serde_json",
    "tempfile",
    "thiserror",
    "tokio",
    "tokio_util",
    "tracing",
    "url",
];

/// The rooms of the library, floor by floor: a room uses rooms of lower floors, and none of its own.
const FLOORS: &[&[&str]] = &[
    &["id", "partial", "protobuf"],
    &["manifest", "progress", "retention"],
    &["config"],
    &["bolt"],
    &["backend"],
    &["attachments", "certs", "codec", "datadir"],
    &["keys"],
    &["etcd", "notify", "repository"],
    &["catalog"],
    &[
        "apply",
        "backup",
        "check",
        "copy",
        "fetch",
        "handshakes",
        "pin",
        "pki",
        "prune",
        "restore",
        "source",
        "verify",
    ],
    // What runs programs: a node's actions, and an etcd of our own on loopback.
    &["sandbox"],
    &["node"],
    &["host"],
    &["recovery", "schedule", "upgrade"],
    &["drill"],
];

/// The arrows that point to a room of the same floor, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A fetch is a verification that keeps the bytes: reading and judging must be one and the same code.
    ("fetch", "verify"),
    // So is a restore, and a backup that is brought here to be looked into.
    ("restore", "verify"),
    ("source", "verify"),
    // A check asks the members as a backup would, with the same patience.
    ("check", "backup"),
    // And whether backups can be opened is tried as a verification opens them.
    ("check", "verify"),
];

/// Files that are longer than a file may be, and why.
const LONG_FILES: &[&str] = &[];

/// The most lines of a file that tells one story.
const MOST_LINES: usize = 400;

#[test]
fn every_outside_crate_has_one_door() {
    for source in sources() {
        for (name, doors) in DOORS {
            let allowed = doors.iter().any(|door| source.path.starts_with(door));
            assert!(
                allowed || !names_crate(&source.code, name),
                "src/{} names {name}, whose doors are {doors:?}",
                source.path
            );
        }
    }
}

#[test]
fn every_dependency_has_a_door_or_is_for_everywhere() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        let name = name.replace('-', "_");
        let known = DOORS.iter().any(|(door, _)| *door == name);
        assert!(
            known || EVERYWHERE.contains(&name.as_str()),
            "say in this file where {name} may be named"
        );
    }
}

#[test]
fn arrows_between_rooms_never_point_back() {
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    for source in sources().iter().filter(|source| source.is_library()) {
        let room = source.room();
        let own = floor(room).unwrap_or_else(|| panic!("say in this file where `{room}` stands"));
        for other in source.rooms_used() {
            if other == room || EXCEPTIONS.contains(&(room, other)) {
                continue;
            }
            assert!(
                floor(other).is_some_and(|other| other < own),
                "src/{} uses `{other}`, which does not stand below `{room}`",
                source.path
            );
        }
    }
}

#[test]
fn every_exception_is_in_use() {
    for (room, other) in EXCEPTIONS {
        let used = sources()
            .iter()
            .any(|source| source.room() == *room && source.rooms_used().contains(other));
        assert!(used, "`{room}` does not use `{other}` any more");
    }
}

#[test]
fn a_file_tells_one_story() {
    let sources = sources();
    let lengths = sources
        .iter()
        .map(|source| (source.path.as_str(), source.text.lines().count()));
    let long: Vec<_> = lengths
        .filter(|(path, lines)| *lines > MOST_LINES && !LONG_FILES.contains(path))
        .collect();
    assert!(long.is_empty(), "too long: {long:?}");
}

#[test]
fn only_the_command_line_prints_exits_and_reads_the_environment() {
    let words = [
        "println!",
        "print!(",
        "dbg!",
        "process::exit",
        "env::var",
        "env::args",
    ];
    for source in sources().iter().filter(|source| source.is_library()) {
        for word in words {
            assert!(
                !source.code.contains(word),
                "src/{} says {word}",
                source.path
            );
        }
    }
}

#[test]
fn a_lint_is_silenced_with_a_reason_or_not_at_all() {
    for source in sources() {
        let silent = source.code.contains("#[allow") || source.code.contains("#![allow");
        assert!(!silent, "src/{}: use #[expect(.., reason)]", source.path);
    }
}

#[test]
fn every_page_can_be_found() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (readme, architecture) = (read("README.md"), read("docs/architecture.md"));
    let docs = root().join("docs");
    for path in files(&docs) {
        let name = path.strip_prefix(&docs).unwrap().to_string_lossy();
        // What lies in a folder is found on the folder's own page.
        let is_shown = match name.split_once('/') {
            Some((_, "README.md")) | None => false,
            Some((folder, file)) => {
                read(&format!("docs/{folder}/README.md")).contains(&format!("]({file})"))
            }
        };
        let linked = readme.contains(&format!("](docs/{name}"))
            || architecture.contains(&format!("]({name}"))
            || is_shown
            || name == "architecture.md" && readme.contains("architecture.md");
        assert!(
            linked,
            "neither README.md nor docs/architecture.md links docs/{name}"
        );
    }
}

#[test]
fn the_guide_names_every_key_of_the_configuration() {
    let read = |page| fs::read_to_string(root().join(page)).unwrap();
    let guide = read("docs/guide.md") + &read("docs/schedule.md");
    for key in etcdrx::config::KEYS {
        // These tables belong to commands that are still to come.
        let to_come = key.table == "node";
        let named = match to_come {
            true => guide.contains(&format!("[{}]", key.table)),
            false => guide.contains(&format!("| `{}` |", key.name)),
        };
        assert!(named, "docs/guide.md lacks [{}] {}", key.table, key.name);
    }
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let promises = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let folders = [root().join("src"), root().join("tests/it")];
    let files = folders.iter().flat_map(|folder| files(folder));
    let code: String = files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let names = promises.split('`').skip(1).step_by(2);
    // A sentence has several words.
    for name in names.filter(|name| name.matches('_').count() > 2) {
        let exists = code.contains(&format!("fn {name}("));
        assert!(exists, "docs/promises.md names {name}, which is no test");
    }
}

#[test]
fn every_trap_names_tests_that_exist_or_says_that_it_is_left_to_a_person() {
    let page = fs::read_to_string(root().join("docs/recovery.md")).unwrap();
    let (_, traps) = page.split_once("\n## Traps\n").unwrap();
    let (traps, _) = traps.split_once("\n## ").unwrap_or((traps, ""));
    let rows: Vec<&str> = traps
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(rows.len() > 40, "docs/recovery.md has {} traps", rows.len());
    // The first one is the head.
    for row in &rows[1..] {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named = last.split('`').filter_map(|word| word.split_once("::"));
        let named: Vec<_> = named.collect();
        let is_held = !named.is_empty() || row.contains("left to you");
        assert!(is_held, "nothing holds: {row}");
        for (file, name) in named {
            let places = [root().join("tests/it"), root().join("src")];
            let text = places.map(|place| fs::read_to_string(place.join(file)));
            let text = text.into_iter().find_map(Result::ok);
            let text = text.unwrap_or_else(|| panic!("{file} is no file of ours: {row}"));
            let exists = text.contains(&format!("fn {name}("));
            assert!(exists, "{file} has no test {name}: {row}");
        }
    }
}

/// A file of `src/`.
struct Source {
    /// Its path below `src/`.
    path: String,
    text: String,
    /// The text without comments.
    code: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.fold(String::new(), |code, line| code + line + "\n");
        let path = path.strip_prefix(root().join("src")).unwrap();
        Self {
            path: path.to_string_lossy().into_owned(),
            text,
            code,
        }
    }

    /// The folder or file that it belongs to, directly below `src/`.
    fn room(&self) -> &str {
        let top = self.path.split('/').next().unwrap();
        top.trim_end_matches(".rs")
    }

    fn is_library(&self) -> bool {
        !["cli", "lib", "main"].contains(&self.room())
    }

    /// The rooms that follow `crate::`, alone or in braces.
    fn rooms_used(&self) -> BTreeSet<&str> {
        let mut rooms = BTreeSet::new();
        for after in self.code.split("crate::").skip(1) {
            match after.strip_prefix('{') {
                None => rooms.insert(identifier(after)),
                Some(list) => {
                    let mut depth = 0;
                    let end = list.find(|sign| {
                        depth += i32::from(sign == '{') - i32::from(sign == '}');
                        depth < 0
                    });
                    rooms.extend(top_level(&list[..end.unwrap()]));
                    true
                }
            };
        }
        rooms
    }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|sign: char| !sign.is_alphanumeric() && sign != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first names of a list such as `codec, config::{self, Layers}`.
fn top_level(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let entries = list.split(move |sign| {
        depth += i32::from(sign == '{') - i32::from(sign == '}');
        sign == ',' && depth == 0
    });
    let names = entries.map(|entry| identifier(entry.trim_start()));
    names.filter(|name| !name.is_empty()).collect()
}

/// Whether `code` names the crate itself, and not a module of another crate that is called the same.
fn names_crate(code: &str, name: &str) -> bool {
    let is_path = |before: &str, after: &str| {
        let begins =
            !before.ends_with(|sign: char| sign == ':' || sign == '_' || sign.is_alphanumeric());
        begins && (after.starts_with("::") || before.ends_with("use ") && after.starts_with(';'))
    };
    code.match_indices(name)
        .any(|(at, _)| is_path(&code[..at], &code[at + name.len()..]))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let files = files(&root().join("src")).into_iter();
    let rust = files.filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    rust.map(|path| Source::read(&path)).collect()
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
