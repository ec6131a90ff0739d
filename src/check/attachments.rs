//! Proves that what is to be attached can be read.

use std::path::PathBuf;

use super::Report;
use crate::attachments::gather;
use crate::progress::told;

/// Reads what a backup would attach; nothing where nothing is named.
pub fn check_attachments(paths: &[PathBuf], report: &mut Report) {
    if paths.is_empty() {
        return;
    }
    match gather(paths) {
        Ok(gathered) => {
            report.findings.extend(gathered.findings);
            match gathered.files {
                0 => report.error(
                    "no-attachments",
                    "there is no file in what is to be attached",
                ),
                files => report.pass(format!(
                    "every backup gets its attachments (files: {files}, {} bytes)",
                    gathered.size_bytes
                )),
            }
        }
        Err(error) => report.error("no-attachments", told(&error)),
    }
}
