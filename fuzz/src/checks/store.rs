//! etcd's database, read at any place.

use etcdrx::backend::{
    self, KubernetesObject, Lease, Select, Store, contents, hashkv, state_at, status,
};
use etcdrx::id::Revision;

use super::repair;

/// Asks a database everything that can be asked; what `status` found sound must answer.
pub fn store(data: &[u8]) {
    let bytes = repair::database(data);
    let Ok(store) = Store::open(bytes.as_slice()) else {
        return;
    };
    let told = status(&store);
    let _ = contents(&store).map(|contents| serde_free(&contents));
    for (_, value) in store.entries("lease").unwrap_or_default() {
        let _ = Lease::read(&value);
    }
    let newest = store.revision();
    let all = newest
        .as_ref()
        .ok()
        .and_then(|newest| state_at(&store, *newest, &Select::All).ok());
    if let Ok(told) = told {
        let newest = newest.expect("a sound database has a revision");
        // A compaction may have erased the newest records, and does not turn the revision back.
        let compacted = told.compact_revision.unwrap_or_default();
        assert_eq!(newest, told.revision.max(compacted).max(Revision(1)));
        let all = all.expect("a sound database has a state");
        assert_eq!(all.len() as u64, told.live_keys);
        for revision in [None, Some(newest), Some(Revision(newest.0 / 2))] {
            for compacted in [Some(Revision(-1)), Some(Revision(newest.0 / 3))] {
                let hash = hashkv(&store, revision, compacted);
                hash.expect("a sound database has a hash");
            }
        }
        for (key, state) in &all {
            let value = store
                .value_at(state.place)
                .expect("a sound database has a value");
            assert_eq!(value.len(), state.value_bytes);
            let one = state_at(&store, newest, &Select::Key(key.clone()));
            assert_eq!(one.expect("it was there").values().next(), Some(state));
            let _ = KubernetesObject::recognise(&value);
        }
        let older = state_at(&store, Revision(newest.0 / 2), &Select::All);
        let older = older.expect("a sound database has earlier states");
        let changes = backend::changes(&older, &all).len();
        assert!(changes <= older.len() + all.len());
        backend::leases_at(&store, newest).expect("a sound database has leases");
    } else {
        let _ = hashkv(&store, None, None);
        let _ = hashkv(&store, Some(Revision(1)), Some(Revision(-1)));
        let _ = backend::leases_at(&store, Revision(i64::MAX));
    }
}

/// Nothing of what is shown is so large that showing it takes long.
fn serde_free(contents: &backend::Contents) -> usize {
    format!("{contents:?}").len()
}
