//! A real sshd on loopback, with keys of its own, for one test.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use etcdrx::config;
use etcdrx::host::Host;

use crate::scratch::process::{self, Server};
use crate::scratch::tools::expect_tool;
use crate::scratch::{ports, program};
use crate::setup::Workplace;

/// A node behind ssh: this machine, with another home.
pub(crate) struct Remote {
    pub(crate) workplace: Workplace,
    port: u16,
    server: Server,
}

impl Remote {
    /// Starts sshd; programs of the folder `bin` in the workplace are found first there.
    pub(crate) fn start() -> Remote {
        let workplace = Workplace::new();
        let port = ports::free_port();
        for folder in ["home", "bin"] {
            fs::create_dir(workplace.path(folder)).unwrap();
        }
        for name in ["host", "user", "stranger"] {
            let keygen = process::find_program("ssh-keygen").unwrap();
            let mut command = process::command(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            command.arg(workplace.path(name));
            program::run(command, Duration::from_secs(30)).success();
        }
        let path = |name: &str| workplace.path(name).display().to_string();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nAuthorizedKeysFile {}\nSetEnv HOME={} PATH={}:{}\n",
            path("host"),
            path("user.pub"),
            path("home"),
            path("bin"),
            std::env::var("PATH").unwrap()
        );
        fs::write(workplace.path("sshd_config"), server).unwrap();
        let remote = Remote {
            server: start_server(&workplace),
            workplace,
            port,
        };
        remote.trust("host.pub");
        remote.identify("user");
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            // What belongs to us needs nobody else.
            remote.stand_in("sudo", "shift; test \"$1\" = -- && shift; exec \"$@\"");
        }
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        remote
            .server
            .wait_for_port(address, Duration::from_secs(10));
        remote
    }

    /// Lets the client know this key as that of the host.
    pub(crate) fn trust(&self, name: &str) {
        let key = fs::read_to_string(self.workplace.path(name)).unwrap();
        let line = format!("[127.0.0.1]:{} {key}", self.port);
        fs::write(self.workplace.path("known_hosts"), line).unwrap();
    }

    /// Lets the client show this key.
    pub(crate) fn identify(&self, name: &str) {
        let path = |name: &str| self.workplace.path(name).display().to_string();
        let client = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n\
             StrictHostKeyChecking yes\n",
            path(name),
            path("known_hosts")
        );
        fs::write(self.workplace.path("ssh_config"), client).unwrap();
    }

    /// The way there, for a member whose data lies in `data_dir`.
    pub(crate) fn host(&self, data_dir: &Path) -> Host {
        let node = config::Node {
            name: "m1".to_owned(),
            reach: format!("ssh://127.0.0.1:{}", self.port).parse().unwrap(),
            data_dir: Some(data_dir.to_owned()),
            ssh_config: Some(self.workplace.path("ssh_config")),
            ..config::Node::default()
        };
        let host = Host::of(&node).unwrap();
        host.with_program(Path::new(env!("CARGO_BIN_EXE_etcdrx")))
    }

    /// Writes a program that is found on the node before the real one.
    pub(crate) fn stand_in(&self, name: &str, script: &str) {
        let path = self.workplace.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// What etcdrx put on the node.
    pub(crate) fn installed(&self) -> Vec<PathBuf> {
        let folder = self.workplace.path("home/.cache/etcdrx");
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// How many connections were let in.
    pub(crate) fn connections(&self) -> usize {
        self.server.log().matches("Accepted publickey").count()
    }

    /// Ends the server and all its connections, as when the node goes away.
    pub(crate) fn vanish(&self) {
        self.server.kill();
    }
}

fn start_server(workplace: &Workplace) -> Server {
    // Where root's sshd locks itself in before it knows who is there; it does not start without.
    let _ = fs::create_dir_all("/run/sshd");
    let mut command: Command = process::command(&expect_tool("sshd"));
    command.args(["-D", "-e", "-f"]);
    command.arg(workplace.path("sshd_config"));
    Server::start("sshd", command, &workplace.path("sshd.log"))
}
