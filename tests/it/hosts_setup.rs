//! Three hosts, each with an sshd and an etcd of its own, and the configuration that leads there over ssh.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, GetOptions};
use etcdrx::node::digest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use crate::hosts_network::Network;
use crate::hosts_ssh::{self, SSH_PORT};
use crate::scratch::tools::{EtcdRelease, expect_tool};
use crate::scratch::{Etcdrx, Output, Server, process, program};
use crate::setup::Workplace;

/// How long a recovery, or a wait for a member, may take in a test.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

const POLL: Duration = Duration::from_millis(50);

/// Hosts with a member each, `etcd-1` and so on. Dropped, everything on them ends.
pub(crate) struct Hosts {
    servers: Vec<Server>,
    network: Network,
    release: EtcdRelease,
    pub(crate) workplace: Workplace,
}

impl Hosts {
    /// Three hosts whose members serve.
    pub(crate) async fn of(release: &EtcdRelease) -> Hosts {
        // Where root's sshd locks itself in before it knows who is there; it does not start without.
        let _ = fs::create_dir_all("/run/sshd");
        let mut hosts = Hosts {
            servers: Vec::new(),
            network: Network::begin(3),
            release: release.clone(),
            workplace: Workplace::new(),
        };
        hosts_ssh::make_key(&hosts.workplace.path("user"));
        fs::create_dir(hosts.workplace.path("repository")).unwrap();
        for host in 0..3 {
            hosts.furnish(host);
        }
        hosts.write_client_side();
        for host in 0..3 {
            let server = hosts.start_sshd(host);
            hosts.servers.push(server);
        }
        for host in 0..3 {
            hosts.start(host);
        }
        hosts.until_all_serve().await;
        hosts
    }

    /// Whether hosts can be cut off from the others.
    pub(crate) fn has_cables(&self) -> bool {
        self.network.has_cables()
    }

    /// Cuts a host off.
    pub(crate) fn pull(&self, host: usize) {
        self.network.pull(host);
    }

    /// Ends what [`pull`](Self::pull) did.
    pub(crate) fn plug(&self, host: usize) {
        self.network.plug(host);
    }

    /// Ends a host's sshd with all its connections, and nothing else.
    pub(crate) fn stop_sshd(&self, host: usize) {
        for pid in self.sessions(host) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.servers[host].kill();
    }

    /// Starts it again.
    pub(crate) fn restart_sshd(&mut self, host: usize) {
        self.servers[host] = self.start_sshd(host);
    }

