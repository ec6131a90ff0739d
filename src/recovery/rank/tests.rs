use super::*;
use crate::recovery::specimen::{backup, blank, damaged, inspected, three, turn};

fn kinds(candidates: &[Candidate]) -> Vec<&'static str> {
    let kind = |one: &Candidate| match one.source {
        Source::Restart { .. } => "restart",
        Source::Live { .. } => "live",
        Source::Salvage { .. } => "salvage",
        Source::Database { .. } => "database",
        Source::Backup { .. } => "backup",
    };
    candidates.iter().map(kind).collect()
}

#[test]
fn what_loses_least_stands_first() {
    let mut seen = three();
    for number in 1..=3 {
        turn(&mut seen, number, Class::Dead);
    }
    turn(&mut seen, 1, Class::NoLeader);
    seen.members[0].status = crate::recovery::specimen::member(1).status;
    seen.members[1].node = Some(inspected(2, (3, 118), 98));
    seen.members[2].node = Some(damaged(inspected(3, (3, 119), 99), "wal-damaged"));
    seen.backups = vec![backup(5, 60, true)];

    let candidates = rank(&seen);

    // One survivor and one intact directory are two of three.
    assert_eq!(
        kinds(&candidates),
        ["restart", "live", "salvage", "database", "backup"]
    );
    let lost: Vec<_> = candidates.iter().map(|one| one.lost_revisions).collect();
    assert_eq!(lost, [0, 0, 2, 1, 40].map(Some));
    let lost: Vec<_> = candidates.iter().map(|one| one.lost_entries).collect();
    assert_eq!(lost, [0, 0, 2, 1, 40].map(Some));
    assert_eq!(candidates[4].age_ms, Some(300_000));
}

#[test]
fn of_two_directories_the_higher_term_beats_the_longer_log() {
    let mut seen = three();
    for number in 1..=3 {
        turn(&mut seen, number, Class::Dead);
    }
    seen.quorum.need = 3;
    seen.members[0].node = Some(inspected(1, (3, 900), 880));
    seen.members[1].node = Some(inspected(2, (4, 700), 690));
    seen.members[2].node = Some(blank());

    let candidates = rank(&seen);

    assert_eq!(kinds(&candidates), ["salvage", "salvage"]);
    assert_eq!(
        candidates[0].source,
        Source::Salvage {
            member: "etcd-2".to_owned()
        }
    );
}

#[test]
fn a_directory_of_another_member_is_shown_and_not_used() {
    let mut seen = three();
    for number in 1..=3 {
        turn(&mut seen, number, Class::Dead);
    }
    seen.members[0].node = Some(inspected(77, (9, 900), 880));

    let candidates = rank(&seen);

    assert_eq!(kinds(&candidates), ["salvage"]);
    let why = candidates[0].unusable.as_ref().unwrap();
    assert!(why.contains("that of member 4d"), "{why}");
}

#[test]
fn backups_that_were_verified_come_first_and_the_newest_of_them() {
    let mut seen = three();
    for number in 1..=3 {
        turn(&mut seen, number, Class::Dead);
    }
    let mut another = backup(1, 9000, true);
    another.cluster_id = ClusterId(0xaa);
    seen.clusters.insert(
        crate::recovery::specimen::CLUSTER,
        vec!["etcd-1".to_owned()],
    );
    seen.backups = vec![another, backup(2, 90, false), backup(9, 80, true)];

    let candidates = rank(&seen);

    let revisions: Vec<i64> = candidates
        .iter()
        .map(|one| one.revision.unwrap().0)
        .collect();
    assert_eq!(revisions, [9000, 80, 90]);
    // Revisions of another cluster are no measure.
    let lost: Vec<_> = candidates.iter().map(|one| one.lost_revisions).collect();
    assert_eq!(lost, [None, Some(10), Some(0)]);
}

#[test]
fn a_cluster_without_anything_has_no_candidates() {
    let mut seen = three();
    for number in 1..=3 {
        turn(&mut seen, number, Class::Dead);
        seen.members[number - 1].node = Some(blank());
    }
    assert_eq!(rank(&seen), []);
}
