//! What every command begins with: the configuration, and the rooms that it opens.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use etcdrx::catalog::Catalog;
use etcdrx::config::{self, Config, Layers};
use etcdrx::etcd::Access;
use etcdrx::id::ClusterName;
use etcdrx::keys::Keys;
use etcdrx::repository::{Folder, Mode, Repository};
use tokio_util::sync::CancellationToken;
use toml::Value;

use super::Outcome;
use super::args::{EtcdArgs, Global, RepositoryArgs};
use super::failure::Failure;
use super::screen::Screen;

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["etcdrx.toml", "/etc/etcdrx/etcdrx.toml"];

/// What every command has at hand.
pub(super) struct Context<'a> {
    config_file: Option<PathBuf>,
    pub(super) screen: &'a Screen,
    pub(super) interrupt: CancellationToken,
}

/// Our clock, to the millisecond: the library is told the time.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

impl<'a> Context<'a> {
    pub(super) fn new(global: &Global, screen: &'a Screen, interrupt: CancellationToken) -> Self {
        Self {
            config_file: global.config.clone(),
            screen,
            interrupt,
        }
    }

    /// Runs work that leaves nothing behind when it is dropped in the middle.
    pub(super) async fn or_interrupt(&self, work: impl Future<Output = Outcome>) -> Outcome {
        tokio::select! {
            outcome = work => outcome,
            () = self.interrupt.cancelled() => Err(Failure::interrupted()),
        }
    }

    /// The same for work that gives something else than an exit code.
    pub(super) async fn or_stop<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.interrupt.cancelled() => Err(Failure::interrupted()),
        }
    }

    /// The configuration file: the one that is named, or else the first that is where one is looked for.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let found = || PLACES.iter().map(PathBuf::from).find(|path| path.exists());
        self.config_file.clone().or_else(found)
    }

    /// The file, the environment and the flags that say where the repository is.
    pub(super) fn configure(&self, repository: &RepositoryArgs) -> Result<Config, Failure> {
        Ok(self.layers()?.repository(repository).finish()?)
    }

    /// The same, with the flags that say how etcd is reached.
    pub(super) fn configure_both(
        &self,
        etcd: &EtcdArgs,
        repository: &RepositoryArgs,
        flags: impl FnOnce(Layers) -> Layers,
    ) -> Result<Config, Failure> {
        let layers = self.layers()?.repository(repository).etcd(etcd);
        Ok(flags(layers).finish()?)
    }

    /// Flags and environment alone, for writing a file rather than reading one.
    #[expect(clippy::unused_self, reason = "a configuration comes from the context")]
    pub(super) fn configure_without_file(
        &self,
        etcd: &EtcdArgs,
        repository: &RepositoryArgs,
    ) -> Result<Config, Failure> {
        let layers = environment(Layers::default())?;
        Ok(layers.repository(repository).etcd(etcd).finish()?)
    }

    fn layers(&self) -> Result<Layers, Failure> {
        let mut layers = Layers::default();
        if let Some((path, text)) = self.read_file()? {
            layers = layers.file(&text, &path.display().to_string())?;
        }
        environment(layers)
    }

    fn read_file(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let Some(path) = self.config_file() else {
            return Ok(None);
        };
        let text = fs::read_to_string(&path);
        let text = text.map_err(|source| Failure::config_unreadable(&path, &source))?;
        Ok(Some((path, text)))
    }
}

fn environment(layers: Layers) -> Result<Layers, Failure> {
    // What is not UTF-8 can be none of ours.
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(layers.environment(variables)?)
}

/// Takes flags as the last layer.
trait Flags {
    fn repository(self, args: &RepositoryArgs) -> Self;
    fn etcd(self, args: &EtcdArgs) -> Self;
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| Value::String(text.clone()))
}

impl Flags for Layers {
    fn repository(self, args: &RepositoryArgs) -> Self {
        self.wanted_repository(args.repository.as_deref()).flag(
            "cluster",
            "name",
            text(args.cluster.as_ref()),
        )
    }

    fn etcd(self, args: &EtcdArgs) -> Self {
        let endpoints = args
            .endpoints
            .as_ref()
            .map(|endpoints| Value::Array(endpoints.iter().cloned().map(Value::String).collect()));
        self.flag("cluster", "endpoints", endpoints)
            .flag("cluster", "ca", text(args.cacert.as_ref()))
            .flag("cluster", "cert", text(args.cert.as_ref()))
            .flag("cluster", "key", text(args.key.as_ref()))
            .flag("cluster", "user", text(args.user.as_ref()))
    }
}

/// The cluster's folder in the repository that the configuration names.
pub(super) fn open_folder(config: &Config, mode: Mode) -> Result<(ClusterName, Folder), Failure> {
    let cluster = config.cluster.folder()?;
    // First: where nothing can be encrypted, no directory is made either.
    let keys = Keys::open(&config.encryption)?;
    let repository = Repository::open(config.repository(), mode)?;
    let folder = repository.folder(&cluster, Arc::new(keys));
    Ok((cluster, folder))
}

/// What a repository is called and where it lies, and the cluster's folder in it or why it cannot be opened.
pub(super) type Opened<'a> = (&'a config::Repository, Result<Folder, Failure>);

/// The cluster's folder in every repository, in the order of the configuration, or why one of them cannot be opened.
pub(super) fn open_folders(config: &Config, mode: Mode) -> Result<Vec<Opened<'_>>, Failure> {
    let cluster = config.cluster.folder()?;
    // First: where nothing can be encrypted, no directory is made either.
    let keys = Arc::new(Keys::open(&config.encryption)?);
    let open = |settings| {
        let repository = Repository::open(settings, mode)?;
        Ok(repository.folder(&cluster, Arc::clone(&keys)))
    };
    let all = config.repositories.all().iter();
    Ok(all.map(|settings| (settings, open(settings))).collect())
}

/// The way to the cluster's members.
pub(super) fn open_access(config: &Config) -> Result<Access, Failure> {
    Ok(Access::open(&config.cluster)?)
}

/// The catalog of the folder that the configuration names: where there are several repositories, that in the first.
pub(super) async fn open_catalog(
    context: &Context<'_>,
    config: &Config,
) -> Result<(Folder, Catalog), Failure> {
    let mut names = config.repositories.names().into_iter();
    let first = names.next().unwrap_or_default();
    let others = names.collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        context.screen.note(&format!(
            "looking into {first}; --repository chooses another: {others}"
        ));
    }
    let load = async {
        let (_, folder) = open_folder(config, Mode::Existing)?;
        let catalog = Catalog::load(&folder).await?;
        Ok((folder, catalog))
    };
    load.await
        .map_err(|failure: Failure| match others.is_empty() {
            true => failure,
            false => failure.or_another(first, &others),
        })
}

/// Where recoveries and schedules are kept: the system's place where it can be written, else the user's own.
pub(super) fn state_dir() -> PathBuf {
    let system = PathBuf::from("/var/lib/etcdrx");
    let is_ours = fs::create_dir_all(&system).is_ok()
        && fs::metadata(&system).is_ok_and(|found| !found.permissions().readonly());
    if is_ours {
        return system;
    }
    let home = env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let home = env::var_os("HOME")?;
            Some(Path::new(&home).join(".local/state"))
        });
    home.unwrap_or_else(env::temp_dir).join("etcdrx")
}
