//! Where a backup goes, and where it is afterwards: the repositories of one `etcdrx backup`.

use std::fmt::Write as _;

use etcdrx::backup::Error;
use etcdrx::config::{self, Config};
use etcdrx::id::BackupId;
use etcdrx::manifest::Manifest;
use etcdrx::repository::{Folder, Mode};
use serde_json::{Value, json};

use super::context::{Context, open_folders};
use super::failure::Failure;

/// All repositories of the configuration.
pub(super) struct Whereabouts<'a>(Vec<Whereabout<'a>>);

struct Whereabout<'a> {
    settings: &'a config::Repository,
    folder: Option<Folder>,
    /// Why it has no backup, or has it.
    outcome: Result<(), Failure>,
}

impl<'a> Whereabouts<'a> {
    /// Opens what can be opened; one that cannot keeps no other from its backup.
    pub(super) fn open(context: &Context<'_>, config: &'a Config) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for (settings, opened) in open_folders(config, Mode::Create)? {
            let (folder, outcome) = match opened {
                Ok(folder) => (Some(folder), Ok(())),
                Err(failure) => (None, Err(failure)),
            };
            all.push(Whereabout {
                settings,
                folder,
                outcome,
            });
        }
        if all.iter().all(|one| one.folder.is_none()) {
            let failures = all.into_iter().filter_map(|one| one.outcome.err());
            return Err(Failure::nowhere(failures));
        }
        for one in &all {
            if let Err(failure) = &one.outcome {
                let line = failure.one_line();
                context.screen.warn(&format!(
                    "{}: {line}; the backup goes on without it",
                    one.name()
                ));
            }
        }
        Ok(Self(all))
    }

    /// Those that could be opened.
    pub(super) fn folders(&self) -> Vec<Folder> {
        self.0.iter().filter_map(|one| one.folder.clone()).collect()
    }

    /// Takes what became of the backup in each of [`Whereabouts::folders`].
    pub(super) fn learn(&mut self, places: Vec<Result<Manifest, Error>>) {
        let opened = self.0.iter_mut().filter(|one| one.folder.is_some());
        for (one, place) in opened.zip(places) {
            one.outcome = place.map(drop).map_err(Failure::from);
        }
    }

    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// What stands before a line about one of several.
    pub(super) fn prefix(&self, folder: &Folder) -> String {
        match self.are_several() {
            true => format!("{}: ", folder.repository().label()),
            false => String::new(),
        }
    }

    /// The repositories that have the backup.
    pub(super) fn committed(&self) -> impl Iterator<Item = (&'a config::Repository, &Folder)> {
        let committed = self.0.iter().filter(|one| one.outcome.is_ok());
        committed.filter_map(|one| Some((one.settings, one.folder.as_ref()?)))
    }

    /// The names of those that have it.
    pub(super) fn present(&self) -> Vec<String> {
        let named = self.committed();
        named
            .filter_map(|(settings, _)| settings.name.clone())
            .collect()
    }

    /// What is told and counts in the end where one of them has it not.
    pub(super) fn failure(&self, id: &BackupId) -> Option<Failure> {
        let missed: Vec<(String, Failure)> = self
            .0
            .iter()
            .filter_map(|one| Some((one.name(), one.outcome.clone().err()?)))
            .collect();
        (!missed.is_empty()).then(|| Failure::partial(id, &self.present(), &missed))
    }

    /// A line for each.
    pub(super) fn lines(&self, manifest: &Manifest) -> String {
        let mut lines = String::new();
        let mut heading = "where";
        for (_, folder) in self.committed() {
            let url = folder.repository().url().trim_end_matches('/');
            let place = format!("{url}/{}/{}", manifest.cluster, manifest.id);
            let whose = self.prefix(folder);
            let _ = writeln!(lines, "  {heading:9} {whose}{place}");
            heading = "";
        }
        for one in &self.0 {
            if one.outcome.is_err() {
                let _ = writeln!(lines, "  NOT IN    {}", one.name());
            }
        }
        lines.trim_end().to_owned()
    }

    pub(super) fn to_json(&self) -> Value {
        let all = self.0.iter().map(|one| {
            let mut json = json!({"name": one.name(), "url": one.url(), "ok": one.outcome.is_ok()});
            if let Err(failure) = &one.outcome {
                json["error"] = failure.to_json()["error"].take();
            }
            json
        });
        all.collect()
    }
}

impl Whereabout<'_> {
    fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_default()
    }

    /// `None` for one that could not be opened: its URL may be what is wrong with it.
    fn url(&self) -> Option<&str> {
        let folder = self.folder.as_ref()?;
        Some(folder.repository().url())
    }
}
