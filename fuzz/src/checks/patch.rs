//! The writer that edits a database in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use etcdrx::bolt::{Bytes, Database, Order, Patch, Walk, check};

use super::bolt::keys;
use super::repair;
use super::wal::memory;

type Model = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Edits a database; of a sound one comes a sound one with the edits in it, and none that is refused is touched.
pub fn patch(data: &[u8]) {
    let bytes = repair::database(data);
    let before = Database::open(bytes.as_slice())
        .ok()
        .and_then(|database| model(&database));
    let mut file = tempfile::tempfile_in(memory()).expect("there is room for a file");
    file.write_all(&bytes).expect("there is room for a few KiB");
    let clone = |file: &File| file.try_clone().expect("a file can be opened twice");
    let choice = data.last().copied().unwrap_or_default();
    let Ok(patch) = Patch::open(clone(&file)) else {
        assert!(before.is_none(), "a sound database is refused");
        return;
    };
    let mut after = before.clone().unwrap_or_default();
    if edit(patch, &mut after, choice).is_none() {
        // A name or key in the file that nobody could write is a reason too.
        let long = |bytes: &Vec<u8>| bytes.len() > 32768;
        let cannot =
            |(name, bucket): (&Vec<u8>, &BTreeMap<_, _>)| long(name) || bucket.keys().any(long);
        let refused = before.is_none_or(|model| model.iter().any(cannot));
        assert!(refused, "a sound database cannot be edited");
        return;
    }
    if before.is_some() {
        let database = Database::open(clone(&file)).expect("an edited database can be opened");
        assert_eq!(
            model(&database).expect("an edited database is sound"),
            after
        );
    }
}

/// What a sound database holds.
fn model<B: Bytes>(database: &Database<B>) -> Option<Model> {
    check(database).ok()?;
    let buckets = Walk::new(database).buckets().ok()?.into_iter();
    buckets
        .map(|bucket| {
            Some((
                bucket.name.clone(),
                keys(database, &bucket, &[], Order::Ascending)?
                    .into_iter()
                    .collect(),
            ))
        })
        .collect()
}

/// Cuts, appends, sets, removes and replaces; `None` if it was refused.
fn edit(mut patch: Patch, model: &mut Model, choice: u8) -> Option<()> {
    let key = model.entry(b"key".to_vec()).or_default();
    let nth = key.len() * usize::from(choice) / 255;
    let from = key
        .keys()
        .nth(nth)
        .cloned()
        .unwrap_or_else(|| vec![0xff; 9]);
    patch.truncate(b"key", &from).ok()?;
    drop(key.split_off(&from));
    let last = [from, vec![b'+']].concat();
    if last.len() <= 32768 {
        let value = vec![choice; 5 * usize::from(choice)];
        patch.append(b"key", last.clone(), value.clone()).ok()?;
        key.insert(last, value);
    }
    patch.set(b"meta", b"term", &[choice; 8]).ok()?;
    patch.remove(b"meta", b"consistent_index").ok()?;
    let meta = model.entry(b"meta".to_vec()).or_default();
    meta.insert(b"term".to_vec(), vec![choice; 8]);
    meta.remove(b"consistent_index".as_slice());
    let members: BTreeMap<Vec<u8>, Vec<u8>> = (0..choice / 8)
        .map(|number| (vec![b'm', number], vec![number; 60]))
        .collect();
    patch
        .replace(b"members", members.clone().into_iter().collect())
        .ok()?;
    model.insert(b"members".to_vec(), members);
    patch.commit().ok().map(drop)
}
