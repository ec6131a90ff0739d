//! A network within this machine: a namespace for every host, and a cable to each that can be pulled.
//!
//! Where namespaces cannot be had, every host has an address of its own on loopback, and there are no cables.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scratch::{process, program};

/// How many networks there may be at a time on a machine.
const SLOTS: u8 = 40;
/// How many hosts a network has at most.
const MOST_HOSTS: usize = 5;

/// A network of hosts, gone with this value. What a process that was killed left is removed by the next one.
pub(crate) struct Network {
    slot: Slot,
    has_cables: bool,
}

/// A number of which a process has one network at a time, and the lock that says so.
struct Slot {
    number: u8,
    _lock: File,
}

impl Network {
    /// Makes a network of `hosts` hosts.
    pub(crate) fn begin(hosts: usize) -> Network {
        assert!(hosts <= MOST_HOSTS);
        let slot = (1..SLOTS).find_map(Slot::take).expect("a network is free");
        slot.clean();
        // Whoever left something there is dead: nobody holds the lock.
        let left = (1..SLOTS).filter(|number| Slot::is_furnished(*number));
        left.filter_map(Slot::take).for_each(|left| left.clean());
        let has_cables = slot.lay_cables(hosts).is_ok();
        if !has_cables {
            slot.clean();
        }
        Network { slot, has_cables }
    }

    /// Whether hosts can be cut off.
    pub(crate) fn has_cables(&self) -> bool {
        self.has_cables
    }

    /// The address of a host.
    pub(crate) fn address(&self, host: usize) -> String {
        match self.has_cables {
            true => self.slot.address(host),
            false => format!("127.231.{}.{}", self.slot.number, host + 10),
        }
    }

    /// A command that runs on a host.
    pub(crate) fn on(&self, host: usize, program: &Path) -> Command {
        if !self.has_cables {
            return process::command(program);
        }
        let mut command = process::command(&ip_program().expect("cables were laid with it"));
        command.args(["netns", "exec", &self.slot.namespace(host)]);
        command.arg(program);
        command
    }

    /// Cuts a host off: what is sent to it or by it is lost without a word.
    pub(crate) fn pull(&self, host: usize) {
        ip(&format!("link set {} nomaster", self.slot.cable(host))).unwrap();
    }

    /// Ends what [`pull`](Self::pull) did.
    pub(crate) fn plug(&self, host: usize) {
        let (cable, switch) = (self.slot.cable(host), self.slot.switch());
        ip(&format!("link set {cable} master {switch}")).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.slot.clean();
    }
}

impl Slot {
    fn take(number: u8) -> Option<Slot> {
        let path = std::env::temp_dir().join(format!("etcdrx-test-network-{number}.lock"));
        let lock = File::options().create(true).append(true).open(path).ok()?;
        lock.try_lock().ok()?;
        Some(Slot {
            number,
            _lock: lock,
        })
    }

    fn is_furnished(number: u8) -> bool {
        let switch = format!("/sys/class/net/etcdrx{number}");
        Path::new(&switch).exists()
    }

    fn namespace(&self, host: usize) -> String {
        format!("etcdrx-test-{}-{host}", self.number)
    }

    fn cable(&self, host: usize) -> String {
        format!("etcdrx{}h{host}", self.number)
    }

    fn switch(&self) -> String {
        format!("etcdrx{}", self.number)
    }

    fn address(&self, host: usize) -> String {
        format!("10.231.{}.{}", self.number, host + 10)
    }

    fn hardware(&self, host: usize) -> String {
        format!("02:e7:cd:00:{:02x}:{:02x}", self.number, host + 10)
    }

    fn lay_cables(&self, hosts: usize) -> Result<(), String> {
        let switch = self.switch();
        ip(&format!("link add {switch} type bridge forward_delay 0"))?;
        ip(&format!(
            "addr add 10.231.{}.1/24 dev {switch}",
            self.number
        ))?;
        ip(&format!("link set {switch} up"))?;
        for host in 0..hosts {
            let (namespace, cable) = (self.namespace(host), self.cable(host));
            let (address, hardware) = (self.address(host), self.hardware(host));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!(
                "link add {cable} type veth peer name eth0 address {hardware} netns {namespace}"
            ))?;
            ip(&format!("link set {cable} master {switch} up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            // Known for good: without, whoever asks a host that is cut off hears after a while that there is no such host.
            ip(&format!(
                "neigh replace {address} lladdr {hardware} dev {switch} nud permanent"
            ))?;
            for other in (0..hosts).filter(|other| *other != host) {
                let (address, hardware) = (self.address(other), self.hardware(other));
                ip(&format!(
                    "-n {namespace} neigh replace {address} lladdr {hardware} dev eth0 nud permanent"
                ))?;
            }
        }
        Ok(())
    }

    /// Ends whatever runs on the hosts, and removes them.
    fn clean(&self) {
        for host in 0..MOST_HOSTS {
            let namespace = self.namespace(host);
            if Path::new("/run/netns").join(&namespace).exists() {
                let pids = ip(&format!("netns pids {namespace}")).unwrap_or_default();
                for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                let _ = ip(&format!("netns del {namespace}"));
            }
            remove_link(&self.cable(host));
        }
        remove_link(&self.switch());
    }
}

fn remove_link(name: &str) {
    if Path::new("/sys/class/net").join(name).exists() {
        let _ = ip(&format!("link del {name}"));
    }
}

fn ip_program() -> Option<PathBuf> {
    let elsewhere = ["/usr/sbin/ip", "/sbin/ip"].map(PathBuf::from);
    let found = process::find_program("ip");
    found.or_else(|| {
        elsewhere
            .into_iter()
            .find(|path| fs::metadata(path).is_ok())
    })
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<String, String> {
    let ip = ip_program().ok_or("there is no ip")?;
    let mut command = process::command(&ip);
    command.args(words.split(' '));
    let output = program::run(command, Duration::from_secs(30));
    match output.code {
        0 => Ok(output.stdout),
        _ => Err(format!("ip {words}: {}", output.stderr)),
    }
}
