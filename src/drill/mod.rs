//! Rehearsals: a backup booted and proven, a scratch cluster broken and brought back.

pub mod writers;

pub use writers::{Acknowledged, Compared, Writers, Written};
