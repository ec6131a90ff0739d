//! What is fuzzed: bytes in, no panic out, and what two ways of reading agree on.
//!
//! libFuzzer drives it (`make fuzz`), and so does a plain test that replays the seeds with mutations
//! (`tests/it/fuzz_replay.rs`).

mod bolt;
mod patch;
mod record;
mod repair;
mod store;
mod survey;
mod wal;

pub use bolt::bolt;
pub use patch::patch;
pub use record::record;
pub use store::store;
pub use survey::survey;
pub use wal::wal;

/// A target: its name, the folder of its seeds, and what it does with bytes.
pub type Target = (&'static str, &'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("bolt", "database", bolt),
    ("patch", "database", patch),
    ("record", "record", record),
    ("store", "database", store),
    ("survey", "database", survey),
    ("wal", "log", wal),
];
