//! etcd as a unit. No systemd runs here: `node_stand_ins/systemctl` stands in for it, with real units and a real etcd.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use etcdrx::config::{Service, Settings};
use etcdrx::node::{Action, Answer, Running};

use crate::node_setup::{Node, RUN};
use crate::scratch::tools;
use crate::setup::assert_ends;

const UNIT: &str = "etcd.service";

/// A node whose etcd is a unit.
struct Unit {
    node: Node,
    root: PathBuf,
}

impl Unit {
    /// With the unit's file below `place`, and more lines for it.
    fn below(place: &str, command: &str, more: &str) -> Unit {
        let mut node = Node::of(&tools::newest_etcd());
        let folder = node.workplace.path("stand-in");
        let root = folder.join("root");
        fs::create_dir_all(root.join(place)).unwrap();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node_stand_ins/systemctl");
        fs::copy(script, folder.join("systemctl")).unwrap();
        symlink("systemctl", folder.join("journalctl")).unwrap();
        node.put_first(&folder);
        node.log = root.join("etcd.service.log");
        let etcd = tools::newest_etcd().etcd();
        let text = format!(
            "# As a package brings it.\n[Unit]\nDescription=etcd\n\n[Service]\nType=notify\n{more}\
             ExecStart={} {command}\nRestart=always\n",
            etcd.display()
        );
        let text = text.replace("CONFIG", node.config().to_str().unwrap());
        fs::write(root.join(place).join(UNIT), text).unwrap();
        Unit { node, root }
    }

    fn service() -> Service {
        Service::Systemd {
            unit: UNIT.to_owned(),
        }
    }

    fn stop(&self) -> Action {
        Action::Stop {
            service: Self::service(),
            directories: self.node.directories.clone(),
            kill: false,
            run: RUN.to_owned(),
        }
    }

    fn start() -> Action {
        Action::Start {
            service: Self::service(),
            run: RUN.to_owned(),
        }
    }