    /// The processes that serve connections to a host.
    pub(crate) fn sessions(&self, host: usize) -> Vec<i32> {
        let server = self.servers[host].pid();
        let parents = fs::read_dir("/proc").unwrap().flatten();
        let pids = parents.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| parent_of(*pid) == Some(server))
            .collect()
    }

    /// A path in a host's own folder: `data`, `log`, `etcd.yml`, `home`.
    pub(crate) fn path(&self, host: usize, name: &str) -> PathBuf {
        self.workplace.path(&format!("{}/{name}", member(host)))
    }

    /// Kills a member as a power cut would, and takes its data where `with_data`.
    pub(crate) fn lose(&self, host: usize, with_data: bool) {
        let pid = self.pid(host).expect("the member runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let deadline = Instant::now() + LIMIT;
        while self.pid(host).is_some() {
            assert!(Instant::now() < deadline, "{} does not end", member(host));
            std::thread::sleep(POLL);
        }
        if with_data {
            fs::remove_dir_all(self.path(host, "data")).unwrap();
        }
    }

    /// The process of a member that runs.
    pub(crate) fn pid(&self, host: usize) -> Option<i32> {
        let pid: i32 = fs::read_to_string(self.path(host, "pid"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let config = self.path(host, "etcd.yml").display().to_string();
        String::from_utf8_lossy(&line)
            .contains(&config)
            .then_some(pid)
    }

    /// Starts a member as its host would.
    pub(crate) fn start(&self, host: usize) {
        let mut command = self.network.on(host, &self.path(host, "start"));
        command.arg(self.path(host, "etcd.yml"));
        program::run(command, LIMIT).success();
    }

    /// A host whose member does not lead.
    pub(crate) async fn follower(&self) -> usize {
        let mut client = self.client(0).await.expect("the member answers");
        let status = client.status().await.unwrap();
        let own = status.header().map(etcd_client::ResponseHeader::member_id);
        match own == Some(status.leader()) {
            true => 1,
            false => 0,
        }
    }

    /// A member, asked directly; `None` where it does not answer a read with quorum.
    pub(crate) async fn read(&self, host: usize) -> Option<BTreeMap<String, String>> {
        let read = async {
            let mut client = self.client(host).await?;
            let options = Some(GetOptions::new().with_prefix());
            let answer = client.get("k", options).await.ok()?;
            let pairs = answer.kvs().iter().map(|pair| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(pair.key()), text(pair.value()))
            });
            Some(pairs.collect())
        };
        let read = tokio::time::timeout(Duration::from_secs(3), read).await;
        read.ok().flatten()
    }

    /// Writes `count` keys, each acknowledged, and gives them with their values.
    pub(crate) async fn write(&self, prefix: &str, count: usize) -> BTreeMap<String, String> {
        self.write_through(0, prefix, count).await
    }

    /// The same, through one member.
    pub(crate) async fn write_through(
        &self,
        host: usize,
        prefix: &str,
        count: usize,
    ) -> BTreeMap<String, String> {
        let mut client = self.client(host).await.expect("the member answers");
        let mut written = BTreeMap::new();
        for number in 0..count {
            let (key, value) = (format!("k/{prefix}/{number:04}"), format!("value {number}"));
            let put = client.put(key.as_str(), value.as_str(), None).await;
            put.unwrap();
            written.insert(key, value);
        }
        written
    }

    /// Writes that many MiB.
    pub(crate) async fn write_large(&self, count: usize) {
        let mut client = self.client(0).await.expect("the member answers");
        for number in 0..count {
            let (key, value) = (format!("large/{number}"), vec![b'x'; 1 << 20]);
            client.put(key, value, None).await.unwrap();
        }
    }

    async fn client(&self, host: usize) -> Option<Client> {
        let options = ConnectOptions::new().with_connect_timeout(Duration::from_secs(2));
        let client = Client::connect([self.url(host, 2379)], Some(options));
        client.await.ok()
    }

    /// Waits until every member reads with quorum.
    pub(crate) async fn until_all_serve(&self) {
        for host in 0..3 {
            self.until_it_serves(host).await;
        }
    }

    /// Waits until a member reads with quorum, and gives what it reads.
    pub(crate) async fn until_it_serves(&self, host: usize) -> BTreeMap<String, String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = self.read(host).await {
                return found;
            }
            let log = fs::read_to_string(self.path(host, "log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "{} does not serve:\n{log}",
                member(host)
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asserts that each of these members by itself serves all of `written`.
    pub(crate) async fn assert_hold(&self, hosts: &[usize], written: &BTreeMap<String, String>) {
        for host in hosts {
            let found = self.until_it_serves(*host).await;
            let missing: Vec<_> = written
                .iter()
                .filter(|(key, value)| found.get(*key) != Some(*value))
                .collect();
            assert!(missing.is_empty(), "{} lacks {missing:?}", member(*host));
        }
    }

    /// The program, led by a configuration that knows the hosts by ssh only.
    pub(crate) fn etcdrx(&self) -> Etcdrx {
        Etcdrx::new(light_program())
            .directory(&self.workplace.path(""))
            .env("ETCDRX_STATE_DIR", self.state())
            .limit(LIMIT)
    }

    /// Where recoveries are kept.
    pub(crate) fn state(&self) -> PathBuf {
        self.workplace.path("state")
    }

    /// A dry run.
    pub(crate) fn dry_run(&self, arguments: &[&str]) -> Output {
        let words = ["--json", "recover", "--dry-run"].iter().chain(arguments);
        self.etcdrx().run(words)
    }

    /// The words that carry out the plan that these arguments make.
    pub(crate) fn approved(&self, arguments: &[&str]) -> Vec<String> {
        let plan = self.dry_run(arguments).json();
        assert_eq!(plan["refused"], serde_json::json!([]), "{plan:#}");
        let digest = plan["digest"].as_str().unwrap();
        let words = ["--json", "recover", "--yes", "--plan", digest];
        let words = words.iter().chain(arguments);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// Recovers with what a dry run approved, and gives the last event.
    pub(crate) fn recover(&self, arguments: &[&str]) -> Value {
        let output = self.etcdrx().run(self.approved(arguments)).success();
        let last = output.json_lines().pop().unwrap();
        assert_eq!(last["event"], "recovered", "{last}");
        last
    }

    /// What `diagnose` says, and how long it took to say it.
    pub(crate) fn diagnose(&self) -> (Value, Duration) {
        let began = Instant::now();
        let output = self.etcdrx().run(["--json", "diagnose"]);
        (output.json(), began.elapsed())
    }

    /// What `diagnose` says as soon as it has seen what it should: on a machine with much else to do, a look at a host takes its time.
    pub(crate) fn diagnose_until(&self, fits: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (seen, took) = self.diagnose();
            if fits(&seen) {
                return (seen, took);
            }
            assert!(Instant::now() < deadline, "{seen:#}");
        }
    }

    /// Waits until `diagnose` finds nothing amiss, and nothing unseen.
    pub(crate) fn until_it_is_healthy(&self) {
        self.diagnose_until(|seen| seen["condition"] == "healthy");
    }

    fn url(&self, host: usize, port: u16) -> String {
        format!("http://{}:{port}", self.network.address(host))
    }

    /// Everything that lies on a host.
    fn furnish(&self, host: usize) {
        for folder in ["", "bin", "home/.cache/etcdrx"] {
            fs::create_dir_all(self.path(host, folder)).unwrap();
        }
        hosts_ssh::make_key(&self.path(host, "host_key"));
        fs::write(self.path(host, "etcd.yml"), self.etcd_config(host)).unwrap();
        for (script, text) in self.scripts(host) {
            write_script(&self.path(host, script), &text);
        }
        if !geteuid().is_root() {
            // What belongs to us needs nobody else.
            let sudo = "#!/bin/sh\nshift; test \"$1\" = -- && shift; exec \"$@\"\n";
            write_script(&self.path(host, "bin/sudo"), sudo);
        }
        place_program(&self.path(host, "home"));
        fs::write(self.path(host, "sshd_config"), self.sshd_config(host)).unwrap();
    }

    fn sshd_config(&self, host: usize) -> String {
        let folder = self.path(host, "");
        let user = self.workplace.path("user.pub");
        hosts_ssh::server_config(&self.network.address(host), &folder, &user)
    }

    fn etcd_config(&self, host: usize) -> String {
        let members = (0..3).map(|host| format!("{}={}", member(host), self.url(host, 2380)));
        let (client, peer) = (self.url(host, 2379), self.url(host, 2380));
        format!(
            "name: {}\ndata-dir: {}\nlisten-client-urls: {client}\nadvertise-client-urls: {client}\n\
             listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: {}\n\
             initial-cluster-state: new\ninitial-cluster-token: site\n{}",
            member(host),
            self.path(host, "data").display(),
            members.collect::<Vec<_>>().join(","),
            match self.release.minor() < 5 {
                true => "logger: zap\n",
                false => "unsafe-no-fsync: true\n",
            }
        )
    }

    /// What a site would write: a start that returns at once, a stop that asks, a status that looks. What is started ends with us.
    fn scripts(&self, host: usize) -> [(&'static str, String); 3] {
        let folder = self.path(host, "").display().to_string();
        let config = self.path(host, "etcd.yml").display().to_string();
        let head = format!(
            "#!/bin/sh\ncd '{folder}' || exit 1\n\
             runs() {{ grep -qsF '{config}' \"/proc/$1/cmdline\"; }}\npid=$(cat pid 2>/dev/null || echo none)\n"
        );
        let start = format!(
            "runs \"$pid\" && exit 0\n{} --config-file \"$1\" >>log 2>&1 </dev/null &\npid=$!\necho $pid >pid\n\
             (while runs $pid; do kill -0 {} 2>/dev/null || kill -9 $pid; sleep 1; done) >/dev/null 2>&1 </dev/null &\n",
            self.release.etcd().display(),
            std::process::id()
        );
        let stop = "runs \"$pid\" && kill $pid\nexit 0\n".to_owned();
        let status = "runs \"$pid\" && exit 0\nexit 3\n".to_owned();
        [("start", start), ("stop", stop), ("status", status)]
            .map(|(name, text)| (name, head.clone() + &text))
    }

    /// What the machine has that etcdrx runs on.
    fn write_client_side(&self) {
        let path = |name: &str| self.workplace.path(name).display().to_string();
        let endpoints: Vec<String> = (0..3).map(|host| self.url(host, 2379)).collect();
        let mut known = String::new();
        let mut toml = format!(
            "[cluster]\nname = \"site\"\nendpoints = {endpoints:?}\n\n[repository]\nurl = \"file://{}\"\n",
            path("repository")
        );
        for host in 0..3 {
            let address = self.network.address(host);
            known += &hosts_ssh::known_host(&address, &self.path(host, ""));
            let file = |name: &str| self.path(host, name).display().to_string();
            write!(
                toml,
                "\n[[node]]\nname = {:?}\nreach = \"ssh://{address}:{SSH_PORT}\"\nssh_config = {:?}\npeer_url = {:?}\n\
                 client_url = {:?}\ndata_dir = {:?}\nconfig_file = {:?}\nservice = \"command\"\n\
                 start = [{:?}, \"{{config}}\"]\nstop = [{:?}]\nstatus = [{:?}]\netcd = {:?}\n",
                member(host),
                path("ssh_config"),
                self.url(host, 2380),
                self.url(host, 2379),
                file("data"),
                file("etcd.yml"),
                file("start"),
                file("stop"),
                file("status"),
                self.release.etcd().display().to_string(),
            )
            .unwrap();
        }
        fs::write(path("known_hosts"), known).unwrap();
        let client = hosts_ssh::client_config(&self.workplace.path(""));
        fs::write(path("ssh_config"), client).unwrap();
        fs::write(path("etcdrx.toml"), toml).unwrap();
    }

    fn start_sshd(&self, host: usize) -> Server {
        let mut command = self.network.on(host, &expect_tool("sshd"));
        command.args(["-D", "-e", "-f"]);
        command.arg(self.path(host, "sshd_config"));
        let name = format!("sshd of {}", member(host));
        let server = Server::start(&name, command, &self.path(host, "sshd.log"));
        let address = format!("{}:{SSH_PORT}", self.network.address(host));
        server.wait_for_port(address.parse().unwrap(), Duration::from_secs(10));
        server
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 0..self.servers.len() {
            if let Some(pid) = self.pid(host) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// What a host's member is called.
pub(crate) fn member(host: usize) -> String {
    format!("etcd-{}", host + 1)
}

/// The program as it ships, without what a debugger reads: every look at a host reads all of it there.
pub(crate) fn light_program() -> &'static Path {
    static LIGHT: LazyLock<PathBuf> = LazyLock::new(|| {
        let full = Path::new(env!("CARGO_BIN_EXE_etcdrx"));
        let Some(strip) = process::find_program("strip") else {
            return full.to_owned();
        };
        let light = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcdrx-light");
        let part = light.with_extension(std::process::id().to_string());
        let mut command = process::command(&strip);
        command.arg("-o").arg(&part).arg(full);
        program::run(command, LIMIT).success();
        fs::rename(&part, &light).unwrap();
        light
    });
    &LIGHT
}

/// Puts the program where a recovery puts it, as after the first one: what tests run is large, and need not be sent to every host.
pub(crate) fn place_program(home: &Path) {
    let sha256 = digest(light_program()).unwrap().to_string();
    let there = home.join(format!(".cache/etcdrx/etcdrx-{}", &sha256[..16]));
    let linked = fs::hard_link(light_program(), &there);
    linked
        .or_else(|_| fs::copy(light_program(), &there).map(drop))
        .unwrap();
}

pub(crate) fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn parent_of(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}
