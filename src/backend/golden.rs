//! Snapshots that real servers streamed, for tests.

/// A snapshot of etcd 3.6: revision 64, compacted to 60.
pub(crate) fn golden() -> Vec<u8> {
    zstd::decode_all(&include_bytes!("../../tests/data/snapshot-3.6.db.zst")[..]).unwrap()
}

/// A snapshot of etcd 3.7: revision 64, compacted to 60.
pub(crate) fn golden_3_7() -> Vec<u8> {
    zstd::decode_all(&include_bytes!("../../tests/data/snapshot-3.7.db.zst")[..]).unwrap()
}
