//! What one node must do, by hand or sent from elsewhere: look, stop, set aside, place, configure, start.

pub mod action;
mod database;
pub mod salvage;

pub use action::{Action, Answer, Directories, Inspected, NewCluster, ProcessFacts, Running};
pub use database::DatabaseFacts;
