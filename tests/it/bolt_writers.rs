//! Databases that etcdrx wrote, read by etcdutl of every version: its status runs bbolt's own check.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use etcdrx::bolt::{Database, Loader, Order, Patch, Walk, check};
use proptest::prelude::*;

use crate::scratch::{EtcdRelease, process, tools};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = BTreeMap<Vec<u8>, Entries>;

#[test]
fn a_loaded_database_has_the_hash_of_its_source_for_every_etcdutl() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
    for snapshot in snapshots() {
        File::create(&source).unwrap().write_all(&snapshot).unwrap();
        let model = contents(&source);
        for page_size in [1024, 4096, 16384, 65536] {
            load(&model, &copy, page_size);
            for etcd in etcd_versions() {
                assert_eq!(hash(&etcd, &copy), hash(&etcd, &source));
            }
        }
    }
}

#[test]
fn a_patched_database_has_the_hash_of_a_loaded_one_for_every_etcdutl() {
    let folder = tempfile::tempdir().unwrap();
    let (patched, loaded) = (folder.path().join("patched"), folder.path().join("loaded"));
    for snapshot in snapshots() {
        let mut file = File::create(&patched).unwrap();
        file.write_all(&snapshot).unwrap();
        let mut model = contents(&patched);
        // At first all of it stays, then nine tenths of what there is, at last nothing.
        for tenths in 0..=10 {
            let keep = model[b"key".as_slice()].len() * (10 - tenths) / 10;
            edit(&patched, &mut model, keep, tenths * 30);
            load(&model, &loaded, 4096);
            for etcd in etcd_versions() {
                assert_eq!(hash(&etcd, &patched), hash(&etcd, &loaded));
            }
        }
    }
}

#[test]
fn a_database_of_many_levels_can_be_cut_for_every_etcdutl() {
    let folder = tempfile::tempdir().unwrap();
    let (patched, loaded) = (folder.path().join("patched"), folder.path().join("loaded"));
    let records = (1..20_000).map(|revision| (revision_key(revision), record(revision)));
    let model = Model::from([
        (b"key".to_vec(), records.collect()),
        (b"meta".to_vec(), Entries::new()),
    ]);
    for keep in [18_000, 12_345, 6789, 17] {
        let mut model = model.clone();
        load(&model, &patched, 1024);
        edit(&patched, &mut model, keep, keep / 100);
        load(&model, &loaded, 1024);
        for etcd in etcd_versions() {
            assert_eq!(hash(&etcd, &patched), hash(&etcd, &loaded));
        }
    }
}

proptest! {
    // Each case reads a whole snapshot a few times.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_snapshot_can_be_patched_again_and_again_and_reads_as_before_until_the_last_write(
        which in 0..2_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..1500_usize), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        File::create(&path).unwrap().write_all(&snapshots()[which]).unwrap();
        let mut model = contents(&path);
        for (keep, added) in edits {
            let before = model.clone();
            let metas = metas(&path);
            let keep = keep.index(model[b"key".as_slice()].len() + 1);
            edit(&path, &mut model, keep, added);
            prop_assert!(contents(&path) == model);
            let patched = metas_replaced(&path, &metas);
            prop_assert!(contents(&path) == before);
            metas_replaced(&path, &patched);
        }
    }
}

/// The two meta pages of a database with pages of 4 KiB.
fn metas(path: &Path) -> Vec<u8> {
    let mut metas = vec![0; 8192];
    open(path).read_exact_at(&mut metas, 0).unwrap();
    metas
}

/// Puts other meta pages in and gives those that were there.
fn metas_replaced(path: &Path, by: &[u8]) -> Vec<u8> {
    let before = metas(path);
    open(path).write_all_at(by, 0).unwrap();
    before
}

/// Edits some small buckets, drops all of `key` but the first records, and appends some.
fn edit(path: &Path, model: &mut Model, keep: usize, added: usize) {
    let mut patch = Patch::open(open(path)).unwrap();
    patch.set(b"meta", b"term", &1_u64.to_be_bytes()).unwrap();
    patch.remove(b"meta", b"confState").unwrap();
    let members = (0..40_u8).map(|number| (vec![b'a', number], vec![b'v'; 100]));
    patch
        .replace(b"members", members.clone().collect())
        .unwrap();
    let meta = model.entry(b"meta".to_vec()).or_default();
    meta.insert(b"term".to_vec(), 1_u64.to_be_bytes().to_vec());
    meta.remove(b"confState".as_slice());
    model.insert(b"members".to_vec(), members.collect());

    let records = model.get_mut(b"key".as_slice()).unwrap();
    if let Some(from) = records.keys().nth(keep).cloned() {
        patch.truncate(b"key", &from).unwrap();
        drop(records.split_off(&from));
    }
    let last = records
        .keys()
        .next_back()
        .map_or(0, |key| u64::from_be_bytes(key[..8].try_into().unwrap()));
    for revision in (last + 1..).take(added) {
        let (key, value) = (revision_key(revision), record(revision));
        patch.append(b"key", key.clone(), value.clone()).unwrap();
        records.insert(key, value);
    }
    patch.commit().unwrap();
}

fn revision_key(main: u64) -> Vec<u8> {
    [&main.to_be_bytes(), b"_".as_slice(), &[0; 8]].concat()
}

/// A key-value pair as etcd encodes it, of the revisions a byte each.
fn record(number: u64) -> Vec<u8> {
    let name = format!("name-{number:09}");
    let head = [0x0a, u8::try_from(name.len()).unwrap()];
    let tail = [0x10, 1, 0x18, 1, 0x20, 1, 0x2a, 3];
    [&head, name.as_bytes(), &tail, b"abc"].concat()
}

fn load(model: &Model, path: &Path, page_size: usize) {
    let mut loader = Loader::create(File::create(path).unwrap(), page_size).unwrap();
    for (name, entries) in model {
        loader.begin_bucket(name).unwrap();
        for (key, value) in entries {
            loader.push(key, value).unwrap();
        }
    }
    loader.finish().unwrap();
}

fn contents(path: &Path) -> Model {
    let database = Database::open(File::open(path).unwrap()).unwrap();
    check(&database).unwrap();
    let mut walk = Walk::new(&database);
    let mut model = Model::new();
    for bucket in walk.buckets().unwrap() {
        let entries = model.entry(bucket.name.clone()).or_default();
        walk.leaves(&bucket, &[], Order::Ascending, &mut |_, leaf| {
            let leaf = leaf.elements();
            entries.extend(leaf.map(|element| (element.key.to_vec(), element.value.to_vec())));
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    model
}

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).open(path).unwrap()
}

fn snapshots() -> [Vec<u8>; 2] {
    [
        include_bytes!("../data/snapshot-3.6.db.zst").as_slice(),
        include_bytes!("../data/snapshot-3.7.db.zst").as_slice(),
    ]
    .map(|compressed| zstd::decode_all(compressed).unwrap())
}

fn etcd_versions() -> Vec<EtcdRelease> {
    let found = tools::etcd_versions();
    assert!(!found.is_empty(), "no etcd is here: run `make tools`");
    found
}

/// The hash over all buckets; etcdutl fails if bbolt's check finds anything.
fn hash(etcd: &EtcdRelease, path: &Path) -> u64 {
    let mut status = process::command(&etcd.etcdutl());
    status.args(["snapshot", "status", "-w", "json"]).arg(path);
    let output = status.output().unwrap();
    let (version, errors) = (etcd.version(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{version}: {errors}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["hash"].as_u64().unwrap()
}
