//! The same work in every repository: one that fails does not keep the others from their turn.

use etcdrx::config::{self, Config};
use etcdrx::repository::{Folder, Mode};

use super::context::{Context, open_folders};
use super::failure::Failure;

/// What came of the work in each repository.
pub(super) struct Each<T> {
    /// Where it was done, by name.
    pub(super) done: Vec<(String, T)>,
    /// Where it failed.
    pub(super) failed: Vec<(String, Failure)>,
}

impl<T> Each<T> {
    /// Works in one repository after the other.
    pub(super) async fn of(
        context: &Context<'_>,
        config: &Config,
        mode: Mode,
        work: impl AsyncFn(&config::Repository, &Folder) -> Result<T, Failure>,
    ) -> Result<Self, Failure> {
        let mut each = Self {
            done: Vec::new(),
            failed: Vec::new(),
        };
        let opened = open_folders(config, mode)?;
        let several = opened.len() > 1;
        for (settings, folder) in opened {
            let name = settings.name.clone().unwrap_or_default();
            let result = match folder {
                Ok(folder) => work(settings, &folder).await,
                Err(failure) => Err(failure),
            };
            match result {
                Ok(done) => each.done.push((name, done)),
                Err(failure) => {
                    if several {
                        let line = failure.one_line();
                        context.screen.warn(&format!("{name}: {line}"));
                    }
                    each.failed.push((name, failure));
                }
            }
        }
        Ok(each)
    }

    /// How `what` ended, over all repositories: only where all did it, it is done.
    pub(super) fn ended(
        failed: Vec<(String, Failure)>,
        done: usize,
        what: &str,
    ) -> Result<(), Failure> {
        match (failed.is_empty(), done) {
            (true, _) => Ok(()),
            (false, 0) => Err(Failure::nowhere(
                failed.into_iter().map(|(_, failure)| failure),
            )),
            (false, _) => Err(Failure::in_some(what, &failed)),
        }
    }
}
