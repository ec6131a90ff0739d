//! Rehearsals: a backup booted and proven, a scratch cluster broken and brought back.

pub mod backup;
pub mod writers;

pub use backup::{Drilled, drill_backup};
pub use writers::{Acknowledged, Compared, Writers, Written};
