//! A cluster's backups in every repository that answers.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Backup, Catalog};
use crate::config::{self, Config};
use crate::id::BackupId;
use crate::keys::Keys;
use crate::progress::told;
use crate::repository::{Error as RepositoryError, Folder, Mode, Repository, together};
use crate::retention::Health;

/// How much longer than the first a repository may take to answer, at the least.
const MOMENT: Duration = Duration::from_secs(2);

/// The backups of a cluster, wherever somebody could look at them.
#[derive(Default)]
pub struct Copies {
    /// The cluster's folder in each repository that answered, and what is in it, in the order of the configuration.
    pub answered: Vec<(Folder, Catalog)>,
    /// Why others gave no answer.
    pub unseen: Vec<String>,
}

impl Copies {
    /// The copies of a backup: those that are known to be damaged come last.
    #[must_use]
    pub fn of(&self, id: &BackupId) -> Vec<(&Folder, &Backup)> {
        let copies = self.answered.iter().filter_map(|(folder, catalog)| {
            let mut backups = catalog.backups.iter();
            Some((folder, backups.find(|backup| backup.id() == id)?))
        });
        let mut copies: Vec<_> = copies.collect();
        copies.sort_by_key(|(_, backup)| backup.health() == Health::Damaged);
        copies
    }
}

/// Looks into all repositories of the configuration at once.
///
/// As soon as one has answered, the others have as long again, and two seconds at the least: what is down must not hold up a recovery.
pub async fn look_for(config: &Config) -> Copies {
    let all = config.repositories.all();
    let loads = all.iter().map(|settings| load(config, settings));
    let ended = together(loads, |took| took.max(MOMENT)).await;
    let mut copies = Copies::default();
    for (settings, ended) in all.iter().zip(ended) {
        let why = match ended {
            Some(Ok(found)) => {
                copies.answered.extend(found);
                continue;
            }
            Some(Err(why)) => why,
            None => "no answer while another one answered".to_owned(),
        };
        copies.unseen.push(match &settings.name {
            Some(name) if all.len() > 1 => format!("{name}: {why}"),
            _ => why,
        });
    }
    copies
}

/// What one repository holds; `None` where there is none.
async fn load(
    config: &Config,
    settings: &config::Repository,
) -> Result<Option<(Folder, Catalog)>, String> {
    let name = config.cluster.folder().map_err(|error| told(&error))?;
    let repository = match Repository::open(settings, Mode::Existing) {
        Err(RepositoryError::NotConfigured) => return Ok(None),
        repository => repository.map_err(|error| told(&error))?,
    };
    let keys = Keys::open(&config.encryption).map_err(|error| told(&error))?;
    let folder = repository.folder(&name, Arc::new(keys));
    let catalog = Catalog::load(&folder).await.map_err(|error| told(&error))?;
    Ok(Some((folder, catalog)))
}
