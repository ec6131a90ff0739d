//! temporary
#![allow(missing_docs)]
use crate::config::Node;
use crate::id::Digest;
use crate::node::{Action, Answer};
use crate::progress::Progress;
use std::path::Path;
use thiserror::Error;
#[derive(Debug, Error)]
pub enum Error {
    #[error("by hand: {command}")]
    ByHand { command: String },
    #[error("{0}")]
    Other(String),
}
pub enum Host {
    Local,
    Manual,
}
impl Host {
    pub fn of(_node: &Node) -> Result<Host, Error> {
        Ok(Host::Local)
    }
    pub async fn perform(&self, _action: &Action) -> Result<Answer, Error> {
        Err(Error::Other(String::new()))
    }
    pub async fn send_file(
        &self,
        _local: &Path,
        _remote: &Path,
        _sha256: Digest,
        _progress: &dyn Progress,
    ) -> Result<(), Error> {
        Ok(())
    }
    pub async fn fetch_file(
        &self,
        _remote: &Path,
        _local: &Path,
        _sha256: Digest,
    ) -> Result<(), Error> {
        Ok(())
    }
    pub fn command_line(&self, action: &Action) -> String {
        format!("{action:?}")
    }
}
