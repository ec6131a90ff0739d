//! All members begin anew, or enough of them are started.

use super::*;
use crate::recovery::judge::{Condition, judge};

#[test]
fn a_cluster_with_a_quorum_is_never_rebuilt() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let choices = Choices {
        from: Some(From::Backup("latest".to_owned())),
        ..Choices::of(Scenario::Majority)
    };
    assert!(refused(&planned(&seen, &choices)).contains("has a quorum"));
    let total = planned(&seen, &Choices::of(Scenario::Total));
    assert!(
        refused(&total).contains("not all is lost: etcd-1, etcd-2"),
        "{}",
        refused(&total)
    );
}

#[test]
fn nothing_is_rebuilt_or_replaced_over_a_certificate_that_ended() {
    let with = |class, others| {
        let mut ill = member(3, Class::Starting, Lies::Log(2, 100));
        ill.node = ill.node.map(specimen::ended);
        let first = member(1, class, Lies::Log(2, 100));
        observation(vec![first, member(2, others, Lies::Nothing), ill])
    };
    let without_quorum = with(Class::NoLeader, Class::Dead);
    let with_quorum = with(Class::Ok, Class::Ok);
    let replace = Choices {
        member: Some("etcd-3".to_owned()),
        way: Some(Way::Replace),
        ..Choices::of(Scenario::Follower)
    };

    let rebuilt = planned(&without_quorum, &Choices::of(Scenario::Majority));
    let replaced = planned(&with_quorum, &replace);

    for plan in [rebuilt, replaced] {
        let refused = refused(&plan);
        assert!(refused.contains("etcdrx certs renew etcd-3"), "{refused}");
    }
}

#[test]
fn a_backup_that_cannot_be_opened_is_refused_before_anything_is_stopped() {
    let lost = |number| member(number, Class::Dead, Lies::Nothing);
    let mut seen = observation(vec![lost(1), lost(2), lost(3)]);
    let choices = Choices::of(Scenario::Total);
    assert_eq!(refused(&planned(&seen, &choices)), "");

    seen.backups[0].locked = Some("none of the identities in id.txt opens it".to_owned());

    let refused = refused(&planned(&seen, &choices));
    assert!(refused.contains("id.txt"), "{refused}");
    assert!(refused.contains("`identity_file`"), "{refused}");
}

#[test]
fn what_can_be_started_is_started_before_anything_is_rebuilt() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Restart), String::new())
    );
    assert_eq!(plan.nodes_of(Kind::Start).collect::<Vec<_>>(), ["etcd-2"]);
    // Nobody hangs, and a survivor is not to be stopped.
    assert_eq!(plan.nodes_of(Kind::Stop).count(), 0);
    assert_eq!(plan.lost_revisions, Some(0));
}

#[test]
fn a_log_that_may_have_lost_its_end_is_used_only_where_a_quorum_needs_it() {
    let whole = |number| member(number, Class::Dead, Lies::Log(2, 100));
    let enough = observation(vec![whole(1), with_a_cut_log(whole(2)), whole(3)]);
    let plan = planned(&enough, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, plan.lost_revisions, refused(&plan)),
        (Some(Way::Restart), Some(0), String::new())
    );
    let started: Vec<&str> = plan.nodes_of(Kind::Start).collect();
    assert_eq!(started, ["etcd-1", "etcd-3"]);

    let blank = member(3, Class::Dead, Lies::Nothing);
    let needed = observation(vec![whole(1), with_a_cut_log(whole(2)), blank.clone()]);
    let plan = planned(&needed, &Choices::of(Scenario::Majority));
    assert_eq!((plan.way, plan.lost_revisions), (Some(Way::Restart), None));
    assert!(plan.warnings[0].starts_with("etcd-2: "), "{plan:?}");

    let other = member(2, Class::Dead, Lies::Nothing);
    let alone = observation(vec![with_a_cut_log(whole(1)), other, blank]);
    let plan = planned(&alone, &Choices::of(Scenario::Majority));
    assert_eq!(plan.way, Some(Way::Salvage));
    assert!(plan.warnings[0].starts_with("etcd-1: "), "{plan:?}");
}

