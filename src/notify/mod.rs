//! Whom a run tells how it went: a heartbeat service and a metrics file.

mod heartbeat;
mod metrics;

pub use heartbeat::{Heartbeat, HeartbeatError};
pub use metrics::{Metrics, MetricsError, publish};
