use chrono::DateTime;

use super::judge;
use crate::backend::AlarmKind;
use crate::config::EtcdFlags;
use crate::datadir::wal::SecondApi;
use crate::id::MemberId;
use crate::manifest::{Finding, Severity};
use crate::upgrade::settings::{Form, Place, Setting};
use crate::upgrade::{Data, Facts, Live, Minor, Settings, Snapshot};

fn judged(facts: &Facts, from: u32, to: u32) -> Vec<Finding> {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    judge(facts, Some(Minor(from)), Minor(to), now)
}

fn errors(findings: &[Finding]) -> Vec<&str> {
    let errors = findings
        .iter()
        .filter(|one| one.severity == Severity::Error);
    errors.map(|one| one.code.as_str()).collect()
}

fn message<'a>(findings: &'a [Finding], code: &str) -> &'a str {
    let found = findings.iter().find(|one| one.code == code);
    &found
        .unwrap_or_else(|| panic!("no {code}: {findings:?}"))
        .message
}

fn given(form: Form, pairs: &[(&str, &str)]) -> Facts {
    let settings = pairs.iter().map(|(name, value)| Setting {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
        form,
        place: Place {
            file: "etcd.yml".into(),
            line: Some(7),
        },
    });
    let pairs = pairs.iter();
    Facts {
        settings: vec![Settings {
            member: "m1".to_owned(),
            settings: settings.collect(),
            flags: EtcdFlags {
                values: pairs
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                ..EtcdFlags::default()
            },
        }],
        ..Facts::default()
    }
}

fn member(version: &str) -> Live {
    Live {
        member: "m1".to_owned(),
        member_id: MemberId(1),
        version: version.to_owned(),
        storage_version: None,
        has_leader: true,
        is_learner: false,
        alarms: Vec::new(),
        db_size_bytes: 20_000,
    }
}

#[test]
fn a_name_that_is_gone_is_judged_by_where_it_stands() {
    let gone = [("experimental-initial-corrupt-check", "true")];

    let flag = judged(&given(Form::Flag, &gone), 6, 7);
    let variable = judged(&given(Form::Variable, &gone), 6, 7);
    let key = judged(&given(Form::Key, &gone), 6, 7);
    let off = judged(&given(Form::Key, &[(gone[0].0, "false")]), 6, 7);
    let before = judged(&given(Form::Flag, &gone), 5, 6);

    assert_eq!(errors(&flag), ["flag-unknown"]);
    let words = message(&flag, "flag-unknown");
    assert!(words.starts_with("etcd.yml, line 7: "), "{words}");
    assert!(
        words.contains("`flag provided but not defined: -experimental-initial-corrupt-check`"),
        "{words}"
    );
    assert!(
        words.contains(
            "write --feature-gates=InitialCorruptCheck=true in its place now: etcd 3.6 takes it"
        ),
        "{words}"
    );
    assert_eq!(errors(&variable), ["protection-lost"]);
    assert!(
        message(&variable, "protection-lost")
            .contains("ETCD_FEATURE_GATES=InitialCorruptCheck=true")
    );
    assert_eq!(errors(&key), ["protection-lost"]);
    assert!(
        message(&key, "protection-lost").contains("without a word: the members no longer compare")
    );
    assert_eq!(errors(&off), [""; 0]);
    assert_eq!(errors(&before), [""; 0]);
}

#[test]
fn a_name_that_nobody_knows_is_no_matter_of_the_upgrade() {
    let typo = [("snapshot-cuont", "5000")];
    assert_eq!(errors(&judged(&given(Form::Key, &typo), 6, 7)), [""; 0]);
    let found = judged(&given(Form::Key, &typo), 6, 7);
    assert!(message(&found, "setting-unknown").contains("etcd 3.6 neither"));
    // A shell and a container's runtime have flags of their own.
    let of_shell = judged(&given(Form::Flag, &[("c", "etcd")]), 6, 7);
    assert_eq!(errors(&of_shell), [""; 0]);
    assert!(message(&of_shell, "setting-unknown").contains("if it is meant for etcd"));
    let architecture = given(Form::Variable, &[("unsupported-arch", "arm64")]);
    assert_eq!(judged(&architecture, 6, 7), []);
    // Go does not mind capitals.
    let capitals = given(Form::Key, &[("Snapshot-Count", "5000")]);
    assert!(
        !judged(&capitals, 6, 7)
            .iter()
            .any(|one| one.code == "setting-unknown")
    );
}