#[test]
fn a_survivor_gives_its_snapshot_before_anything_is_stopped() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!((plan.way, refused(&plan)), (Some(Way::Live), String::new()));
    assert_eq!(plan.steps[0].action, Kind::TakeSnapshot);
    let at = |kind| {
        plan.steps
            .iter()
            .position(|step| step.action == kind)
            .unwrap()
    };
    let last = |kind| {
        plan.steps
            .iter()
            .rposition(|step| step.action == kind)
            .unwrap()
    };
    assert!(last(Kind::Stage) < at(Kind::Stop));
    assert!(last(Kind::CheckPlaced) < at(Kind::Start));
    assert_eq!(plan.nodes_of(Kind::Stop).count(), 3);
}

#[test]
fn of_several_directories_the_one_that_reaches_furthest_is_salvaged_by_term_first() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Log(2, 900)),
        member(2, Class::Dead, Lies::Log(3, 100)),
        member(3, Class::Dead, Lies::Nothing),
        member(4, Class::Dead, Lies::Nothing),
        member(5, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Salvage), String::new())
    );
    assert!(matches!(&plan.source, Some(Source::Salvage { member, .. }) if member == "etcd-2"));
}

#[test]
fn a_directory_on_which_etcd_gave_up_is_worth_its_database_to_plan_and_diagnosis() {
    let mut seen = observation(vec![
        member(1, Class::Dead, Lies::Log(3, 900)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let process = &mut seen.members[0].node.as_mut().unwrap().process;
    process.log = vec!["panic: tocommit(900) is out of range [lastIndex(20)]".to_owned()];
    let diagnosis = judge(&seen);
    assert_eq!(diagnosis.condition(), Condition::MajorityDbOnly);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Database), String::new())
    );
    let backup = planned(
        &seen,
        &Choices {
            from: Some(From::Backup("latest".to_owned())),
            ..Choices::of(Scenario::Majority)
        },
    );
    assert_eq!(backup.way, Some(Way::Backup));
    let warning = &backup.warnings[0];
    assert!(
        warning.contains("the database file of etcd-1 would lose less"),
        "{warning}"
    );
}

#[test]
fn a_member_that_nobody_can_see_must_be_fenced() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Unreachable, Lies::Unseen),
    ]);
    let mut choices = Choices::of(Scenario::Majority);
    let doubtful = planned(&seen, &choices);
    assert!(
        refused(&doubtful).contains("--fenced etcd-3"),
        "{}",
        refused(&doubtful)
    );
    choices.fenced.push("etcd-3".to_owned());
    let fenced = planned(&seen, &choices);
    assert_eq!(refused(&fenced), "");
    let names: Vec<&str> = fenced
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["etcd-1", "etcd-2"],
        "who cannot be reached is no member of the new cluster"
    );
    assert_ne!(doubtful.digest, fenced.digest);
}

#[test]
fn with_nothing_left_the_newest_backup_is_restored_and_the_loss_is_told() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect(),
    );
    let plan = planned(&seen, &Choices::of(Scenario::Total));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Backup), String::new())
    );
    assert!(
        plan.lost.contains("after revision 80") && plan.lost.contains("1h ago"),
        "{}",
        plan.lost
    );
}

#[test]
fn a_file_that_nothing_proves_whole_is_refused() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect(),
    );
    let file = |has_trailer| Choices {
        from: Some(From::File(SnapshotFile {
            path: "/tmp/x.db".into(),
            has_trailer,
            revision: Some(Revision(5)),
            size_bytes: 4096,
        })),
        ..Choices::of(Scenario::Total)
    };
    assert!(refused(&planned(&seen, &file(false))).contains("no SHA-256 trailer"));
    assert_eq!(refused(&planned(&seen, &file(true))), "");
}

#[test]
fn the_same_evidence_and_choices_give_the_same_digest_and_others_another() {
    let members = || {
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect()
    };
    let choices = Choices::of(Scenario::Total);
    let one = planned(&observation(members()), &choices);
    let mut later = observation(members());
    later.at += chrono::Duration::seconds(3);
    let again = planned(&later, &choices);
    assert_eq!(one.digest, again.digest);
    let mut other = observation(members());
    other.backups[0].revision = Revision(81);
    assert_ne!(one.digest, planned(&other, &choices).digest);
}
