//! The writers held against a model, the reader and the checker.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::walk::{Order, Walk};
use super::{Database, Error, Loader, Meta, NO_FREELIST, PageKind, Patch, Where, check};

type Bucket = BTreeMap<Vec<u8>, Vec<u8>>;
/// What a database is to hold.
type Model = BTreeMap<Vec<u8>, Bucket>;

/// What a database does hold; it is sound, and no branch has a lone child.
fn contents(file: &File) -> Model {
    let database = Database::open(file.try_clone().unwrap()).unwrap();
    check(&database).unwrap();
    let mut walk = Walk::new(&database);
    let mut model = Model::new();
    for bucket in walk.buckets().unwrap() {
        let mut entries = Bucket::new();
        walk.leaves(&bucket, &[], Order::Ascending, &mut |page, leaf| {
            assert!(page == 0 || leaf.count() > 0, "page {page} is empty");
            let leaf = leaf.elements();
            entries.extend(leaf.map(|element| (element.key.to_vec(), element.value.to_vec())));
            ControlFlow::Continue(())
        })
        .unwrap();
        if let Where::Page(page) = bucket.place {
            assert_no_lone_child(&database, page);
        }
        model.insert(bucket.name, entries);
    }
    model
}

fn assert_no_lone_child(database: &Database<File>, page: u64) {
    let mut pages = database.pages();
    let (header, bytes) = pages.page(page).unwrap();
    if header.kind != PageKind::Branch {
        return;
    }
    let branch = super::Branch::read(bytes).unwrap();
    assert!(branch.count() > 1, "page {page} has a lone child");
    let few = header.count <= 3;
    assert!(few || header.overflow == 0, "page {page} is too full");
    for index in 0..branch.count() {
        assert_no_lone_child(database, branch.child(index).unwrap().1);
    }
}

fn load(model: &Model, page_size: usize) -> (File, Meta) {
    let file = tempfile::tempfile().unwrap();
    let mut loader = Loader::create(file.try_clone().unwrap(), page_size).unwrap();
    for (name, entries) in model {
        loader.begin_bucket(name).unwrap();
        for (key, value) in entries {
            loader.push(key, value).unwrap();
        }
    }
    let meta = loader.finish().unwrap();
    (file, meta)
}

fn patch(file: &File) -> Patch {
    Patch::open(file.try_clone().unwrap()).unwrap()
}

/// A bucket with the keys `0..count`, each of eight bytes, and values of `size`.
fn numbered(count: u64, size: usize) -> Bucket {
    let entries = (0..count).map(|key| (key.to_be_bytes().to_vec(), vec![7; size]));
    entries.collect()
}

fn model(buckets: &[(&str, Bucket)]) -> Model {
    let buckets = buckets.iter();
    buckets
        .map(|(name, entries)| (name.as_bytes().to_vec(), entries.clone()))
        .collect()
}

fn copy(file: &File) -> File {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let copy = tempfile::tempfile().unwrap();
    copy.write_all_at(&bytes, 0).unwrap();
    copy
}

fn page_sizes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1024_usize, 2048, 4096, 16384, 65536])
}

/// Buckets from empty to several levels high; now and then with values larger than a page.
fn models() -> impl Strategy<Value = Model> {
    let value = prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..40),
        4 => (200..1500_usize).prop_map(|size| vec![1; size]),
        1 => (3000..70000_usize).prop_map(|size| vec![2; size]),
    ];
    let key = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 1..12),
        1 => (any::<u8>(), 200..700_usize).prop_map(|(byte, size)| vec![byte; size]),
    ];
    let bucket = prop::collection::btree_map(key, value, 0..300);
    let name = prop::sample::select(vec!["alarm", "key", "lease", "meta", "members"]);
    prop::collection::btree_map(name.prop_map(|name| name.as_bytes().to_vec()), bucket, 0..5)
}

