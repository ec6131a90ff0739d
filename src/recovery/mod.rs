//! Brings a cluster back: looks, judges, plans, acts, and proves the result.

pub mod observation;
pub mod scenario;

pub use observation::Observation;
pub use scenario::Scenario;
