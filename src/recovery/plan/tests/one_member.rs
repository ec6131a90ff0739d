//! A member is started, replaced, or added.

use super::*;

#[test]
fn a_follower_whose_data_are_whole_is_only_started() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Log(2, 90)),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert_eq!(plan.way, Some(Way::Restart), "{:?}", plan.refused);
    assert_eq!(plan.target.as_deref(), Some("etcd-3"));
    let kinds: Vec<Kind> = plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(
        kinds,
        [Kind::Start, Kind::WaitMember, Kind::CheckInvariants]
    );
    assert!(plan.steps.iter().all(|step| !step.destructive));
}

#[test]
fn a_follower_whose_log_may_have_lost_its_end_is_replaced() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        with_a_cut_log(member(3, Class::Dead, Lies::Log(2, 90))),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Replace), String::new())
    );
}

#[test]
fn a_follower_without_data_is_taken_out_before_it_comes_back() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Replace), String::new())
    );
    let at = |kind| {
        plan.steps
            .iter()
            .position(|step| step.action == kind)
            .unwrap()
    };
    assert!(at(Kind::TakeSnapshot) < at(Kind::RemoveMember));
    assert!(at(Kind::RemoveMember) < at(Kind::AddMember));
    assert!(at(Kind::SetAside) < at(Kind::Start));
    assert!(!plan.begins_anew());
}

#[test]
fn nobody_is_taken_out_whom_the_quorum_needs() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Ok, Lies::Log(2, 100)),
        member(4, Class::Dead, Lies::Nothing),
        member(5, Class::Dead, Lies::Nothing),
    ]);
    let mut choices = Choices::of(Scenario::Follower);
    let several = planned(&seen, &choices);
    assert!(
        refused(&several).contains("etcd-4, etcd-5"),
        "{}",
        refused(&several)
    );
    choices.member = Some("etcd-4".to_owned());
    assert_eq!(refused(&planned(&seen, &choices)), "");
    choices.member = Some("etcd-1".to_owned());
    let needed = planned(&seen, &choices);
    assert!(
        refused(&needed).contains("3 of them must be well, and 2 are"),
        "{}",
        refused(&needed)
    );
}

#[test]
fn a_new_member_joins_as_a_learner() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
    ]);
    let choices = Choices {
        new_nodes: vec![NewNode {
            name: "etcd-3".to_owned(),
            peer_url: "http://10.0.0.3:2380".to_owned(),
        }],
        ..Choices::of(Scenario::Follower)
    };
    let plan = planned(&seen, &choices);
    assert_eq!((plan.way, refused(&plan)), (Some(Way::Grow), String::new()));
    assert_eq!(
        plan.nodes_of(Kind::AddLearner).collect::<Vec<_>>(),
        ["etcd-3"]
    );
}

#[test]
fn a_second_run_finds_nothing_to_do() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Ok, Lies::Log(2, 100)))
            .collect(),
    );
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert!(
        plan.steps.is_empty() && refused(&plan).contains("nothing to do"),
        "{}",
        refused(&plan)
    );
}