#[test]
fn values_that_are_refused_are_found() {
    for (form, name, value, from, to, code) in [
        (Form::Key, "logger", "capnslog", 4, 5, "value-refused"),
        (
            Form::Flag,
            "v2-deprecation",
            "not-yet",
            5,
            6,
            "value-refused",
        ),
        (
            Form::Variable,
            "discovery-fallback",
            "proxy",
            5,
            6,
            "value-refused",
        ),
        (
            Form::Key,
            "feature-gates",
            "FastLeaseKeepAlive=true",
            5,
            6,
            "feature-gate-unknown",
        ),
    ] {
        let found = judged(&given(form, &[(name, value)]), from, to);
        assert_eq!(errors(&found), [code], "{name}");
        assert!(
            found.iter().all(|one| !one.message.contains('\\')),
            "{found:?}"
        );
    }
    let of_file = given(Form::Key, &[("v2-deprecation", "not-yet")]);
    assert_eq!(errors(&judged(&of_file, 5, 6)), [""; 0]);
}

#[test]
fn a_setting_in_both_forms_is_found_where_both_are_known() {
    let gate = [
        (
            "feature-gates",
            "LeaseCheckpoint=true,CompactHashCheck=true",
        ),
        ("experimental-compact-hash-check-enabled", "true"),
    ];
    assert_eq!(
        errors(&judged(&given(Form::Key, &gate), 5, 6)),
        ["both-forms"]
    );
    let plain = [
        ("corrupt-check-time", "1h"),
        ("experimental-corrupt-check-time", "1h"),
    ];
    assert_eq!(
        errors(&judged(&given(Form::Flag, &plain), 5, 6)),
        ["both-forms"]
    );
}

#[test]
fn the_distance_is_one_minor_version_forward() {
    let facts = Facts::default();
    assert_eq!(errors(&judged(&facts, 4, 5)), [""; 0]);
    assert_eq!(errors(&judged(&facts, 6, 6)), [""; 0]);
    let skip = judged(&facts, 4, 6);
    assert_eq!(errors(&skip), ["skips-a-version"]);
    assert!(message(&skip, "skips-a-version").contains("3.4 -> 3.5 -> 3.6"));
    let back = judged(&facts, 6, 5);
    assert_eq!(errors(&back), ["downgrade"]);
    assert!(message(&back, "downgrade").contains("etcdctl downgrade enable 3.5"));
    assert!(message(&judged(&facts, 5, 4), "downgrade").contains("has no downgrade"));
}

#[test]
fn a_downgrade_that_was_enabled_is_no_error() {
    let enabled = Live {
        storage_version: Some(Minor(5)),
        ..member("3.6.14")
    };
    let facts = Facts {
        live: vec![enabled],
        ..Facts::default()
    };
    let found = judged(&facts, 6, 5);
    assert_eq!(errors(&found), [""; 0]);
    assert!(message(&found, "downgrade-enabled").contains("replace the program"));
}

#[test]
fn what_is_ill_before_the_upgrade_is_found() {
    let ill = Live {
        has_leader: false,
        alarms: vec![AlarmKind::Corrupt, AlarmKind::NoSpace],
        ..member("3.5.33")
    };
    let facts = Facts {
        live: vec![ill, member("3.6.14")],
        ..Facts::default()
    };
    assert_eq!(facts.version(), Some(Minor(5)));
    let found = judged(&facts, 5, 6);
    assert_eq!(errors(&found), ["no-leader", "alarm-corrupt"]);
    assert!(message(&found, "mixed-versions").contains("m1 runs 3.6.14"));
    assert!(message(&found, "alarm-nospace").contains("takes no writes"));
}

