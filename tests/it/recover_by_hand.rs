//! Nodes that nobody but a person gets to: every line that is shown is typed, as it is, into a shell.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use chrono::Utc;
use etcdrx::config::{Config, Layers};
use etcdrx::progress::Silent;
use etcdrx::recovery::Scenario;
use etcdrx::recovery::choices::Choices;
use etcdrx::recovery::copies::Copies;
use etcdrx::recovery::execute::{self, Operator};
use etcdrx::recovery::look::look_settled;
use etcdrx::recovery::observe::PATIENT_LIMIT;
use etcdrx::recovery::plan::{Plan, Situation, plan};
use etcdrx::recovery::playbook::{Playbook, Way};
use etcdrx::recovery::report::Recovered;
use tokio_util::sync::CancellationToken;

use crate::recover_setup::Scene;
use crate::scratch::tools;

/// A person who types what is shown, up to the first line that holds `until`.
#[derive(Default)]
struct Typist {
    until: Option<&'static str>,
    typed: Mutex<Vec<(String, String)>>,
}

impl Operator for Typist {
    fn confirm(&self, _: &str) -> bool {
        true
    }

    fn by_hand(&self, node: &str, command: &str) -> bool {
        if self.until.is_some_and(|word| command.contains(word)) {
            return false;
        }
        let line = (node.to_owned(), command.to_owned());
        self.typed.lock().unwrap().push(line);
        let program = Path::new(env!("CARGO_BIN_EXE_etcdrx"));
        let folder = program.parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env_clear();
        shell.env("PATH", format!("{folder}:/usr/sbin:/usr/bin:/sbin:/bin"));
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        shell.status().unwrap().success()
    }
}

impl Typist {
    /// What was typed on a node: the names of the actions.
    fn typed_on(&self, name: &str) -> Vec<String> {
        let typed = self.typed.lock().unwrap();
        let on_node = typed.iter().filter(|(node, _)| node == name);
        let action = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[..2], ["etcdrx", "node"], "{line}");
            words[2].to_owned()
        };
        on_node.map(|(_, line)| action(line)).collect()
    }
}

/// The site's configuration, with these nodes out of every program's reach.
fn by_hand(scene: &Scene, nodes: &[usize]) -> Config {
    let path = scene.site.directory().join("etcdrx.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let layers = Layers::default().file(&text, "etcdrx.toml").unwrap();
    let mut config = layers.finish().unwrap();
    for index in nodes {
        config.nodes[*index].reach = "manual".parse().unwrap();
    }
    config
}

async fn planned(scene: &Scene, config: &Config, choices: &Choices) -> Plan {
    let observation = look_settled(config, scene.site.access(), Utc::now, PATIENT_LIMIT).await;
    let plan = plan(&Situation {
        observation: &observation,
        nodes: &config.nodes,
        choices,
        playbook: &Playbook::embedded(choices.scenario),
    });
    assert_eq!(plan.refused, [""; 0]);
    plan
}

/// What a recovery is carried out with.
struct Desk<'a> {
    scene: &'a Scene,
    config: &'a Config,
    typist: &'a Typist,
}

impl Desk<'_> {
    async fn recover(&self, choices: &Choices, plan: &Plan) -> Result<Recovered, execute::Error> {
        self.carry_out(Ok((choices, plan))).await
    }

    async fn resume(&self, run: &str) -> Result<Recovered, execute::Error> {
        self.carry_out(Err(run)).await
    }

    async fn carry_out(
        &self,
        work: Result<(&Choices, &Plan), &str>,
    ) -> Result<Recovered, execute::Error> {
        let request = execute::Request {
            cluster: &self.config.cluster.folder().unwrap(),
            nodes: &self.config.nodes,
            access: self.scene.site.access(),
            backups: &Copies::default(),
            state_dir: &self.scene.state(),
            operator: self.typist,
            progress: &Silent,
            now: Utc::now,
            interrupt: &CancellationToken::new(),
        };
        match work {
            Ok((choices, plan)) => execute::recover(&request, choices, plan).await,
            Err(run) => execute::resume(&request, run).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_types_replaces_a_follower_and_rebuilds_a_majority() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 30).await;

    // One node of three.
    scene.lose(&[2], true).await;
    let config = by_hand(&scene, &[2]);
    let choices = Choices::of(Scenario::Follower);
    let plan = planned(&scene, &config, &choices).await;
    assert_eq!(plan.way, Some(Way::Replace));
    let typist = Typist::default();
    let desk = Desk {
        scene: &scene,
        config: &config,
        typist: &typist,
    };
    let replaced = desk.recover(&choices, &plan).await.unwrap();
    assert_well(&replaced);
    let actions = ["stop", "set-aside", "configure", "start"];
    assert_eq!(typist.typed_on("m3"), actions);
    assert_eq!(typist.typed.lock().unwrap().len(), actions.len());
    scene.assert_holds(&written).await;

    // All nodes; and somebody who goes home in the middle of it.
    scene.lose(&[0, 1], true).await;
    let config = by_hand(&scene, &[0, 1, 2]);
    let choices = Choices::of(Scenario::Majority);
    let plan = planned(&scene, &config, &choices).await;
    assert_eq!(plan.way, Some(Way::Live));
    let tired = Typist {
        until: Some("node place"),
        ..Typist::default()
    };
    let desk = Desk {
        scene: &scene,
        config: &config,
        typist: &tired,
    };
    let Err(execute::Error::Step { run, .. }) = desk.recover(&choices, &plan).await else {
        panic!("nobody placed anything");
    };
    let rested = Typist::default();
    let desk = Desk {
        typist: &rested,
        ..desk
    };
    let rebuilt = desk.resume(&run).await.unwrap();
    assert_well(&rebuilt);
    for name in ["m1", "m2", "m3"] {
        assert_eq!(
            tired.typed_on(name),
            ["receive", "stage", "stop", "set-aside"]
        );
        // What was said to be done is not asked for again.
        assert_eq!(
            rested.typed_on(name),
            ["place", "configure", "inspect", "start", "command"]
        );
    }
    scene.assert_holds(&written).await;
}

/// Nothing fails; of nodes that only a person sees, nothing is claimed.
fn assert_well(recovered: &Recovered) {
    let failed = recovered.invariants.iter();
    let failed: Vec<_> = failed.filter(|one| one.ok == Some(false)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let open = recovered.invariants.iter().filter(|one| one.ok.is_none());
    assert!(open.count() > 0, "{:#?}", recovered.invariants);
}
