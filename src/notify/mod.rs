//! Whom a run tells how it went: a heartbeat service, a metrics file and a webhook.

mod heartbeat;
mod metrics;
mod webhook;

pub use heartbeat::{Heartbeat, HeartbeatError};
pub use metrics::{Metrics, MetricsError, publish};
pub use webhook::{Webhook, WebhookError};
