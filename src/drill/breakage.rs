//! How a cluster is broken.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::renewal;
use super::script::Script;
use super::site::{Error, READY_LIMIT, Site};
use super::writers::PREFIX;
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
    /// A byte of a value in their databases is changed; they run on, and nothing but a hash of their data tells.
    CorruptValue,
    /// Their data are put back to what they were a while ago, as by a snapshot of their machine.
    RolledBack,
    /// As a loss of disks; and the survivors were restarted, so that they answer no client any more.
    RestartedSurvivor,
    /// As a loss of disks; and the survivors are killed, their data whole.
    DeadSurvivor,
    /// The quota is used up, by old revisions of one key.
    Full,
    /// Their certificates have ended, and they were restarted since: nobody takes them in. It is no disaster, and must not be taken for one.
    ExpiredCertificates,
}

/// The key whose revisions use the quota up; none of the writers' keys begins so.
const FILLER: &str = "etcdrx-drill-filler";
/// Less than etcd takes in a request.
const FILLER_BYTES: usize = 1 << 20;
/// How far behind its key a value begins in a record: revisions and version come between, each a number of ten bytes at most.
const RECORD_REST: usize = 48;
/// How long one such write may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl Break {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Kill,
        Self::Hang,
        Self::DiskLoss,
        Self::CorruptDatabase,
        Self::CorruptLog,
        Self::CorruptValue,
        Self::RolledBack,
        Self::RestartedSurvivor,
        Self::DeadSurvivor,
        Self::Full,
        Self::ExpiredCertificates,
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
            // A leader with older data is none, and takes what it lacks from the next one.
            Scenario::Follower | Scenario::Majority if self == Self::ExpiredCertificates => true,
            Scenario::Follower if matches!(self, Self::CorruptValue | Self::RolledBack) => true,
            Scenario::Follower | Scenario::Leader => matches!(
                self,
                Self::Kill | Self::Hang | Self::DiskLoss | Self::CorruptDatabase | Self::CorruptLog
            ),
            Scenario::Majority => {
                !matches!(self, Self::Full | Self::CorruptValue | Self::RolledBack)
            }
            Scenario::Nospace => self == Self::Full,
            // With data left it would be no total loss.
            Scenario::Total => self == Self::DiskLoss,
        }
    }

    /// Whether it is a disaster that a recovery mends.
    #[must_use]
    pub fn is_disaster(self) -> bool {
        self != Self::ExpiredCertificates
    }

    /// Whether it happens only where there are certificates.
    #[must_use]
    pub fn needs_tls(self) -> bool {
        self == Self::ExpiredCertificates
    }

    /// Whether the members that are hit have nothing afterwards that could be started.
    #[must_use]
    pub fn takes_data(self) -> bool {
        !matches!(
            self,
            Self::Kill | Self::Hang | Self::Full | Self::ExpiredCertificates
        )
    }

    /// Does what has to be done a while before: keeps the data that are put back later, while the others go on.
    ///
    /// # Errors
    /// If a file cannot be copied, or a member does not come back.
    pub async fn prepare(self, site: &Site, victims: &BTreeSet<usize>) -> Result<(), Error> {
        if self != Self::RolledBack {
            return Ok(());
        }
        for victim in victims {
            let member = &site.members[*victim];
            site.signal(*victim, Signal::SIGKILL);
            site.until_it_is_gone(*victim).await;
            let copied = copy_directory(&member.data_dir(), &older(&member.data_dir()));
            copied.map_err(|source| Error::Write {
                path: older(&member.data_dir()),
                source,
            })?;
            site.run(*victim, Script::Start)?;
            site.until_it_serves(*victim, READY_LIMIT).await?;
        }
        Ok(())
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
        self.aftermath(site, victims, &survivors).await
    }

    /// What follows from it by itself.
    async fn aftermath(
        self,
        site: &Site,
        victims: &BTreeSet<usize>,
        survivors: &[usize],
    ) -> Result<(), Error> {
        match self {
            Self::RestartedSurvivor => {
                for survivor in survivors {
                    site.run(*survivor, Script::Stop)?;
                    site.until_it_is_gone(*survivor).await;
                    site.run(*survivor, Script::Start)?;
                }
            }
            Self::ExpiredCertificates => {
                renewal::end(site, victims)?;
                for victim in victims {
                    site.run(*victim, Script::Start)?;
                }
            }
            Self::CorruptValue => {
                for victim in victims {
                    site.run(*victim, Script::Start)?;
                    site.until_it_serves(*victim, READY_LIMIT).await?;
                }
            }
            // It ends by itself as soon as the leader tells it what it should have.
            Self::RolledBack => {
                for victim in victims {
                    site.run(*victim, Script::Start)?;
                    site.until_it_is_gone(*victim).await;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn damage(self, data_dir: &Path) -> io::Result<()> {
        match self {
            Self::Kill | Self::Hang | Self::Full | Self::ExpiredCertificates => Ok(()),
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
            Self::CorruptValue => flip_a_value(&data_dir.join("member/snap/db")),
            Self::RolledBack => {
                fs::remove_dir_all(data_dir)?;
                fs::rename(older(data_dir), data_dir)
            }
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

/// Changes the last byte of a record in the middle of what the newest file of a log holds.
///
/// Not one of its length: then what follows looks as if it had never been flushed, and etcd cuts it off without a word.
fn flip_a_byte(wal_dir: &Path) -> io::Result<()> {
    let facts = wal::read(wal_dir).map_err(io::Error::other)?;
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(facts.end.file)?;
    let (mut last, mut next) = (0, 0);
    while next < facts.end.offset / 2 {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, next)?;
        let (record, padding) = wal::lengths(u64::from_le_bytes(word));
        last = next + 8 + record - 1;
        next += 8 + record + padding;
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    file.write_all_at(&[byte[0] ^ 0x10], last)
}

/// Changes a byte of the first value that the first client wrote, wherever it stands: pages have no checksums.
fn flip_a_value(db: &Path) -> io::Result<()> {
    let file = fs::File::options().read(true).write(true).open(db)?;
    let mut bytes = Vec::new();
    (&file).read_to_end(&mut bytes)?;
    let key = format!("{PREFIX}before/00/00000000");
    let mut changed = false;
    for at in places(&bytes, key.as_bytes()) {
        let record = &bytes[at..bytes.len().min(at + key.len() + RECORD_REST)];
        // As etcd writes it: field 5, with its length, and the beginning of what a client writes first.
        if let Some(value) = places(record, &[0x2a, 18, b'0', b'-']).next() {
            let place = at + value + 4;
            file.write_all_at(
                &[bytes[place] ^ 1],
                u64::try_from(place).unwrap_or(u64::MAX),
            )?;
            changed = true;
        }
    }
    match changed {
        true => Ok(()),
        false => Err(io::Error::other("it holds no value of a drill")),
    }
}

/// Where `needle` stands.
fn places<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let (first, mut from) = (needle[0], 0);
    std::iter::from_fn(move || {
        loop {
            let at = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
            from = at + 1;
            if bytes[at..].starts_with(needle) {
                return Some(at);
            }
        }
    })
}

/// Where the data lie that are put back.
fn older(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("older")
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    // etcd refuses a directory that others may read.
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_directory(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(drop)?,
        }
    }
    Ok(())
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::DiskLoss => "disk-loss",
            Self::CorruptDatabase => "corrupt-database",
            Self::CorruptLog => "corrupt-log",
            Self::CorruptValue => "corrupt-value",
            Self::RolledBack => "rolled-back",
            Self::RestartedSurvivor => "restarted-survivor",
            Self::DeadSurvivor => "dead-survivor",
            Self::Full => "full",
            Self::ExpiredCertificates => "expired-certificates",
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
