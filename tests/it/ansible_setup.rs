//! Three bare machines for Ansible: each with an sshd, and an /etc, /var, /usr/local and /run of its own over those of this machine.
//!
//! No systemd runs there: `node_stand_ins/systemctl` stands in for it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::hosts_network::Network;
use crate::hosts_setup::{light_program, member, place_program, write_script};
use crate::hosts_ssh::{self, SSH_PORT};
use crate::scratch::tools::{EtcdRelease, expect_tool};
use crate::scratch::{Etcdrx, Output, Server, process, program};
use crate::setup::Workplace;

/// How long one playbook may take.
const LIMIT: Duration = Duration::from_mins(10);
/// What a machine has of its own; the rest it shares with this one, and nobody writes there.
const OWN: [&str; 4] = ["etc", "var", "usr/local", "run"];

/// The machines, and where Ansible is run from. Dropped, everything on them ends.
pub(crate) struct Machines {
    servers: Vec<Server>,
    network: Network,
    release: EtcdRelease,
    workplace: Workplace,
}

impl Machines {
    /// Three machines with nothing on them; `None` where machines cannot be had.
    pub(crate) fn bare(release: &EtcdRelease) -> Option<Machines> {
        let network = Network::begin(3);
        if !network.has_cables() || !geteuid().is_root() {
            return None;
        }
        let mut machines = Machines {
            servers: Vec::new(),
            network,
            release: release.clone(),
            workplace: Workplace::new(),
        };
        hosts_ssh::make_key(&machines.path("user"));
        let mut known = String::new();
        for host in 0..3 {
            machines.furnish(host);
            known +=
                &hosts_ssh::known_host(&machines.network.address(host), &machines.folder(host));
        }
        fs::write(machines.path("known_hosts"), known).unwrap();
        let client = hosts_ssh::client_config(&machines.path(""));
        fs::write(machines.path("ssh_config"), client).unwrap();
        fs::write(machines.path("inventory.yml"), machines.inventory()).unwrap();
        if !machines.has_own_folders() {
            return None;
        }
        for host in 0..3 {
            let server = machines.start_sshd(host);
            machines.servers.push(server);
        }
        Some(machines)
    }

