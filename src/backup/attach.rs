//! The side files that go with a backup: read and sealed before a member is asked for anything.

use std::path::Path;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::Run;
use crate::attachments::{Gathered, gather};
use crate::codec::{Sha256, seal};
use crate::manifest::{ATTACHMENTS, Attachments, Finding};
use crate::progress::told;

/// Attachments as they will be stored.
pub(super) struct Attached {
    /// What the manifest says of them.
    pub(super) told: Attachments,
    pub(super) sealed: Bytes,
}

impl Run<'_> {
    /// Gathers and seals what is to be attached. That something is missing is a finding and no reason to go without a backup.
    pub(super) async fn attach(&mut self) {
        let paths = self.request.settings.attach.clone();
        let Some(recipients) = self.request.recipients().cloned() else {
            return;
        };
        if paths.is_empty() {
            return;
        }
        self.stage("reading what is to be attached");
        let shown: Vec<String> = paths.iter().map(|path| show(path)).collect();
        let gathered = spawn_blocking(move || {
            let gathered = gather(&paths).map_err(|error| told(&error))?;
            let sealed = seal(&recipients, &gathered.archive).map_err(|error| told(&error))?;
            Ok::<_, String>((gathered, sealed))
        });
        match gathered.await.expect("reading files does not panic") {
            Ok((gathered, sealed)) => self.keep(shown, gathered, sealed),
            Err(problem) => {
                let message = format!("{problem}; the backup has no attachments");
                self.find(Finding::error("no-attachments", message));
            }
        }
    }

    fn keep(&mut self, paths: Vec<String>, gathered: Gathered, sealed: Vec<u8>) {
        for finding in gathered.findings {
            self.find(finding);
        }
        if gathered.files == 0 {
            let message =
                "there is no file in what is to be attached; the backup has no attachments";
            self.find(Finding::error("no-attachments", message));
            return;
        }
        let told = Attachments {
            object: ATTACHMENTS.to_owned(),
            paths,
            files: gathered.files,
            stored_size_bytes: sealed.len() as u64,
            stored_sha256: Sha256::of(&sealed),
        };
        let sealed = sealed.into();
        self.attached = Some(Attached { told, sealed });
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
