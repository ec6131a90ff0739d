//! A cluster's backups in every repository that answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use crate::catalog::{Backup, Catalog};
use crate::config::{self, Config};
use crate::id::BackupId;
use crate::keys::Keys;
use crate::progress::told;
use crate::repository::{Error as RepositoryError, Folder, Mode, Repository};
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
    let several = all.len() > 1;
    let began = Instant::now();
    let mut open: FuturesUnordered<_> = all
        .iter()
        .enumerate()
        .map(|(index, settings)| async move { (index, load(config, settings).await) })
        .collect();
    let mut answered = Vec::new();
    let mut copies = Copies::default();
    let mut waiting: Vec<usize> = (0..all.len()).collect();
    let mut patience = None;
    let name = |index: usize| match several {
        true => format!("{}: ", all[index].name.as_deref().unwrap_or_default()),
        false => String::new(),
    };
    loop {
        let next = match patience {
            None => open.next().await,
            Some(patience) => timeout(patience, open.next()).await.unwrap_or_default(),
        };
        let Some((index, loaded)) = next else { break };
        waiting.retain(|other| *other != index);
        match loaded {
            Ok(Some(found)) => {
                patience.get_or_insert_with(|| began.elapsed().max(MOMENT));
                answered.push((index, found));
            }
            Ok(None) => {}
            Err(why) => copies.unseen.push(format!("{}{why}", name(index))),
        }
    }
    let late = waiting.into_iter();
    let late = late.map(|index| format!("{}no answer while another one answered", name(index)));
    copies.unseen.extend(late);
    answered.sort_by_key(|(index, _)| *index);
    copies.answered = answered.into_iter().map(|(_, found)| found).collect();
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
