//! What many have done in the same situation, and no plan does.

use super::*;
use crate::manifest::Finding;

fn well(count: u64) -> Vec<Member> {
    let members = 1..=count;
    members
        .map(|number| member(number, Class::Ok, Lies::Log(2, 100)))
        .collect()
}

/// The plan to replace `etcd-<number>` of these.
fn replacing(number: u64, members: Vec<Member>) -> Plan {
    let choices = Choices {
        member: Some(format!("etcd-{number}")),
        ..Choices::of(Scenario::Follower)
    };
    planned(&observation(members), &choices)
}

#[test]
fn a_blank_and_a_stale_member_are_no_quorum() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Log(2, 40)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Unreachable, Lies::Unseen),
    ]);
    let mut choices = Choices::of(Scenario::Majority);
    choices.fenced.push("etcd-3".to_owned());

    let plan = planned(&seen, &choices);

    assert_eq!(plan.way, Some(Way::Salvage), "{}", refused(&plan));
    assert!(plan.begins_anew());
    // Should one of them ever start without data, it finds nobody and ends, instead of beginning a cluster.
    let configure = plan.steps.iter();
    let configure = configure.filter(|step| step.action == Kind::Configure);
    let lines: Vec<&String> = configure.flat_map(|step| &step.commands).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line.contains("--initial-cluster-state existing"), "{line}");
    }
}

#[test]
fn no_member_is_changed_while_another_one_was_added_and_not_started() {
    let with = |change: fn(&mut Member)| {
        let lost = member(4, Class::Dead, Lies::Nothing);
        let mut fifth = member(5, Class::Dead, Lies::Nothing);
        change(&mut fifth);
        refused(&replacing(4, [well(3), vec![lost, fifth]].concat()))
    };

    let unstarted = with(|fifth| fifth.started = false);
    let learner = with(|fifth| fifth.class = Class::Learner);

    assert_eq!(with(|_| ()), "");
    assert!(
        unstarted.contains("was added and never started"),
        "{unstarted}"
    );
    assert!(
        learner.contains("is a learner that was not promoted"),
        "{learner}"
    );
    for text in [unstarted, learner] {
        assert!(text.contains("etcdctl member remove 5"), "{text}");
    }
}

#[test]
fn where_one_missing_voter_would_stop_all_writes_it_comes_back_as_a_learner() {
    let of_two = replacing(2, well(2));
    let of_three = replacing(3, well(3));

    assert_eq!(
        (of_two.way, refused(&of_two)),
        (Some(Way::Relearn), String::new())
    );
    assert_eq!(of_two.nodes_of(Kind::AddMember).count(), 0);
    assert_eq!(of_two.nodes_of(Kind::Promote).count(), 1);
    assert_eq!(of_three.way, Some(Way::Replace));
}

#[test]
fn a_member_that_moves_is_listed_anew_since_its_settings_count_for_nothing() {
    let url = "http://10.0.0.33:2380";
    let choices = Choices {
        member: Some("etcd-3".to_owned()),
        new_nodes: vec![NewNode {
            name: "etcd-3".to_owned(),
            peer_url: url.to_owned(),
        }],
        ..Choices::of(Scenario::Follower)
    };
    let mut members = well(2);
    members.push(member(3, Class::Dead, Lies::Log(2, 100)));

    let nodes = nodes(3);
    let plan = plan(&Situation {
        observation: &observation(members),
        nodes: &nodes,
        choices: &choices,
        playbook: &Playbook::embedded(Scenario::Follower),
    });

    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Replace), String::new())
    );
    let add = plan
        .steps
        .iter()
        .find(|step| step.action == Kind::AddMember);
    assert!(add.unwrap().commands[0].ends_with(&format!("--peer-urls={url}")));
}

#[test]
fn nothing_is_restored_beside_the_directory_that_etcd_uses() {
    for code in ["other-data-dir", "other-wal-dir"] {
        let finding = Finding::error(code, "etcd uses /var/lib/etcd/m2.etcd");
        let elsewhere = |number: u64| {
            let mut lost = member(number, Class::Dead, Lies::Nothing);
            lost.node.as_mut().unwrap().findings.push(finding.clone());
            lost
        };
        let all = (1..=3).map(elsewhere).collect();
        let total = planned(&observation(all), &Choices::of(Scenario::Total));
        let follower = replacing(3, [well(2), vec![elsewhere(3)]].concat());
        // What another member's node says is no matter of this one.
        let mut others = well(3);
        let node = others[0].node.as_mut().unwrap();
        node.findings.push(finding.clone());
        let other = replacing(3, others);

        assert!(
            refused(&total).contains("etcd-2: etcd uses /var/lib"),
            "{}",
            refused(&total)
        );
        assert!(
            refused(&follower).contains("`data_dir`"),
            "{}",
            refused(&follower)
        );
        assert_eq!(refused(&other), "");
    }
}

#[test]
fn a_backup_of_a_newer_etcd_is_told_before_it_is_restored() {
    let found = |version: &str| {
        let members = (1..=3).map(|number| {
            let mut lost = member(number, Class::Dead, Lies::Nothing);
            lost.node.as_mut().unwrap().process.version = Some(version.to_owned());
            lost
        });
        let mut seen = observation(members.collect());
        seen.backups[0].etcd_version = "3.7.1".to_owned();
        planned(&seen, &Choices::of(Scenario::Total))
            .warnings
            .join("\n")
    };

    assert_eq!(found("3.7.0"), "");
    for older in ["3.6.14", "3.5.33"] {
        let warning = found(older);
        assert!(warning.contains(&format!("{older} on etcd-3")), "{warning}");
        assert!(warning.contains("install 3.7 first"), "{warning}");
    }
}

#[test]
fn no_line_that_is_printed_is_dangerous_or_gone_in_a_later_etcd() {
    let dead = |lies| (1..=3).map(move |number| member(number, Class::Dead, lies));
    let survivor = vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Dead, Lies::Nothing),
    ];
    let mut salvage: Vec<Member> = dead(Lies::Nothing).collect();
    salvage[0] = member(1, Class::Dead, Lies::Log(2, 100));
    let majority = Choices::of(Scenario::Majority);
    let plans = [
        planned(&observation(survivor), &majority),
        planned(&observation(salvage), &majority),
        planned(
            &observation(dead(Lies::Nothing).collect()),
            &Choices::of(Scenario::Total),
        ),
        planned(&observation(well(3)), &Choices::of(Scenario::Nospace)),
        replacing(3, well(3)),
        replacing(2, well(2)),
    ];

    for plan in plans {
        let lines: Vec<&String> = plan.steps.iter().flat_map(|step| &step.commands).collect();
        assert!(lines.len() > 3, "{:?}: {lines:?}", plan.way);
        for line in lines {
            let gone = [
                "etcdutl",
                "ETCDCTL_API",
                "etcdctl snapshot restore",
                "etcdctl snapshot status",
                "force-new-cluster",
                "skip-hash-check",
                "rm -rf",
            ];
            assert!(!gone.iter().any(|word| line.contains(word)), "{line}");
        }
    }
}