    /// What a colleague, or the machine's own automation, would do.
    fn systemctl_start(&self) -> bool {
        let program = self.root.parent().unwrap().join("systemctl");
        let output = std::process::Command::new(program)
            .args(["start", UNIT])
            .output();
        output.unwrap().status.success()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let program = self.root.parent().unwrap().join("systemctl");
        let stop = std::process::Command::new(program)
            .args(["stop", "--no-block", UNIT])
            .status();
        let _ = stop;
        let pid = fs::read_to_string(self.root.join("etcd.service.pid"));
        if let Some(pid) = pid.ok().and_then(|text| text.trim().parse().ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// A mask below /run would hide a unit that a package brought, and not one that an administrator wrote below /etc.
#[tokio::test]
async fn a_stopped_unit_stays_stopped_wherever_its_file_lies() {
    for place in ["usr/lib/systemd/system", "etc/systemd/system"] {
        let unit = Unit::below(place, "--config-file CONFIG", "");
        assert!(unit.node.changed(&Unit::start()), "{place}");
        assert!(!unit.node.changed(&Unit::start()), "it runs");
        unit.node
            .client()
            .await
            .put("key", "kept", None)
            .await
            .unwrap();

        assert!(unit.node.changed(&unit.stop()));
        assert!(!unit.node.changed(&unit.stop()), "it is stopped");
        assert!(!unit.systemctl_start(), "nobody else starts it: {place}");
        assert!(unit.node.changed(&unit.node.set_aside()));
        assert!(unit.node.changed(&unit.node.put_back()));

        assert!(unit.node.changed(&Unit::start()));
        assert_eq!(unit.node.value().await, "kept");
        let asked = fs::read_to_string(unit.root.join("asked")).unwrap();
        assert!(asked.contains("start --no-block etcd.service"), "{asked}");
    }
}

#[tokio::test]
async fn a_unit_tells_its_process_its_flags_and_its_log() {
    let unit = Unit::below("usr/lib/systemd/system", "--config-file=CONFIG", "");
    unit.node.changed(&Unit::start());
    unit.node.client().await;
    let inspect = Action::Inspect {
        directories: unit.node.directories.clone(),
        service: Some(Unit::service()),
        settings: Some(Settings::Unit {
            unit: UNIT.to_owned(),
        }),
        quick: true,
    };
    let inspected = || match unit.node.answer(&inspect) {
        Answer::Inspected(inspected) => *inspected,
        other => panic!("{other:?}"),
    };
    let running = inspected();
    unit.node.changed(&unit.stop());
    let stopped = inspected();

    assert_eq!(running.process.running, Running::Running);
    assert_eq!(
        running.flags["name"], "m1",
        "by the file that the unit names"
    );
    assert_eq!(running.process.log.len(), 20);
    assert_eq!(stopped.process.running, Running::Stopped);
    assert_eq!(stopped.flags, running.flags);
    assert_eq!(stopped.process.etcd, running.process.etcd);
    assert_eq!(stopped.process.version, running.process.version);
    // etcd ends by the signal that it was asked by.
    assert_eq!(stopped.process.exit_code, Some(128 + 15));
    let unknown = Action::Start {
        service: Service::Systemd {
            unit: "etdc".to_owned(),
        },
        run: RUN.to_owned(),
    };
    assert_ends(&unit.node.run(&unknown), 2, &["systemd knows no unit etdc"]);
}

/// etcd ends at once on a directory that it may not write to.
#[test]
fn a_lost_directory_comes_back_as_that_of_the_user_of_the_unit() {
    if !nix::unistd::geteuid().is_root() {
        return tools::skip(&tools::function_name!(), "root");
    }
    let unit = Unit::below(
        "usr/lib/systemd/system",
        "--config-file CONFIG",
        "User=1001\n",
    );

    assert!(unit.node.changed(&unit.stop()));
    assert!(!unit.node.changed(&unit.stop()), "a second time");

    let made = fs::metadata(&unit.node.directories.data_dir).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (1001, 0o700));
}

/// A drop-in beats the unit and its file of variables; the unit's own file stays as the package brought it.
#[tokio::test]
async fn the_members_get_into_a_unit_by_a_drop_in() {
    let environment = "EnvironmentFile=-FILE\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n";
    let unit = Unit::below(
        "usr/lib/systemd/system",
        "--name=m1 \\\n  --data-dir DATA --initial-cluster-state new",
        environment,
    );
    let file = unit.root.join("usr/lib/systemd/system").join(UNIT);
    let variables = unit.root.join("default");
    let data = unit.node.directories.data_dir.display().to_string();
    let text = fs::read_to_string(&file).unwrap();
    let text = text
        .replace("FILE", variables.to_str().unwrap())
        .replace("DATA", &data);
    fs::write(&file, &text).unwrap();
    let urls = format!(
        "ETCD_LISTEN_CLIENT_URLS={0}\nETCD_ADVERTISE_CLIENT_URLS={0}\nETCD_LISTEN_PEER_URLS={1}\n\
         ETCD_INITIAL_ADVERTISE_PEER_URLS={1}\nETCD_INITIAL_CLUSTER=m1=http://old:2380\n",
        unit.node.client_url(),
        unit.node.peer_url()
    );
    fs::write(&variables, urls).unwrap();
    let configure = Action::Configure {
        settings: Settings::Unit {
            unit: UNIT.to_owned(),
        },
        initial_cluster: format!("m1={}", unit.node.peer_url()),
        state: "new".to_owned(),
        token: Some("a-token".to_owned()),
        run: RUN.to_owned(),
    };

    let Answer::Done { changed, evidence } = unit.node.answer(&configure) else {
        panic!("no answer");
    };
    assert!(changed && !unit.node.changed(&configure));
    assert!(
        evidence
            .iter()
            .any(|line| line.contains("force-new-cluster is off now")),
        "{evidence:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert!(unit.node.changed(&Unit::start()));
    unit.node.client().await;
    let log = fs::read_to_string(unit.root.join("etcd.service.log")).unwrap();
    assert!(
        log.contains("\"initial-cluster-token\":\"a-token\""),
        "{log}"
    );
    assert!(log.contains("\"force-new-cluster\":false"), "{log}");
}