#[derive(Debug, Clone)]
enum Edit {
    Replace(Bucket),
    Set(Vec<u8>, Vec<u8>),
    /// Removes the key at that place in the order, if there are so many.
    Remove(usize),
    /// Appends so many keys with values of that size.
    Append(u16, usize),
    /// Drops the keys behind that part of all, or all.
    Truncate(u8),
}

fn edits() -> impl Strategy<Value = Vec<(Vec<u8>, Edit)>> {
    let bytes = |sizes| prop::collection::vec(any::<u8>(), sizes);
    let edit = prop_oneof![
        1 => prop::collection::btree_map(bytes(1..9), bytes(0..200), 0..40).prop_map(Edit::Replace),
        2 => (bytes(1..9), bytes(0..200)).prop_map(|(key, value)| Edit::Set(key, value)),
        1 => (0..300_usize).prop_map(Edit::Remove),
        3 => (1..400_u16, 0..300_usize).prop_map(|(count, size)| Edit::Append(count, size)),
        3 => any::<u8>().prop_map(Edit::Truncate),
    ];
    let name = prop::sample::select(vec!["alarm", "key", "meta", "new"]);
    let name = name.prop_map(|name| name.as_bytes().to_vec());
    prop::collection::vec((name, edit), 1..6)
}

/// Makes one edit in the file to be and in the model.
fn edit(patch: &mut Patch, model: &mut Model, name: &[u8], edit: &Edit) {
    let bucket = model.entry(name.to_vec()).or_default();
    match edit {
        Edit::Replace(entries) => {
            let entries = entries.clone();
            patch
                .replace(name, entries.clone().into_iter().collect())
                .unwrap();
            *bucket = entries;
        }
        Edit::Set(key, value) => {
            patch.set(name, key, value).unwrap();
            bucket.insert(key.clone(), value.clone());
        }
        Edit::Remove(index) => {
            let key = bucket.keys().nth(*index).cloned();
            let key = key.unwrap_or_else(|| b"absent".to_vec());
            patch.remove(name, &key).unwrap();
            bucket.remove(&key);
        }
        Edit::Append(count, size) => {
            let last = bucket.keys().next_back().cloned().unwrap_or_default();
            for number in 0..*count {
                let key = [last.as_slice(), &number.to_be_bytes()].concat();
                patch.append(name, key.clone(), vec![3; *size]).unwrap();
                bucket.insert(key, vec![3; *size]);
            }
        }
        Edit::Truncate(part) => {
            let index = bucket.len() * usize::from(*part) / 255;
            let from = bucket.keys().nth(index).cloned();
            let from = from.unwrap_or_else(|| vec![0xff; 800]);
            patch.truncate(name, &from).unwrap();
            drop(bucket.split_off(&from));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_loaded_can_be_read(model in models(), page_size in page_sizes()) {
        let (file, meta) = load(&model, page_size);
        prop_assert_eq!(contents(&file), model);
        let database = Database::open(file).unwrap();
        prop_assert_eq!(*database.meta(), meta);
        prop_assert_eq!(check(&database).unwrap().free_pages, 0);
    }

    #[test]
    fn a_loaded_database_can_be_edited(
        model in models(),
        page_size in page_sizes(),
        patches in prop::collection::vec(edits(), 1..4),
    ) {
        let (file, _) = load(&model, page_size);
        assert_patched(&file, model, &patches);
    }

}

/// Makes one patch after the other; before each is in force, the file reads as it was.
fn assert_patched(file: &File, mut model: Model, patches: &[Vec<(Vec<u8>, Edit)>]) {
    for edits in patches {
        let before = model.clone();
        let make = |model: &mut Model| {
            let mut patch = patch(file);
            for (name, change) in edits {
                edit(&mut patch, model, name, change);
            }
            patch
        };
        make(&mut model.clone()).write_pages().unwrap();
        assert_eq!(contents(file), before);
        let meta = make(&mut model).commit().unwrap();
        assert_eq!(contents(file), model);
        let database = Database::open(file.try_clone().unwrap()).unwrap();
        assert_eq!(*database.meta(), meta);
        assert_eq!(meta.freelist, NO_FREELIST);
        assert_eq!(file.metadata().unwrap().len(), database.size_bytes());
    }
}

#[test]
fn a_patch_of_small_buckets_takes_one_page() {
    let base = model(&[("key", numbered(5000, 40)), ("meta", numbered(3, 8))]);
    let (file, before) = load(&base, 4096);
    let mut patch = patch(&file);
    patch.set(b"meta", b"term", &[1; 8]).unwrap();
    patch.replace(b"members_removed", Vec::new()).unwrap();
    let after = patch.commit().unwrap();
    assert_eq!(after.high_water_mark, before.high_water_mark + 1);
}

#[test]
fn values_of_which_one_fits_a_page_leave_little_space_empty() {
    for size in [1900, 2500, 3000, 3900] {
        let (_, meta) = load(&model(&[("key", numbered(1000, size))]), 4096);
        let bytes = meta.high_water_mark * 4096;
        assert!(
            bytes < 1000 * (size as u64 + 24) * 112 / 100,
            "{size}: {bytes}"
        );
    }
}

#[test]
fn a_torn_meta_leaves_the_old_database_in_force() {
    let base = model(&[("key", numbered(500, 40)), ("meta", numbered(3, 8))]);
    // A snapshot has the later transaction on page 0, whatever its number.
    for txids in [[0, 1], [6, 5], [7, 6]] {
        let (file, meta) = load(&base, 1024);
        for (page, txid) in (0..).zip(txids) {
            let meta = Meta { txid, ..meta };
            let bytes = meta.to_bytes(page);
            file.write_all_at(&bytes, page * 1024).unwrap();
        }
        let mut patch = patch(&file);
        patch.replace(b"meta", Vec::new()).unwrap();
        let meta = patch.commit().unwrap();
        assert_ne!(contents(&file), base);
        let torn = meta.txid % 2 * 1024 + 60;
        file.write_all_at(&[0xAA; 20], torn).unwrap();
        assert_eq!(contents(&file), base);
        let in_force = *Database::open(file).unwrap().meta();
        assert_eq!(in_force.txid, *txids.iter().max().unwrap());
    }
}

#[test]
fn an_edit_far_to_the_right_leaves_a_large_tree_where_it_is() {
    let base = model(&[("key", numbered(20_000, 100)), ("meta", numbered(1, 1))]);
    let (file, before) = load(&base, 4096);
    let mut patch = patch(&file);
    let key = 20_000_u64.to_be_bytes().to_vec();
    patch.append(b"key", key.clone(), b"last".to_vec()).unwrap();
    let after = patch.commit().unwrap();
    // A leaf, two branches above it at most, and the root.
    assert!(after.high_water_mark - before.high_water_mark <= 4);
    let mut expected = base;
    let bucket = expected.get_mut(b"key".as_slice()).unwrap();
    bucket.insert(key, b"last".to_vec());
    assert_eq!(contents(&file), expected);
}

#[test]
fn a_high_tree_can_be_cut_anywhere_and_grow_again() {
    // With four of these keys to a page of 1 KiB the tree is five levels high.
    let long = |key: Vec<u8>| [key, vec![b'.'; 200]].concat();
    let all = numbered(300, 20).into_iter();
    let all: Bucket = all.map(|(key, value)| (long(key), value)).collect();
    let (base, _) = load(&model(&[("key", all.clone())]), 1024);
    for cut in 0..=300_usize {
        let file = copy(&base);
        let from = all.keys().nth(cut).map_or(b"~".as_slice(), Vec::as_slice);
        let mut early = patch(&file);
        early.truncate(b"key", from).unwrap();
        early.append(b"key", vec![0; 8], Vec::new()).unwrap();
        // The least key of all follows nothing but an empty bucket.
        assert_eq!(early.write_pages().is_ok(), cut == 0);
        let mut cut_back = patch(&file);
        cut_back.truncate(b"key", from).unwrap();
        cut_back.commit().unwrap();
        let mut expected: Bucket = all.clone();
        drop(expected.split_off(from));
        assert_eq!(contents(&file), model(&[("key", expected.clone())]));
        let mut grown = patch(&file);
        for (key, value) in all.iter().skip(cut).take(1 + cut % 50) {
            grown.append(b"key", key.clone(), value.clone()).unwrap();
            expected.insert(key.clone(), value.clone());
        }
        grown.commit().unwrap();
        assert_eq!(contents(&file), model(&[("key", expected)]));
    }
}

#[test]
fn a_bucket_that_loses_everything_is_an_empty_inline_one() {
    let (file, _) = load(&model(&[("key", numbered(5000, 40))]), 1024);
    let mut patch = patch(&file);
    patch.truncate(b"key", b"").unwrap();
    patch.commit().unwrap();
    let database = Database::open(file).unwrap();
    let buckets = Walk::new(&database).buckets().unwrap();
    assert!(matches!(&buckets[0].place, Where::Inline(page) if page.len() == 16));
}

#[test]
fn keys_out_of_order_are_refused_and_change_nothing() {
    let base = model(&[("key", numbered(5000, 40))]);
    let (file, _) = load(&base, 1024);
    let mut early = patch(&file);
    early.append(b"key", vec![0; 8], Vec::new()).unwrap();
    assert!(matches!(early.commit(), Err(Error::NotAscending { .. })));
    assert_eq!(contents(&file), base);
    // The cut goes through an edge of leaves; what stays is still greater than the new key.
    let mut late = patch(&file);
    late.truncate(b"key", &1000_u64.to_be_bytes()).unwrap();
    late.append(b"key", vec![0, 1], Vec::new()).unwrap();
    late.commit().unwrap();
    let mut loader = Loader::create(tempfile::tempfile().unwrap(), 4096).unwrap();
    loader.begin_bucket(b"key").unwrap();
    loader.push(b"b", b"").unwrap();
    let twice = loader.push(b"b", b"");
    assert!(matches!(twice, Err(Error::NotAscending { .. })));
    let before = loader.begin_bucket(b"auth");
    assert!(matches!(before, Err(Error::NotAscending { .. })));
}

#[test]
fn a_key_without_bucket_an_empty_key_and_a_strange_page_size_are_refused() {
    let file = || tempfile::tempfile().unwrap();
    let mut loader = Loader::create(file(), 4096).unwrap();
    assert!(matches!(
        loader.push(b"a", b""),
        Err(Error::NoBucket { .. })
    ));
    loader.begin_bucket(b"key").unwrap();
    assert!(matches!(loader.push(b"", b""), Err(Error::BadEntry { .. })));
    for page_size in [0, 512, 3000, 131_072] {
        let created = Loader::create(file(), page_size);
        assert!(matches!(created, Err(Error::PageSize { .. })));
    }
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (file, meta) = load(&model(&[("key", numbered(500, 40))]), 1024);
    // The root is the last page; what comes behind must not be cut off before it was read.
    let root = meta.root * 1024;
    file.write_all_at(&[0xEE; 40], root).unwrap();
    file.write_all_at(&[1; 32], meta.high_water_mark * 1024)
        .unwrap();
    let size = file.metadata().unwrap().len();
    let opened = Patch::open(file.try_clone().unwrap());
    assert!(matches!(opened, Err(Error::BadPage { .. })));
    assert_eq!(file.metadata().unwrap().len(), size);
}

#[test]
fn what_is_left_behind_a_database_is_cut_off() {
    let (file, meta) = load(&model(&[("meta", numbered(3, 3))]), 4096);
    let size = meta.high_water_mark * 4096;
    file.write_all_at(&[9; 32], size).unwrap();
    let unchanged = patch(&file).commit().unwrap();
    assert_eq!(unchanged, meta);
    assert_eq!(file.metadata().unwrap().len(), size);
}
