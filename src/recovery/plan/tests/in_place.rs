//! One member goes on with what it has, and the others join it.

use super::*;
use crate::id::MemberId;

fn in_place() -> Choices {
    Choices {
        way: Some(Way::InPlace),
        ..Choices::of(Scenario::Majority)
    }
}

/// The steps, each with its node.
fn steps(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| {
        let node = step.node.as_deref();
        let node = node.map_or_else(String::new, |node| node.replace("etcd-", " "));
        format!("{}{node}", step.action)
    });
    steps.collect()
}

#[test]
fn the_directory_that_reaches_furthest_goes_on_and_the_others_join_one_after_the_other() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Nothing),
        member(2, Class::Dead, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &in_place());
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::InPlace), String::new())
    );
    assert!(!plan.begins_anew());
    let ids: Vec<_> = plan.members.iter().map(|member| member.id).collect();
    assert_eq!(ids, [None, Some(MemberId(2)), None]);
    let expected = "stop-source 2, salvage 2, prove-snapshot, stop 1, stop 2, stop 3, set-aside 1, set-aside 3, \
         check-aside 1, check-aside 3, force-new-cluster 2, start 2, wait-member 2, \
         add-learner 1, configure 1, start 1, wait-member 1, promote 1, \
         add-learner 3, configure 3, start 3, wait-member 3, promote 3, \
         configure 1, configure 2, configure 3, wait-healthy, check-invariants";
    assert_eq!(steps(&plan).join(", "), expected);
    // Who joins is told of those that are there, and of no others: etcd would refuse.
    let configure = plan
        .steps
        .iter()
        .filter(|step| step.action == Kind::Configure);
    let lists: Vec<usize> = configure
        .map(|step| step.commands[0].matches("=http://").count())
        .collect();
    assert_eq!(lists, [2, 3, 3, 3, 3]);
}

#[test]
fn a_survivor_is_asked_before_it_is_stopped_and_nothing_but_members_directories_counts() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &in_place());
    assert_eq!(plan.steps[0].action, Kind::TakeSnapshot);
    assert_eq!(plan.nodes_of(Kind::ForceNewCluster).next(), Some("etcd-1"));
    assert_eq!(plan.nodes_of(Kind::Salvage).count(), 0);

    let backup = Choices {
        from: Some(From::Backup("latest".to_owned())),
        ..in_place()
    };
    assert!(refused(&planned(&seen, &backup)).contains("a member's own directory"));
    let moved = Choices {
        new_nodes: vec![NewNode {
            name: "etcd-1".to_owned(),
            peer_url: "http://10.0.0.9:2380".to_owned(),
        }],
        ..in_place()
    };
    assert!(refused(&planned(&seen, &moved)).contains("cannot move"));
}

#[test]
fn who_may_run_unseen_must_be_fenced_and_then_does_not_join() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Unreachable, Lies::Unseen),
    ]);
    assert!(refused(&planned(&seen, &in_place())).contains("--fenced etcd-3"));
    let fenced = Choices {
        fenced: vec!["etcd-3".to_owned()],
        ..in_place()
    };
    let plan = planned(&seen, &fenced);
    assert_eq!(refused(&plan), "");
    let joins: Vec<_> = plan.nodes_of(Kind::AddLearner).collect();
    assert_eq!(joins, ["etcd-2"]);
}

#[test]
fn it_is_never_chosen_by_itself_and_a_restart_that_loses_nothing_is_told() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(plan.way, Some(Way::Restart));
    let asked = planned(&seen, &in_place());
    let warnings = asked.warnings.join("\n");
    assert!(
        warnings.contains("`--way restart` loses nothing"),
        "{warnings}"
    );
}