#[test]
fn a_database_near_its_quota_is_found() {
    let mut facts = given(Form::Key, &[("quota-backend-bytes", "1000000")]);
    facts.live = vec![Live {
        db_size_bytes: 950_000,
        ..member("3.5.33")
    }];
    assert!(message(&judged(&facts, 5, 6), "near-quota").contains("950000"));
    facts.live[0].db_size_bytes = 500_000;
    assert!(
        !judged(&facts, 5, 6)
            .iter()
            .any(|one| one.code == "near-quota")
    );
}

#[test]
fn a_log_that_nobody_read_is_told_and_one_that_was_read_is_judged() {
    let mut facts = Facts {
        live: vec![member("3.6.14")],
        ..Facts::default()
    };
    assert!(message(&judged(&facts, 6, 7), "log-not-seen").contains("--data-dir"));
    facts.data = vec![Data {
        path: "/var/lib/etcd".into(),
        member_id: Some(MemberId(1)),
        second_api: Some(SecondApi {
            count: 2,
            first: Some(4),
            last: Some(5),
            of_client: None,
        }),
        ..Data::default()
    }];
    let found = judged(&facts, 6, 7);
    assert_eq!(errors(&found), ["second-api-entries"]);
    assert!(message(&found, "second-api-entries").contains("--snapshot-count=10"));
    assert!(!found.iter().any(|one| one.code == "log-not-seen"));
    // 3.6 reads them.
    assert_eq!(errors(&judged(&facts, 5, 6)), [""; 0]);
}

#[test]
fn a_schema_that_is_too_new_is_found_also_in_a_snapshot() {
    let facts = Facts {
        snapshots: vec![Snapshot {
            name: "old.db".to_owned(),
            storage_version: Some(Minor(7)),
        }],
        ..Facts::default()
    };
    let found = judged(&facts, 5, 6);
    assert_eq!(errors(&found), ["schema-too-new"]);
    assert!(message(&found, "schema-too-new").contains("`version \"3.7.0\" is not supported`"));
    assert_eq!(errors(&judged(&facts, 6, 7)), [""; 0]);
}

#[test]
fn learners_are_counted_against_the_limit_of_each_member() {
    let learner = Live {
        is_learner: true,
        ..member("3.6.14")
    };
    let mut facts = given(Form::Flag, &[("max-learners", "2")]);
    facts.live = vec![learner.clone(), learner];
    assert!(!errors(&judged(&facts, 6, 7)).contains(&"too-many-learners"));
    facts.settings.push(Settings {
        member: "m2".to_owned(),
        ..Settings::default()
    });
    let found = judged(&facts, 6, 7);
    assert_eq!(errors(&found), ["too-many-learners"]);
    assert!(message(&found, "too-many-learners").starts_with("m2: "));
}

#[test]
fn changed_defaults_are_told_unless_they_are_set() {
    let set = given(Form::Key, &[("snapshot-count", "20000")]);
    let code = |found: &[Finding]| {
        found
            .iter()
            .filter(|one| one.code == "default-changes")
            .count()
    };
    // discovery-fallback, too.
    assert_eq!(code(&judged(&Facts::default(), 5, 6)), 2);
    assert_eq!(code(&judged(&set, 5, 6)), 1);
}

#[test]
fn a_learner_that_the_log_takes_for_a_voter_is_told_before_3_6() {
    let facts = Facts {
        data: vec![Data {
            path: "/var/lib/etcd".into(),
            stale_learners: vec![MemberId(0xab)],
            ..Data::default()
        }],
        ..Facts::default()
    };
    let found = judged(&facts, 5, 6);
    assert_eq!(errors(&found), [""; 0]);
    assert!(message(&found, "stale-learner").contains("takes ab for learners"));
    assert!(
        !judged(&facts, 6, 7)
            .iter()
            .any(|one| one.code == "stale-learner")
    );
}

#[test]
fn a_login_that_becomes_necessary_is_told_only_where_it_does() {
    let facts = Facts {
        auth: true,
        ..Facts::default()
    };
    assert!(message(&judged(&facts, 4, 5), "status-needs-login").contains("user name is empty"));
    assert!(
        !judged(&facts, 5, 6)
            .iter()
            .any(|one| one.code == "status-needs-login")
    );
}
