//! The harness' own tests: what the other tests stand on holds.

mod clusters;
mod faults;
mod processes;
mod stores;
