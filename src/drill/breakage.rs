//! How a cluster is broken.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::script::Script;
use super::site::{Error, Site};
use crate::datadir::wal;
use crate::etcd;
use crate::recovery::Scenario;

/// What happens to the members that it happens to.
///
/// A network that is cut is not among them: that takes network namespaces, and these take rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Break {
    /// Their processes are killed; their data are whole.
    Kill,
    /// Their processes are frozen: they take connections and say nothing.
    Hang,
    /// Their processes are killed, and their data are gone.
    DiskLoss,
    /// Their processes are killed, and their databases are overwritten at the beginning.
    CorruptDatabase,
    /// Their processes are killed, and a byte in the middle of their logs is changed.
    CorruptLog,
    /// As a loss of disks; and the survivors were restarted, so that they answer no client any more.
    RestartedSurvivor,
    /// As a loss of disks; and the survivors are killed, their data whole.
    DeadSurvivor,
    /// The quota is used up, by old revisions of one key.
    Full,
}

/// The key whose revisions use the quota up; none of the writers' keys begins so.
const FILLER: &str = "etcdrx-drill-filler";
/// Less than etcd takes in a request.
const FILLER_BYTES: usize = 1 << 20;
/// How long one such write may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl Break {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Hang,
        Self::DiskLoss,
        Self::CorruptDatabase,
        Self::CorruptLog,
        Self::RestartedSurvivor,
        Self::DeadSurvivor,
        Self::Full,
    ];

    /// What a scenario is rehearsed with where nobody says.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::Leader => Self::Kill,
            Scenario::Follower | Scenario::Majority | Scenario::Total => Self::DiskLoss,
            Scenario::Nospace => Self::Full,
        }
    }

    /// Whether it makes a disaster of this scenario.
    #[must_use]
    pub fn fits(self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Follower | Scenario::Leader => !matches!(
                self,
                Self::RestartedSurvivor | Self::DeadSurvivor | Self::Full
            ),
            Scenario::Majority => self != Self::Full,
            Scenario::Nospace => self == Self::Full,
            // With data left it would be no total loss.
            Scenario::Total => self == Self::DiskLoss,
        }
    }

    /// Breaks the cluster; `victims` are indexes of its members.
    ///
    /// # Errors
    /// If a process cannot be killed, or a file not be damaged.
    pub async fn inflict(self, site: &Site, victims: &BTreeSet<usize>) -> Result<(), Error> {
        let signal = match self {
            Self::Full => return fill_up(site).await,
            Self::Hang => Signal::SIGSTOP,
            _ => Signal::SIGKILL,
        };
        // All at once: none may act on the end of another.
        for victim in victims {
            site.signal(*victim, signal);
        }
        if self == Self::Hang {
            return Ok(());
        }
        let others = (0..site.members.len()).filter(|index| !victims.contains(index));
        let survivors: Vec<usize> = others.collect();
        if self == Self::DeadSurvivor {
            for survivor in &survivors {
                site.signal(*survivor, Signal::SIGKILL);
            }
        }
        for victim in victims {
            site.until_it_is_gone(*victim).await;
            let data_dir = site.members[*victim].data_dir();
            self.damage(&data_dir).map_err(|source| Error::Write {
                path: data_dir.clone(),
                source,
            })?;
        }
        if self == Self::RestartedSurvivor {
            for survivor in survivors {
                site.run(survivor, Script::Stop).await?;
                site.until_it_is_gone(survivor).await;
                site.run(survivor, Script::Start).await?;
            }
        }
        Ok(())
    }

    fn damage(self, data_dir: &Path) -> io::Result<()> {
        match self {
            Self::Kill | Self::Hang | Self::Full => Ok(()),
            Self::DiskLoss | Self::RestartedSurvivor | Self::DeadSurvivor => {
                fs::remove_dir_all(data_dir)
            }
            // Both meta pages: with one of them left bbolt goes on.
            Self::CorruptDatabase => {
                let db = data_dir.join("member/snap/db");
                let file = fs::File::options().write(true).open(db)?;
                file.write_all_at(&[0x5a; 16 << 10], 0)
            }
            Self::CorruptLog => flip_a_byte(&data_dir.join("member/wal")),
        }
    }
}

/// Writes until etcd says that there is no space, which raises the alarm.
async fn fill_up(site: &Site) -> Result<(), Error> {
    let failed = |source| Error::Access { source };
    let endpoint = &site.members[0].client_url;
    let member = site.access().member(endpoint, PATIENCE).await;
    let member = member.map_err(failed)?;
    let value = "0123456789abcdef".repeat(FILLER_BYTES / 16);
    loop {
        match member.put(FILLER, &value).await {
            Ok(_) => {}
            Err(etcd::Error::Call { message, .. }) if message.contains("space exceeded") => {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Changes a byte in the middle of what the newest file of a log holds.
fn flip_a_byte(wal_dir: &Path) -> io::Result<()> {
    let facts = wal::read(wal_dir).map_err(io::Error::other)?;
    let end: (PathBuf, u64) = (facts.end.file, facts.end.offset);
    let file = fs::File::options().read(true).write(true).open(end.0)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, end.1 / 2)?;
    file.write_all_at(&[byte[0] ^ 0x10], end.1 / 2)
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::DiskLoss => "disk-loss",
            Self::CorruptDatabase => "corrupt-database",
            Self::CorruptLog => "corrupt-log",
            Self::RestartedSurvivor => "restarted-survivor",
            Self::DeadSurvivor => "dead-survivor",
            Self::Full => "full",
        })
    }
}

impl FromStr for Break {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.to_string() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|one| one.to_string());
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_break_of_its_own_that_fits() {
        for scenario in Scenario::ALL {
            assert!(Break::of(scenario).fits(scenario), "{scenario}");
        }
        assert!(!Break::Kill.fits(Scenario::Total));
        for one in Break::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
            let fits = Scenario::ALL.into_iter().any(|scenario| one.fits(scenario));
            assert!(fits, "{one}");
        }
    }
}
