//! Backups by the dozen without a cluster: two real ones are taken once, and planted under any id.

use std::fs;
use std::path::{Path, PathBuf};

use etcdrx::id::BackupId;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::setup::{FOLDER, Workplace};
use crate::store_setup::{backup, small_cluster};

/// The name of the data object.
pub(crate) const DATA: &str = "snapshot.db.zst";

/// A real backup, as it lies in a repository.
pub(crate) struct Specimen {
    /// Its manifest.
    pub(crate) manifest: Value,
    /// Its data object.
    pub(crate) data: Vec<u8>,
}

/// Two backups of one cluster with different content, taken once for all tests.
pub(crate) async fn specimens() -> &'static [Specimen; 2] {
    static TAKEN: OnceCell<[Specimen; 2]> = OnceCell::const_new();
    TAKEN
        .get_or_init(async || {
            let cluster = small_cluster().await;
            let workplace = Workplace::of(&cluster);
            let first = Specimen::take(&workplace);
            cluster.put_many("other/", 50, 100).await;
            [first, Specimen::take(&workplace)]
        })
        .await
}

impl Specimen {
    fn take(workplace: &Workplace) -> Specimen {
        let id = backup(&workplace.etcdrx())["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let folder = workplace.repository().join(FOLDER).join(id);
        Specimen {
            manifest: read_json(&folder.join("manifest.json")),
            data: fs::read(folder.join(DATA)).unwrap(),
        }
    }

    /// Puts the backup into a directory repository under another id, and gives its folder.
    pub(crate) fn plant(&self, workplace: &Workplace, id: &str) -> PathBuf {
        self.plant_changed(workplace, id, |_| {})
    }

    /// As [`plant`](Self::plant), with a manifest changed by `edit`.
    pub(crate) fn plant_changed(
        &self,
        workplace: &Workplace,
        id: &str,
        edit: impl FnOnce(&mut Value),
    ) -> PathBuf {
        let folder = workplace.repository().join(FOLDER).join(id);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(DATA), &self.data).unwrap();
        fs::write(folder.join("manifest.json"), self.manifest_of(id, edit)).unwrap();
        folder
    }

    /// The manifest that a backup of this content would have under another id.
    pub(crate) fn manifest_of(&self, id: &str, edit: impl FnOnce(&mut Value)) -> String {
        let mut manifest = self.manifest.clone();
        let began: BackupId = id.parse().unwrap();
        manifest["id"] = id.into();
        manifest["started_at"] = began.started_at().to_rfc3339().into();
        edit(&mut manifest);
        manifest.to_string()
    }
}

/// A workplace with a repository in its folder, without a cluster.
pub(crate) fn workplace() -> Workplace {
    let workplace = Workplace::new();
    workplace.configure(&workplace.bare_settings());
    fs::create_dir_all(workplace.repository().join(FOLDER)).unwrap();
    workplace
}

/// The JSON in a file.
pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
