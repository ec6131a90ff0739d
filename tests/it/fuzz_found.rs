//! What fuzzing and thousands of damaged snapshots found, one test each.

use std::time::{Duration, Instant};

use etcdrx::backend::{RecordKey, Scan, Store, Survey, Surveyed, hashkv, status};
use etcdrx::bolt::{Database, Loader, Where, check};
use etcdrx::id::Revision;
use etcdrx::protobuf::Fields;

use crate::tiny::{database, key};

const PAGE: usize = 1024;

fn surveyed(bytes: &[u8]) -> Result<Surveyed, String> {
    let mut survey = Survey::new();
    survey.feed(bytes);
    survey.finish().map_err(|error| error.to_string())
}

fn walked(bytes: &[u8]) -> Result<etcdrx::backend::Status, String> {
    let store = Store::open(bytes).map_err(|error| error.to_string())?;
    status(&store).map_err(|error| error.to_string())
}

/// Sixty records on several leaves, and the page of the first leaf.
fn tree() -> (Vec<u8>, usize) {
    let records: Vec<_> = (2..62).map(|main| (main, 0, b'k', 20)).collect();
    let bytes = database(&records, 1);
    let leaf = (3..bytes.len() / PAGE).find(|page| {
        let page = &bytes[page * PAGE..][..PAGE];
        page[8] == 2
            && page
                .windows(17)
                .any(|key_there| key_there == key(2, 0, false))
    });
    (bytes, leaf.unwrap())
}

/// Without it a leaf silently loses its last records, and its reader may look at the same bytes over and over.
#[test]
fn a_leaf_with_a_wrong_count_or_length_is_refused() {
    let (sound, leaf) = tree();
    assert!(walked(&sound).is_ok());
    let at = leaf * PAGE;
    // The count; position and lengths of the second key, the length of its value.
    for (place, change) in [(10, 1), (36, 16), (40, 1), (44, 4)] {
        let mut bytes = sound.clone();
        bytes[at + place] ^= change;
        let told = format!(
            "page {leaf} of the database has keys and values that do not lie side by side in it"
        );
        assert_eq!(walked(&bytes).unwrap_err(), told);
        assert_eq!(surveyed(&bytes).err(), Some(told));
    }
}

#[test]
fn a_freelist_with_pages_that_are_not_there_is_refused() {
    let (mut bytes, _) = tree();
    for page in [0, 1, (bytes.len() / PAGE) as u64, u64::MAX] {
        bytes[2 * PAGE + 10] = 1;
        bytes[2 * PAGE + 16..][..8].copy_from_slice(&page.to_le_bytes());
        let database = Database::open(bytes.as_slice()).unwrap();
        let told = check(&database).unwrap_err().to_string();
        assert!(told.contains("is no page of the database"), "{told}");
    }
}

#[test]
fn a_record_of_a_negative_revision_is_none() {
    assert!(RecordKey::read(&key(1 << 62, u64::from(u32::MAX), true)).is_some());
    assert!(RecordKey::read(&key(1 << 63, 0, false)).is_none());
    assert!(RecordKey::read(&key(1, 1 << 63, false)).is_none());
    assert!(RecordKey::read(&key(1, 1 << 32, false)).is_none());
}

#[test]
fn zeros_behind_a_message_are_no_fields() {
    assert!(Fields::of(&[0x10, 1, 0, 0]).any(|field| field.is_err()));
}

/// Eight letters, a line, eight letters: a survey took the leaf of such roles for records, and refused the database.
#[test]
fn a_role_may_be_named_like_the_key_of_a_record() {
    let bytes = database(&[(2, 0, b'a', 3)], 40);
    let store = Store::open(bytes.as_slice()).unwrap();
    let place = &store.bucket("authRoles").unwrap().place;
    assert!(matches!(place, Where::Page(_)));

    let surveyed = surveyed(&bytes).unwrap();

    assert_eq!(surveyed.status, status(&store).unwrap());
    assert_eq!(surveyed.contents.roles.len(), 40);
}

