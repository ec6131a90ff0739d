//! The scratch cluster of a drill: built, written to, broken, and brought back by hand.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::Utc;
use etcdrx::drill::{Account, Break, Exercise, Plan, Rehearsal, Script, Setting, Site, rehearse};
use etcdrx::progress::Silent;
use etcdrx::recovery::Scenario;
use etcdrx::sandbox::Program;
use tokio_util::sync::CancellationToken;

use crate::scratch::pki::install_crypto;
use crate::scratch::tools;
use crate::setup::etcdrx;

async fn site(members: usize, tls: bool, directory: &Path) -> Site {
    install_crypto();
    let program = Program::open(&tools::newest_etcd().etcd()).await.unwrap();
    let plan = Plan {
        program: &program,
        members,
        tls,
        seed: None,
        directory,
        now: Utc::now(),
    };
    Site::start(&plan).await.unwrap()
}

fn exercise(scenario: Scenario, breakage: Break) -> Exercise {
    Exercise {
        scenario,
        breakage,
        writers: 8,
        writes: 60,
        pick: 0,
        patience: Duration::from_secs(20),
    }
}

/// Starts whatever does not run, as a person would whose members were only killed.
async fn start_all(site: &Site, _: Scenario) -> Result<Account, etcdrx::drill::site::Error> {
    for index in 0..site.members.len() {
        site.run(index, Script::Start)?;
    }
    Ok(Account::default())
}

async fn rehearsed(site: &Site, exercise: Exercise) -> Rehearsal {
    let setting = Setting {
        now: Utc::now,
        progress: &Silent,
        interrupt: &CancellationToken::new(),
    };
    let rehearsal = rehearse(site, exercise, &start_all, &setting);
    let rehearsal = rehearsal.await.unwrap();
    println!("{rehearsal:?}");
    rehearsal
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_members_that_are_started_again_lose_nothing() {
    let parent = tempfile::tempdir().unwrap();
    for (scenario, members, tls) in [(Scenario::Leader, 3, true), (Scenario::Majority, 3, false)] {
        let site = site(members, tls, parent.path()).await;

        let rehearsal = rehearsed(&site, exercise(scenario, Break::Kill)).await;

        assert!(rehearsal.is_ok());
        assert!(rehearsal.compared.kept >= 60);
        assert_eq!(
            rehearsal.broken.len(),
            if scenario == Scenario::Leader { 1 } else { 2 }
        );
        drop(site);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_loses_writes_or_fails_is_found_out() {
    let parent = tempfile::tempdir().unwrap();
    let site = site(1, false, parent.path()).await;
    // The member comes up empty: it serves, and has lost everything.
    let blank =
        async |site: &Site, _: Scenario| site.run(0, Script::Start).map(|_| Account::default());
    let setting = Setting {
        now: Utc::now,
        progress: &Silent,
        interrupt: &CancellationToken::new(),
    };
    let lost = Exercise {
        writers: 2,
        writes: 20,
        // All of it is waited for: alone, the member that is killed leaves nobody to write to.
        patience: Duration::from_secs(10),
        ..exercise(Scenario::Leader, Break::DiskLoss)
    };

    let rehearsal = rehearse(&site, lost, &blank, &setting).await.unwrap();

    assert!(!rehearsal.is_ok());
    let codes: Vec<&str> = rehearsal.findings.iter().map(|f| f.code.as_str()).collect();
    // Alone it cannot be killed, either.
    assert_eq!(codes, ["redundancy"]);
    assert!(!rehearsal.compared.lost.is_empty(), "{rehearsal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_break_leaves_what_its_name_says() {
    let parent = tempfile::tempdir().unwrap();
    let site = site(3, false, parent.path()).await;
    let db = site.members[0].data_dir().join("member/snap/db");

    Break::Hang.inflict(&site, &[0].into()).await.unwrap();
    assert!(site.is_there(0) && site.statuses().await[0].is_none());
    site.signal(0, nix::sys::signal::Signal::SIGCONT);
    site.until_all_serve(Duration::from_secs(20)).await.unwrap();

    Break::CorruptDatabase
        .inflict(&site, &[0].into())
        .await
        .unwrap();
    assert!(!site.is_there(0) && fs::read(&db).unwrap().starts_with(&[0x5a; 64]));
    assert!(site.run(0, Script::Status).is_ok_and(|runs| !runs));
    assert!(site.run(1, Script::Status).is_ok_and(|runs| runs));

    Break::CorruptLog.inflict(&site, &[1].into()).await.unwrap();
    let log = etcdrx::datadir::wal::read(&site.members[1].data_dir().join("member/wal")).unwrap();
    assert!(log.refuse_damage(Path::new("")).is_err(), "{:?}", log.end);

    Break::DiskLoss.inflict(&site, &[2].into()).await.unwrap();
    assert!(!site.members[2].data_dir().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_a_site_that_every_command_works_on() {
    let parent = tempfile::tempdir().unwrap();
    let site = site(3, true, parent.path()).await;
    let here = etcdrx().directory(site.directory());

    here.run(["backup"]).success();
    here.run(["check"]).success();

    let leader = site.leader().await.unwrap();
    let pid = fs::read_to_string(site.members[leader].directory.join("pid")).unwrap();
    let kept = site.keep().unwrap();
    assert!(kept.join("etcdrx.toml").is_file());
    let process = Path::new("/proc").join(pid.trim()).join("cmdline");
    let deadline = Instant::now() + Duration::from_secs(5);
    while !fs::read(&process).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "a member outlives the drill");
    }
}