    /// A path where Ansible is run from.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.workplace.path(name)
    }

    /// A path as a machine sees it, `etc/etcd/etcd.yml`; only what is its own can be found so.
    pub(crate) fn on(&self, host: usize, path: &str) -> PathBuf {
        self.folder(host).join("own").join(path)
    }

    /// Where clients reach a member.
    pub(crate) fn client_url(&self, host: usize) -> String {
        format!("https://{}:2379", self.network.address(host))
    }

    /// Runs a playbook.
    pub(crate) fn play(&self, words: &[&str]) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/ansible");
        let mut command = ansible("ansible-playbook", &self.path(""));
        command.current_dir(folder);
        command.arg("--inventory").arg(self.path("inventory.yml"));
        command.args(words);
        program::run(command, LIMIT)
    }

    /// Types a command on a machine.
    pub(crate) fn type_on(&self, host: usize, line: &str) -> Output {
        let mut command = process::command(&process::find_program("ssh").unwrap());
        command.arg("-F").arg(self.path("ssh_config"));
        command.args(["-p", &SSH_PORT.to_string()]);
        command.args([&self.network.address(host), line]);
        program::run(command, Duration::from_mins(1))
    }

    /// The program as it runs where Ansible does.
    pub(crate) fn etcdrx(&self) -> Etcdrx {
        Etcdrx::new(light_program()).directory(&self.path(""))
    }

    /// What systemd was asked for on a machine, one line for each time.
    pub(crate) fn asked(&self, host: usize) -> String {
        fs::read_to_string(self.folder(host).join("bin/root/asked")).unwrap()
    }

    /// Asks the cluster as its root.
    pub(crate) fn etcdctl(&self, words: &[&str]) -> Output {
        let mut command = process::command(&self.release.etcdctl());
        let urls: Vec<String> = (0..3).map(|host| self.client_url(host)).collect();
        command.env("ETCDCTL_API", "3");
        command.arg(format!("--endpoints={}", urls.join(",")));
        for (flag, file) in [
            ("cacert", "ca.crt"),
            ("cert", "clients/root.crt"),
            ("key", "clients/root.key"),
        ] {
            command.arg(format!(
                "--{flag}={}",
                self.path("pki").join(file).display()
            ));
        }
        command.args(words);
        program::run(command, Duration::from_secs(30)).success()
    }

    fn folder(&self, host: usize) -> PathBuf {
        self.path(&member(host))
    }

    fn furnish(&self, host: usize) {
        let folder = self.folder(host);
        for name in ["home/.cache/etcdrx", "bin/root"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for name in OWN {
            fs::create_dir_all(folder.join("own").join(name)).unwrap();
            fs::create_dir_all(folder.join("work").join(name)).unwrap();
        }
        hosts_ssh::make_key(&folder.join("host_key"));
        let user = self.path("user.pub");
        let sshd = hosts_ssh::server_config(&self.network.address(host), &folder, &user);
        fs::write(folder.join("sshd_config"), sshd).unwrap();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node_stand_ins/systemctl");
        fs::copy(script, folder.join("bin/systemctl")).unwrap();
        symlink("systemctl", folder.join("bin/journalctl")).unwrap();
        // Units and drop-ins lie where systemd would look for them on this machine.
        for name in ["etc", "run", "usr"] {
            symlink(
                Path::new("/").join(name),
                folder.join("bin/root").join(name),
            )
            .unwrap();
        }
        place_program(&folder.join("home"));
        let own = OWN.iter().fold(String::from("set -e\n"), |mut lines, name| {
            let of = |kind: &str| folder.join(kind).join(name).display().to_string();
            let (upper, work) = (of("own"), of("work"));
            writeln!(lines, "mount -t overlay overlay -o 'lowerdir=/{name},upperdir={upper},workdir={work}' /{name}").unwrap();
            lines
        });
        let head = format!("#!/bin/sh\n{own}mkdir -p /run/sshd /run/systemd/system\n");
        write_script(&folder.join("enter"), &(head + "exec \"$@\"\n"));
    }

    /// Whether folders can be laid over those of this machine.
    fn has_own_folders(&self) -> bool {
        let mut command = self.network.on(0, &self.folder(0).join("enter"));
        command.arg("true");
        program::run(command, LIMIT).code == 0
    }

    fn start_sshd(&self, host: usize) -> Server {
        let folder = self.folder(host);
        let mut command = self.network.on(host, &folder.join("enter"));
        command.arg(expect_tool("sshd")).args(["-D", "-e", "-f"]);
        command.arg(folder.join("sshd_config"));
        let name = format!("sshd of {}", member(host));
        let server = Server::start(&name, command, &folder.join("sshd.log"));
        let address = format!("{}:{SSH_PORT}", self.network.address(host));
        server.wait_for_port(address.parse().unwrap(), Duration::from_secs(10));
        server
    }

    /// What a site would write down: nothing but its machines, its programs, and where backups go.
    fn inventory(&self) -> String {
        let mut text = format!(
            "all:\n  vars:\n    ansible_port: {SSH_PORT}\n    ansible_become: false\n    ansible_python_interpreter: {}\n    \
             ansible_ssh_common_args: -F {config}\n    cluster_ssh_config: {config}\n    cluster_name: site\n    \
             cluster_etcdrx: {}\netcd:\n  hosts:\n",
            python(),
            light_program().display(),
            config = self.path("ssh_config").display(),
        );
        for host in 0..3 {
            let (name, address) = (member(host), self.network.address(host));
            writeln!(text, "    {name}: {{ansible_host: {address}}}").unwrap();
        }
        let programs = self.release.etcd();
        write!(
            text,
            "  vars:\n    etcd_programs: {}\n    etcd_program_names: [etcd, etcdctl]\netcdrx:\n  hosts:\n    {}:\n  vars:\n    \
             etcdrx_directories: [/var/backups/etcd]\n    etcdrx_settings:\n      repository: {{url: 'file:///var/backups/etcd'}}\n      \
             retention: {{keep_last: 3}}\n      schedule: {{backup: '0 4 1 1 *', jitter: 5m}}\n",
            programs.parent().unwrap().display(),
            member(0),
        )
        .unwrap();
        text
    }
}

/// A program of Ansible's, which keeps what it keeps in `home`.
pub(crate) fn ansible(name: &str, home: &Path) -> std::process::Command {
    let mut command = process::command(&expect_tool("ansible").with_file_name(name));
    command.env("HOME", home).env("LC_ALL", "C.UTF-8");
    command
}

/// The Python that modules run on: no shim of a version manager.
fn python() -> String {
    let mut command = process::command(&process::find_program("python3").unwrap());
    command.args(["-c", "import sys; print(sys.executable)"]);
    let output = program::run(command, Duration::from_secs(30)).success();
    output.stdout.trim().to_owned()
}
