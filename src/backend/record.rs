//! One record of the key-value store: a key, as it was after one change.

use std::fmt;

use crate::protobuf::{Fields, Garbled, Value};

/// The bytes of a revision: main, `_`, sub.
const REVISION_BYTES: usize = 17;
/// What marks a deletion, behind the revision.
const TOMBSTONE: u8 = b't';

/// The key under which etcd files a record: the revision, and whether the change was a deletion
/// (`server/storage/mvcc/revision.go`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The revision of the whole store.
    pub main: i64,
    /// The place of the change in its transaction.
    pub sub: i64,
    /// Whether the key was deleted.
    pub tombstone: bool,
}

impl RecordKey {
    /// Reads a key of the bucket `key`; `None` if it is none, or of a revision that cannot be.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (revision, tail) = bytes.split_at_checked(REVISION_BYTES)?;
        let (main, rest) = revision.split_first_chunk::<8>()?;
        let (separator, sub) = rest.split_first()?;
        let tombstone = match tail {
            [] => false,
            [TOMBSTONE] => true,
            _ => return None,
        };
        if *separator != b'_' {
            return None;
        }
        let (main, sub) = (
            i64::from_be_bytes(*main),
            i64::from_be_bytes(sub.try_into().ok()?),
        );
        // As bytes, keys with negative numbers would come last. No transaction makes four thousand million changes.
        let possible = main >= 0 && (0..=i64::from(u32::MAX)).contains(&sub);
        possible.then_some(Self {
            main,
            sub,
            tombstone,
        })
    }

    /// The key as etcd writes it.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REVISION_BYTES + 1);
        bytes.extend_from_slice(&self.main.to_be_bytes());
        bytes.push(b'_');
        bytes.extend_from_slice(&self.sub.to_be_bytes());
        if self.tombstone {
            bytes.push(TOMBSTONE);
        }
        bytes
    }

    /// The place of the change among all changes.
    #[must_use]
    pub fn revision(self) -> (i64, i64) {
        (self.main, self.sub)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

/// What a record holds (`mvccpb.KeyValue`); of a deletion only the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyValue<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The revision that created it.
    pub create_revision: i64,
    /// The revision that wrote this.
    pub mod_revision: i64,
    /// How often it was written since it was created.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease that it goes away with; 0 for none.
    pub lease: i64,
}

impl<'a> KeyValue<'a> {
    /// Reads a record's value; fields of later releases are passed over.
    ///
    /// # Errors
    /// If the bytes are no such message.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Garbled> {
        let mut read = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, Value::Bytes(key)) => read.key = key,
                (2, Value::Number(revision)) => read.create_revision = revision.cast_signed(),
                (3, Value::Number(revision)) => read.mod_revision = revision.cast_signed(),
                (4, Value::Number(version)) => read.version = version.cast_signed(),
                (5, Value::Bytes(value)) => read.value = value,
                (6, Value::Number(lease)) => read.lease = lease.cast_signed(),
                (1..=6, _) => return Err(Garbled),
                _ => {}
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_key_is_read_as_etcd_writes_it() {
        let key = RecordKey {
            main: 258,
            sub: 3,
            tombstone: true,
        };
        let bytes = key.to_bytes();
        assert_eq!(bytes, b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03t");
        assert_eq!(RecordKey::read(&bytes), Some(key));
        assert_eq!(RecordKey::read(&bytes[..16]), None);
        assert_eq!(
            RecordKey::read(b"\0\0\0\0\0\0\x01\x02-\0\0\0\0\0\0\0\x03"),
            None
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = KeyValue::read(&bytes);
            let _ = RecordKey::read(&bytes);
        }
    }
}
