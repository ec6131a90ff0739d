//! etcd as a static pod. No kubelet runs here: `node_stand_ins/kubelet` stands in for it, with a real manifest and a real etcd.

use std::fs;
use std::path::{Path, PathBuf};

use etcdrx::config::{Service, Settings};
use etcdrx::node::{Action, Answer, Running};

use crate::node_setup::{Node, RUN};
use crate::scratch::process::{self, Server};
use crate::scratch::tools;
use crate::setup::assert_ends;

/// As kubeadm writes it, with what this test's etcd needs.
fn manifest(node: &Node) -> String {
    let (client, peer) = (node.client_url(), node.peer_url());
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/etcd.advertise-client-urls: {client}
  labels:
    component: etcd
    tier: control-plane
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - {etcd}
    - --advertise-client-urls={client}
    - --data-dir={data}
    - --force-new-cluster
    - --initial-advertise-peer-urls={peer}
    - --initial-cluster=m1={peer}  # by hand
    - --listen-client-urls={client}
    - --listen-peer-urls={peer}
    - --name=m1
    image: registry.k8s.io/etcd:3.6.4-0
    name: etcd
  hostNetwork: true
status: {{}}
",
        etcd = tools::newest_etcd().etcd().display(),
        data = node.directories.data_dir.display()
    )
}

struct Pod {
    node: Node,
    manifest: PathBuf,
    kubelet: Server,
}

impl Pod {
    fn start() -> Pod {
        let node = Node::of(&tools::newest_etcd());
        let folder = node.workplace.path("manifests");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("etcd.yaml");
        fs::write(&path, manifest(&node)).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node_stand_ins/kubelet");
        let python = process::find_program("python3").unwrap();
        let mut command = process::command(&python);
        command
            .arg(script)
            .arg(&folder)
            .arg(node.workplace.path("etcd.log"));
        let log = node.workplace.path("kubelet.log");
        Pod {
            kubelet: Server::start("kubelet", command, &log),
            node,
            manifest: path,
        }
    }

    fn service(&self) -> Service {
        Service::StaticPod {
            manifest: self.manifest.clone(),
        }
    }

    fn stop(&self) -> Action {
        Action::Stop {
            service: self.service(),
            directories: self.node.directories.clone(),
            kill: false,
            run: RUN.to_owned(),
        }
    }

    fn begin(&self) -> Action {
        Action::Start {
            service: self.service(),
            run: RUN.to_owned(),
        }
    }
}

#[tokio::test]
async fn a_pod_is_stopped_edited_and_started_and_no_second_one_is_ever_seen() {
    let pod = Pod::start();
    let node = &pod.node;
    node.client().await.put("key", "kept", None).await.unwrap();
    let settings = Settings::Manifest {
        path: pod.manifest.clone(),
    };
    let configure = |state: &str| Action::Configure {
        settings: settings.clone(),
        initial_cluster: format!("m1={},m2=http://127.0.0.1:9", node.peer_url()),
        state: state.to_owned(),
        token: None,
        run: RUN.to_owned(),
    };
    let inspect = Action::Inspect {
        directories: node.directories.clone(),
        service: Some(pod.service()),
        settings: Some(settings.clone()),
        quick: true,
    };
    let inspected = || match node.answer(&inspect) {
        Answer::Inspected(inspected) => *inspected,
        other => panic!("{other:?}"),
    };
    let running = inspected();

    assert!(node.changed(&pod.stop()) && !node.changed(&pod.stop()));
    assert!(!pod.manifest.exists());
    let stopped = inspected();
    assert!(node.changed(&configure("existing")) && !node.changed(&configure("existing")));
    assert!(node.changed(&pod.begin()) && !node.changed(&pod.begin()));

    assert_eq!(node.value().await, "kept");
    assert_eq!(running.process.running, Running::Running);
    assert!(running.process.force_new_cluster.len() == 2, "{running:?}");
    assert_eq!(stopped.process.running, Running::Stopped);
    assert_eq!(stopped.process.force_new_cluster.len(), 1);
    let text = fs::read_to_string(&pod.manifest).unwrap();
    let expected = manifest(node)
        .replace("    - --force-new-cluster\n", "")
        .replace("  # by hand", ",m2=http://127.0.0.1:9 # by hand")
        .replace(
            "--name=m1\n",
            "--name=m1\n    - --initial-cluster-state=existing\n",
        );
    assert_eq!(text, expected);
    // Edited where the kubelet looks, it is the same pod all the time.
    assert!(node.changed(&configure("new")));
    assert_eq!(
        pod.kubelet.log().matches("pod ").count(),
        1,
        "{}",
        pod.kubelet.log()
    );
    let copy = node
        .workplace
        .path(&format!("manifests.etcdrx-{RUN}/etcd.yaml.before"));
    assert_eq!(fs::read_to_string(copy).unwrap(), manifest(node));
}

#[tokio::test]
async fn a_manifest_that_is_nowhere_is_named() {
    let node = Node::of(&tools::newest_etcd());
    let absent = Action::Start {
        service: Service::StaticPod {
            manifest: node.workplace.path("elsewhere/etcd.yaml"),
        },
        run: RUN.to_owned(),
    };
    assert_ends(&node.run(&absent), 2, &["there is no manifest"]);
}
