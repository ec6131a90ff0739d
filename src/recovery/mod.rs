//! Brings a cluster back: looks, judges, plans, acts, and proves the result.

mod actions;
pub mod choices;
pub mod observation;
pub mod plan;
pub mod playbook;
pub mod scenario;

pub use observation::Observation;
pub use scenario::Scenario;
