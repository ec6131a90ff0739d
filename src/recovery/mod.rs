//! Brings a cluster back: looks, judges, plans, acts, and proves the result.

pub mod directory;
pub mod judge;
pub mod observation;
pub mod observe;
pub mod rank;
pub mod scenario;
#[cfg(test)]
mod specimen;

pub use observation::Observation;
pub use scenario::Scenario;
