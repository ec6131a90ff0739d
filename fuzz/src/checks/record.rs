//! The decoding of single records.

use etcdrx::backend::{KeyValue, KubernetesObject, Lease, RecordKey};
use etcdrx::protobuf::Fields;

/// Decodes bytes as everything that a value can be.
pub fn record(data: &[u8]) {
    if let Some(key) = RecordKey::read(data) {
        assert_eq!(key.to_bytes(), data);
    }
    if let Ok(read) = KeyValue::read(data) {
        assert!(read.key.len() + read.value.len() <= data.len());
    }
    let fields = Fields::of(data).count();
    assert!(fields <= data.len());
    let _ = Lease::read(data);
    let _ = KubernetesObject::recognise(data);
    let _ = KubernetesObject::recognise(&[b"k8s\0", data].concat());
}
