//! The envelope in which Kubernetes keeps its objects.

use crate::protobuf::{Fields, Value};

/// What the API server writes before an object in protobuf (`apimachinery/pkg/runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";

/// What a Kubernetes object says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct KubernetesObject {
    /// The version of its API, such as `apps/v1`.
    pub api_version: String,
    /// Its kind, such as `Deployment`.
    pub kind: String,
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl KubernetesObject {
    /// Recognises an object in protobuf; `None` for anything else.
    #[must_use]
    pub fn recognise(value: &[u8]) -> Option<Self> {
        let mut object = Self::default();
        for field in Fields::of(value.strip_prefix(MAGIC)?) {
            match field.ok()? {
                (1, Value::Bytes(type_meta)) => {
                    object.api_version = text(type_meta, 1)?;
                    object.kind = text(type_meta, 2)?;
                }
                (2, Value::Bytes(raw)) => {
                    // Every object begins with its metadata; what is no object may have anything there.
                    let metadata = bytes(raw, 1).unwrap_or_default();
                    object.name = text(metadata, 1).unwrap_or_default();
                    object.namespace = text(metadata, 3).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(object)
    }
}

fn bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields::of(message).find_map(|field| match field {
        Ok((found, Value::Bytes(bytes))) if found == number => Some(bytes),
        _ => None,
    })
}

fn text(message: &[u8], number: u64) -> Option<String> {
    let bytes = bytes(message, number)?;
    String::from_utf8(bytes.to_vec()).ok()
}
