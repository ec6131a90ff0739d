//! Which process holds a lock, and whether it is still there.

use std::fs;
use std::process;

use serde::{Deserialize, Serialize};

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The host's name, for people.
    pub host: String,
    /// What tells this boot of this machine, and this view of its processes, from all others.
    pub machine: String,
    /// The process.
    pub pid: u32,
    /// When the process began, in ticks since the boot: a pid is used again, the two together are not.
    pub began: u64,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this_process() -> Self {
        let read = |path| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: read("/proc/sys/kernel/hostname"),
            machine: format!(
                "{} {}",
                read("/proc/sys/kernel/random/boot_id"),
                namespace.display()
            ),
            pid: process::id(),
            began: began(process::id()).unwrap_or(0),
        }
    }

    /// Whether the process is certainly gone, as seen from `us`.
    pub(super) fn is_gone(&self, us: &Self) -> bool {
        self.machine == us.machine && began(self.pid) != Some(self.began)
    }
}

/// The start of a process, from the 22nd field of its stat line (proc(5)); the name before may hold anything.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    // A zombie works no more; in a container nobody may ever ask for its end.
    let is_dead = matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| !is_dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_of_another_start_is_gone() {
        let us = Holder::this_process();
        assert!(!us.is_gone(&us));
        let other_start = Holder {
            began: us.began + 1,
            ..us.clone()
        };
        assert!(other_start.is_gone(&us));
        let elsewhere = Holder {
            machine: "another".to_owned(),
            ..other_start
        };
        assert!(!elsewhere.is_gone(&us), "nobody can tell from here");
    }
}
