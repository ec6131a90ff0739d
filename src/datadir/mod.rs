//! A member's directory: who its members are, its write-ahead log, its snapshot file, and what a directory found on a disk says.

pub mod build;
pub mod edit;
pub mod inspect;
mod json;
pub mod membership;
mod peer_url;
mod raft;
pub mod snap;
pub mod wal;

pub use raft::{ConfState, Entry, EntryKind, EntryPlace, HardState, SnapshotRecord};
