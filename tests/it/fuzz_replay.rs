//! What is fuzzed, without a fuzzer: every seed as it is, and thousands of mutations of it, the same in every run.

use std::fs::{self, File};
use std::io::Read;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use etcdrx::datadir::membership::Membership;
use etcdrx::datadir::wal::{self, Style};

use crate::mutate::Random;
use crate::tiny::{database, key, pair};

#[path = "../../fuzz/src/checks/mod.rs"]
#[expect(unreachable_pub, reason = "the fuzzer is built of it as a library")]
mod checks;

/// How many mutations of all seeds a target gets, unless `FUZZ_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 1000;

#[test]
fn no_target_panics_on_seeds_and_their_mutations() {
    let mutations = std::env::var("FUZZ_MUTATIONS").ok();
    let mutations = mutations.map_or(MUTATIONS, |number| number.parse().unwrap());
    for (name, folder, target) in checks::TARGETS {
        let seeds = read_seeds(folder);
        for (path, seed) in &seeds {
            let replayed = catch_unwind(|| target(seed));
            assert!(replayed.is_ok(), "{name} stumbles over {}", path.display());
        }
        for number in 0..mutations {
            let mut random = Random::from(number);
            let (_, seed) = &seeds[random.below(seeds.len())];
            let (_, other) = &seeds[random.below(seeds.len())];
            let mutated = random.mutate(seed, other);
            if catch_unwind(|| target(&mutated)).is_err() {
                let path = std::env::temp_dir().join(format!("etcdrx-{name}-{number}"));
                fs::write(&path, &mutated).unwrap();
                panic!("{name} stumbles over mutation {number}: {}", path.display());
            }
        }
    }
}

#[test]
fn the_seeds_are_what_the_writers_make() {
    for (folder, name, bytes) in all_seeds() {
        let path = seeds_folder(folder).join(name);
        if std::env::var_os("ETCDRX_UPDATE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let hint = "ETCDRX_UPDATE=1 cargo test the_seeds writes it";
        assert!(
            fs::read(&path).is_ok_and(|found| found == bytes),
            "{}: {hint}",
            path.display()
        );
    }
}

fn seeds_folder(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(folder)
}

fn read_seeds(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(seeds_folder(folder)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Folder, name and bytes.
type Seed = (&'static str, &'static str, Vec<u8>);

fn all_seeds() -> Vec<Seed> {
    let sequence = |count: u64| {
        (2..2 + count)
            .map(|main| (main, 0, b'k', 20))
            .collect::<Vec<_>>()
    };
    let few = [(2, 0, b'a', 3), (2, 1, b'b', 3), (3, 0, b'a', -1)];
    let large = [
        (2, 0, b'a', 2500),
        (3, 0, b'b', 10),
        (4, 0, b'c', 4000),
        (5, 0, b'c', -1),
    ];
    vec![
        ("database", "inline", database(&few, 1)),
        ("database", "tree", database(&sequence(60), 12)),
        ("database", "levels", database(&sequence(420), 1)),
        ("database", "overflow", database(&large, 2)),
        ("database", "empty", database(&[], 1)),
        ("log", "one-member", log("a=http://a:1", &[])),
        (
            "log",
            "entries",
            log(
                "a=http://a:1,b=http://b:1,c=http://c:1",
                &[4, 5, 6, 5, 6, 7],
            ),
        ),
        ("record", "key", key(258, 3, true)),
        ("record", "pair", pair(b"/registry/pods/default/web", 7, 40)),
        ("record", "object", object()),
        (
            "record",
            "lease",
            vec![0x08, 0x96, 0x01, 0x10, 0x3c, 0x18, 0x00],
        ),
    ]
}

/// A Kubernetes object in the envelope of the API server.
fn object() -> Vec<u8> {
    let kind = b"\x0a\x0b\x0a\x02v1\x12\x03Pod\x1a\x00";
    let raw = b"\x12\x13\x0a\x0f\x0a\x03web\x12\x00\x1a\x06system\x12\x00";
    [b"k8s\0".as_slice(), kind, raw].concat()
}

/// The log of a new cluster with entries of these indexes behind it; the target sets the checksums right.
fn log(members: &str, indexes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let membership = Membership::parse(members, "token").unwrap();
    let path = wal::create(
        &dir.path().join("wal"),
        &membership,
        membership.members[0].id,
        Style::Classic,
    )
    .unwrap();
    let end = wal::read(path.parent().unwrap()).unwrap().end.offset;
    let mut bytes = Vec::new();
    File::open(path)
        .unwrap()
        .take(end)
        .read_to_end(&mut bytes)
        .unwrap();
    for index in indexes {
        let entry = [0x08, 0, 0x10, 2, 0x18, *index, 0x22, 2, b'd', *index];
        let record = [&[0x08, 2, 0x10, 0, 0x1a, 10], entry.as_slice()].concat();
        bytes.extend_from_slice(&(record.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&record);
    }
    bytes
}