/// A survey did not look at what it had noted of records in the bucket's own value.
#[test]
fn a_sweep_sees_broken_records_in_an_inline_bucket() {
    let sound = database(&[(2, 0, b'a', 3), (3, 0, b'b', 3)], 0);
    let at = sound
        .windows(17)
        .position(|there| there == key(3, 0, false));
    let at = at.unwrap();
    // The line in the key, and the tag of the first field.
    for place in [at + 8, at + 17] {
        let mut bytes = sound.clone();
        bytes[place] = 0xff;
        assert!(walked(&bytes).is_err());
        assert!(surveyed(&bytes).is_err());
    }
}

/// bbolt never leaves one, but it is no damage.
#[test]
fn an_empty_leaf_of_records_is_no_damage() {
    let mut bytes = database(&[(2, 0, b'a', 3), (3, 0, b'b', 900)], 0);
    let place = Store::open(bytes.as_slice())
        .unwrap()
        .bucket("key")
        .unwrap()
        .place
        .clone();
    let Where::Page(page) = place else {
        panic!("{place:?}")
    };
    let at = usize::try_from(page).unwrap() * PAGE;
    bytes[at + 10..at + 12].fill(0);
    assert_eq!(surveyed(&bytes).unwrap().status, walked(&bytes).unwrap());
}

#[test]
fn a_put_and_a_deletion_of_one_revision_are_two_records() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut loader = Loader::create(file.reopen().unwrap(), PAGE).unwrap();
    loader.begin_bucket(b"key").unwrap();
    let record = |name: u8| vec![0x0a, 1, name];
    loader.push(&key(2, 0, false), &record(b'a')).unwrap();
    loader.push(&key(2, 0, true), &record(b'b')).unwrap();
    loader.push(&key(3, 0, false), &record(b'c')).unwrap();
    loader.begin_bucket(b"meta").unwrap();
    loader.finish().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    let store = Store::open(bytes.as_slice()).unwrap();
    let at = |compacted| (Some(Revision(3)), Some(Revision(compacted)));
    for (revision, compacted) in [at(-1), at(2), at(3)] {
        let walked = hashkv(&store, revision, compacted).unwrap();
        assert_eq!(
            surveyed(&bytes)
                .unwrap()
                .hashkv(revision, compacted)
                .unwrap(),
            walked
        );
    }
}

/// Each waited with all of them in memory: for a megabyte of such pages half a gigabyte.
#[test]
fn pages_that_all_claim_the_same_overflow_take_no_memory_for_each() {
    let begun = Instant::now();
    let mut survey = Survey::new();
    for page in pages_that_reach_to_the_end(64 << 10) {
        survey.feed(&page);
    }
    assert!(survey.finish().is_err());
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// Every page looked at all keys that were still to come.
#[test]
fn keys_that_all_lie_at_the_end_are_awaited_in_no_time() {
    let begun = Instant::now();
    let mut scan = Scan::new();
    for page in pages_that_reach_to_the_end(64 << 10) {
        scan.feed(&page);
    }
    assert!(scan.finish().is_err());
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// A stream of so many leaves, each with one key at its end, and its end at the end of the database.
fn pages_that_reach_to_the_end(count: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut first = tree().0[..PAGE].to_vec();
    first[56..64].copy_from_slice(&count.to_le_bytes());
    let sum = first[16..72]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    first[72..80].copy_from_slice(&sum.to_le_bytes());
    let leaf = move |number: u64| {
        let overflow = u32::try_from(count - 1 - number).unwrap();
        let position = overflow * 1024;
        let mut page = number.to_le_bytes().to_vec();
        page.extend_from_slice(&[2, 0, 1, 0]);
        page.extend_from_slice(&overflow.to_le_bytes());
        for field in [0, position, 17, 0] {
            page.extend_from_slice(&u32::to_le_bytes(field));
        }
        page.resize(PAGE, 0);
        page
    };
    std::iter::once(first).chain((1..count).map(leaf))
}
