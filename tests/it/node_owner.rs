//! Whom things belong to on a node: a data directory that is made anew, settings that are edited.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use etcdrx::config::{Service, Settings};
use etcdrx::node::Action;
use nix::unistd::geteuid;

use crate::node_setup::{Node, RUN};
use crate::scratch::process::find_program;
use crate::scratch::tools::{self, function_name};

/// A user that is no user of this machine, as that of a pod is.
const USER: u32 = 1001;

/// Whether files can be given away here; only root can.
fn is_root(test: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        tools::skip(test, "root");
    }
    is_root
}

fn owner_and_mode(path: &Path) -> (u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.mode() & 0o777)
}

/// Everything below a directory that is not the user's.
fn foreign(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let below = if path.is_dir() {
                foreign(&path)
            } else {
                Vec::new()
            };
            let own = (owner_and_mode(&path).0 != USER).then(|| path.display().to_string());
            below.into_iter().chain(own)
        })
        .collect()
}

/// etcd ends at once on a directory that it may not write to.
#[tokio::test]
async fn a_lost_directory_comes_back_as_that_of_the_user_who_runs_etcd() {
    if !is_root(&function_name!()) {
        return;
    }
    let Some(setpriv) = find_program("setpriv") else {
        return tools::skip(&function_name!(), "setpriv");
    };
    let node = Node::of(&tools::newest_etcd());
    chown(node.workplace.path(""), Some(USER), Some(USER)).unwrap();
    // Where its own lies, not everybody may look.
    let (etcd, copy) = (tools::newest_etcd().etcd(), node.workplace.path("etcd"));
    fs::copy(&etcd, &copy).unwrap();
    let start = node.workplace.path("start");
    let as_user = format!(
        "{} --reuid {USER} --regid {USER} --clear-groups {}",
        setpriv.display(),
        copy.display()
    );
    let text = fs::read_to_string(&start).unwrap();
    fs::write(&start, text.replace(etcd.to_str().unwrap(), &as_user)).unwrap();
    let snapshot = node.begin().await;
    let data = &node.directories.data_dir;

    assert!(node.changed(&node.stop(true)));
    fs::remove_dir_all(data).unwrap();
    for action in [
        node.stage(&snapshot),
        node.stop(true),
        node.set_aside(),
        node.place(),
        node.start(),
    ] {
        node.changed(&action);
    }

    assert_eq!(node.value().await, "in the snapshot");
    assert_eq!(owner_and_mode(data), (USER, 0o700));
    assert_eq!(foreign(data), Vec::<String>::new());
}

#[test]
fn a_lost_directory_comes_back_as_that_of_the_user_of_the_pod() {
    if !is_root(&function_name!()) {
        return;
    }
    let node = Node::of(&tools::newest_etcd());
    let manifest = node.workplace.path("manifests/etcd.yaml");
    fs::create_dir(manifest.parent().unwrap()).unwrap();
    let data = &node.directories.data_dir;
    let text = format!(
        "apiVersion: v1\nkind: Pod\nspec:\n  securityContext:\n    runAsUser: {USER}\n  containers:\n  \
         - command: [etcd, --data-dir={}]\n    name: etcd\n",
        data.display()
    );
    fs::write(&manifest, text).unwrap();
    let stop = Action::Stop {
        service: Service::StaticPod { manifest },
        directories: node.directories.clone(),
        kill: true,
        run: RUN.to_owned(),
    };

    assert!(node.changed(&stop));
    assert_eq!(owner_and_mode(data), (USER, 0o700));
    assert!(!node.changed(&stop), "a second time");
    // What lies there is not given away.
    fs::create_dir(data.join("member")).unwrap();
    chown(data, Some(0), Some(0)).unwrap();
    assert!(!node.changed(&stop), "there are data");
    assert_eq!(owner_and_mode(data).0, 0);
}

#[test]
fn settings_keep_their_owner_and_mode_and_what_they_were_before_lies_beside() {
    let node = Node::of(&tools::newest_etcd());
    let variables = node.workplace.path("default");
    fs::write(
        &variables,
        "# By hand.\nETCD_NAME=m1\nETCD_INITIAL_CLUSTER=\"m1=http://127.0.0.1:9\"\nETCD_ENABLE_V2=false\n",
    )
    .unwrap();
    for (path, settings) in [
        (
            node.config(),
            Settings::ConfigFile {
                path: node.config(),
            },
        ),
        (
            variables.clone(),
            Settings::EnvironmentFile {
                path: variables.clone(),
            },
        ),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let user = if geteuid().is_root() {
            USER
        } else {
            geteuid().as_raw()
        };
        chown(&path, Some(user), None).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let configure = configure(settings);

        assert!(node.changed(&configure), "{}", path.display());
        assert!(!node.changed(&configure), "a second time");

        let copy = path.with_file_name(format!(
            "{}.etcdrx-{RUN}",
            path.file_name().unwrap().to_str().unwrap()
        ));
        assert_eq!(fs::read_to_string(&copy).unwrap(), before);
        assert_eq!(owner_and_mode(&copy), (user, 0o640));
        assert_eq!(owner_and_mode(&path), (user, 0o640));
        let after = fs::read_to_string(&path).unwrap();
        assert!(after.contains("m2=http://127.0.0.1:7"), "{after}");
        // The rest is as it was, the remarks too.
        let kept = before
            .lines()
            .filter(|line| !line.to_lowercase().contains("initial"));
        for line in kept {
            assert!(after.contains(line), "{line:?} is gone from\n{after}");
        }
    }
}

#[test]
fn settings_in_an_odd_form_are_left_to_a_person() {
    let node = Node::of(&tools::newest_etcd());
    let mut codes = Vec::new();
    for text in [
        "{name: m1, initial-cluster: 'm1=http://127.0.0.1:9'}\n",
        "name: m1\ninitial-cluster: >-\n  m1=http://127.0.0.1:9\n",
        "members: &all m1=http://127.0.0.1:9\ninitial-cluster: *all\ninitial-cluster: x\n",
    ] {
        fs::write(node.config(), text).unwrap();
        let refused = node.run(&configure(Settings::ConfigFile {
            path: node.config(),
        }));

        codes.push(refused.code);
        let after = fs::read_to_string(node.config()).unwrap();
        if refused.code == 0 {
            assert!(after.contains("m2=http"), "{after}");
        } else {
            assert!(refused.stderr.contains("etcd.conf.yml"), "{refused:?}");
            assert_eq!(after, text);
        }
    }
    assert_eq!(codes[0], 4, "{codes:?}");
}

fn configure(settings: Settings) -> Action {
    Action::Configure {
        settings,
        initial_cluster: "m1=http://127.0.0.1:9,m2=http://127.0.0.1:7".to_owned(),
        state: "existing".to_owned(),
        token: None,
        run: RUN.to_owned(),
    }
}
