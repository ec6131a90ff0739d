//! Rehearsals: a backup booted and proven, a scratch cluster broken and brought back.

pub mod backup;
mod breakage;
pub mod draw;
pub mod engine;
mod files;
mod prove;
pub mod rehearsal;
mod renewal;
mod script;
pub mod seed;
pub mod site;
pub mod writers;

pub use backup::{Drilled, drill_backup};
pub use breakage::Break;
pub use engine::Account;
pub use rehearsal::{Exercise, Rehearsal, Setting, rehearse};
pub use script::Script;
pub use seed::{Held, Seed};
pub use site::{Plan, Site};
pub use writers::{Acknowledged, Compared, Writers, Written};
