//! Brings a cluster back: looks, judges, plans, acts, and proves the result.

mod actions;
pub mod choices;
pub mod copies;
pub mod directory;
pub mod execute;
pub mod invariants;
pub mod journal;
pub mod judge;
pub mod learned;
pub mod look;
pub mod observation;
pub mod observe;
pub mod plan;
pub mod playbook;
pub mod rank;
pub mod report;
pub mod scenario;
#[cfg(test)]
mod specimen;

pub use observation::Observation;
pub use scenario::Scenario;
