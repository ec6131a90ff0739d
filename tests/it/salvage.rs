//! Real members, killed in the middle of writes, and what a salvage gets out of the one that reached furthest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcdrx::config;
use etcdrx::datadir::wal;
use etcdrx::drill::{Writers, Written};
use etcdrx::etcd::Access;
use etcdrx::id::Revision;
use etcdrx::node::Directories;
use etcdrx::node::salvage::{Error, Request, Salvaged, salvage};
use etcdrx::progress::Silent;
use etcdrx::sandbox::{self, Boot, Minor, Program, Reason, Sandbox, Scratch, Search};

use crate::scratch::cluster::ROOT_PASSWORD;
use crate::scratch::pki::install_crypto;
use crate::scratch::process::POLL;
use crate::scratch::{Cluster, EtcdRelease, tools};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_acknowledged_is_lost_when_all_members_are_killed() {
    let mut raised = 0;
    for release in tools::etcd_versions() {
        let cluster = Cluster::of(&release).members(3).start().await;
        let written = killed_while_written_to(&cluster).await;
        let furthest = directories(&cluster, furthest(&cluster));
        let before = fingerprints(&furthest);

        let salvaged = salvaged(&cluster, &furthest).await.unwrap();

        raised += salvaged.raised.after.commit - salvaged.raised.before.commit;
        assert_eq!(fingerprints(&furthest), before, "the original was touched");
        assert_holds_all(&cluster, &salvaged, &written).await;
        assert_nothing_is_left(&cluster);
    }
    assert!(raised > 0, "no log lagged behind, so nothing was proven");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_in_the_data_takes_no_password() {
    for release in tools::etcd_versions() {
        let cluster = Cluster::of(&release).auth().start().await;
        let written = killed_while_written_to(&cluster).await;

        let salvaged = salvaged(&cluster, &directories(&cluster, 0)).await.unwrap();

        assert_holds_all(&cluster, &salvaged, &written).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_elsewhere_a_learner_and_a_torn_end_are_no_obstacle() {
    let release = tools::newest_etcd();
    let elsewhere = tempfile::tempdir().unwrap();
    let wal_dir = elsewhere.path().join("wal");
    let cluster = with_a_log_elsewhere_and_a_learner(&release, &wal_dir).await;
    let written = killed_while_written_to(&cluster).await;
    let directories = Directories {
        wal_dir: Some(wal_dir.clone()),
        ..directories(&cluster, 0)
    };
    tear(&wal_dir);
    let before = fingerprints(&directories);

    let salvaged = salvaged(&cluster, &directories).await.unwrap();

    assert!(salvaged.raised.cut_bytes > 0 || salvaged.raised.before == salvaged.raised.after);
    assert_eq!(fingerprints(&directories), before);
    assert_holds_all(&cluster, &salvaged, &written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_is_refused_before_anything_is_copied() {
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).start().await;
    cluster.put_many("key/", 2000, 100).await;
    until_the_version_is_written_down(&cluster).await;
    let directories = directories(&cluster, 0);

    let running = salvaged(&cluster, &directories).await.unwrap_err();
    assert!(matches!(running, Error::InUse { .. }), "{running:?}");
    cluster.kill_all();

    let older = tools::etcd_versions().remove(0);
    let output = cluster.directory().join("salvaged.db");
    let other = of_release(&directories, &older, &output).await.unwrap_err();
    let Error::Etcd {
        source: sandbox::Error::WrongVersion { wanted, .. },
    } = &other
    else {
        panic!("{other:?}");
    };
    assert_eq!(wanted.to_string(), release.version());

    fs::write(&output, "precious").unwrap();
    let exists = salvaged(&cluster, &directories).await.unwrap_err();
    assert!(matches!(exists, Error::Exists { .. }), "{exists:?}");
    fs::remove_file(&output).unwrap();

    flip_a_byte_in_the_middle(&directories.data_dir.join("member/wal"));
    let damaged = salvaged(&cluster, &directories).await.unwrap_err();
    let Error::Log {
        source: wal::Error::Damaged { .. },
    } = damaged
    else {
        panic!("{damaged:?}");
    };
    assert_nothing_is_left(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_gives_up_says_why() {
    install_crypto();
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).start().await;
    cluster.put_many("key/", 500, 100).await;
    cluster.kill_all();
    let program = Program::open(&release.etcd()).await.unwrap();
    let wal_dir = cluster.members[0].data_dir().join("member/wal");
    flip_a_byte_in_the_middle(&wal_dir);
    let scratch = Scratch::create(cluster.directory()).unwrap();

    let boot = Boot {
        program: &program,
        data_dir: cluster.members[0].data_dir(),
        wal_dir: None,
        force_new_cluster: true,
        scratch: scratch.path(),
        quota_bytes: 1 << 30,
        limit: Duration::from_secs(30),
    };

    let Err(sandbox::Error::Ended { reason, log, .. }) = Sandbox::start(&boot).await else {
        panic!("it started on a damaged log");
    };
    assert_eq!(reason, Reason::DamagedLog, "{log:?}");
    assert!(!log.is_empty() && log.len() < 10, "{log:?}");
}

/// A leader writes the version of its cluster down some time after its start; until then nobody knows whose data they are.
async fn until_the_version_is_written_down(cluster: &Cluster) {
    let url = format!("{}/version", cluster.endpoints()[0]);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        if !text.contains("not_decided") {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(POLL).await;
    }
    // etcd commits its database every 100 ms.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// One voter, whose log is in `wal_dir`, and a learner.
pub(crate) async fn with_a_log_elsewhere_and_a_learner(
    release: &EtcdRelease,
    wal_dir: &Path,
) -> Cluster {
    let mut cluster = Cluster::of(release)
        .members(1)
        .flag("--strict-reconfig-check=false")
        .snapshot_count(20)
        .start_after(|cluster| {
            let flag = format!("--wal-dir={}", wal_dir.display());
            cluster.members[0].arguments().push(flag);
        })
        .await;
    cluster.add_learner().await;
    cluster
}

/// Lets 16 clients write, and kills all members at once in the middle of it.
pub(crate) async fn killed_while_written_to(cluster: &Cluster) -> Written {
    let writers = Writers::start(&access(cluster), 16, "salvage");
    let limit = Duration::from_secs(20);
    assert!(
        writers.wait_for(200, limit).await,
        "hardly anything is written"
    );
    cluster.kill_all();
    writers.stop().await
}

pub(crate) fn access(cluster: &Cluster) -> Access {
    install_crypto();
    let mut environment = cluster.environment().into_iter();
    let user = environment.any(|(name, _)| name == "ETCDCTL_USER");
    let running = cluster.members.iter().filter(|member| !member.is_learner());
    Access::open(&config::Cluster {
        endpoints: running
            .map(|member| member.client_url().to_owned())
            .collect(),
        user: user.then(|| "root".to_owned()),
        password: user.then(|| config::Secret::new(ROOT_PASSWORD)),
        ..config::Cluster::default()
    })
    .unwrap()
}

/// The member whose log reaches furthest.
pub(crate) fn furthest(cluster: &Cluster) -> usize {
    let last = |index: &usize| {
        let dir = cluster.members[*index].data_dir().join("member/wal");
        wal::read(&dir).unwrap().last
    };
    (0..cluster.members.len()).max_by_key(last).unwrap()
}

pub(crate) fn directories(cluster: &Cluster, index: usize) -> Directories {
    Directories {
        data_dir: cluster.members[index].data_dir().to_owned(),
        wal_dir: None,
    }
}

async fn salvaged(cluster: &Cluster, directories: &Directories) -> Result<Salvaged, Error> {
    let output = cluster.directory().join("salvaged.db");
    of_release(directories, cluster.release(), &output).await
}

async fn of_release(
    directories: &Directories,
    release: &EtcdRelease,
    output: &Path,
) -> Result<Salvaged, Error> {
    install_crypto();
    let etcd = release.etcd();
    let search = Search {
        program: Some(&etcd),
        folders: &[],
    };
    let request = Request {
        directories,
        search,
        output,
    };
    salvage(&request, &Silent).await
}

/// Restores the snapshot as a person would, with etcd's own tool, and holds the member to what was acknowledged.
async fn assert_holds_all(cluster: &Cluster, salvaged: &Salvaged, written: &Written) {
    let scratch = Scratch::create(cluster.directory()).unwrap();
    let data_dir = scratch.path().join("data");
    let restored = cluster.etcdutl([
        "snapshot".to_owned(),
        "restore".to_owned(),
        salvaged.snapshot.display().to_string(),
        format!("--data-dir={}", data_dir.display()),
    ]);
    restored.success();
    let program = Program::open(&cluster.release().etcd()).await.unwrap();
    let boot = Boot {
        program: &program,
        data_dir: &data_dir,
        wal_dir: None,
        force_new_cluster: false,
        scratch: scratch.path(),
        quota_bytes: 1 << 30,
        limit: Duration::from_secs(30),
    };
    let sandbox = Sandbox::start(&boot).await.unwrap();

    let compared = written
        .compare(sandbox.member(), None, Revision(0))
        .await
        .unwrap();

    println!(
        "etcd {}: {} acknowledged, {} appeared, {:?}",
        cluster.release().version(),
        compared.kept,
        compared.appeared,
        salvaged.raised
    );
    assert!(compared.is_sound(), "{compared:?}");
    assert_eq!(compared.kept, written.acknowledged.len());
    let revision = sandbox.member().linearizable_revision().await.unwrap();
    assert_eq!(revision, salvaged.revision());
    let live = sandbox.member().hashkv(revision).await.unwrap();
    let file = fs::File::open(&salvaged.snapshot).unwrap();
    let store = etcdrx::backend::Store::open(file).unwrap();
    let native = etcdrx::backend::hashkv(&store, None, None).unwrap();
    assert_eq!(live.hash, native.hash);
    assert_eq!(
        program.minor(),
        cluster.release().version().parse::<Minor>().unwrap()
    );
}

/// Neither a copy, nor a half-written snapshot.
fn assert_nothing_is_left(cluster: &Cluster) {
    let entries = fs::read_dir(cluster.directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains("etcdrx")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Every file below the directories, with what is in it.
pub(crate) fn fingerprints(directories: &Directories) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut left = vec![directories.data_dir.clone()];
    left.extend(directories.wal_dir.clone());
    let mut found = BTreeMap::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            let mut sha256 = etcdrx::codec::Sha256::default();
            sha256.update(&bytes);
            found.insert(path, sha256.finish().0.to_vec());
        }
    }
    found
}

/// Writes half a record behind the end of the log, as a machine does that loses its power.
fn tear(wal_dir: &Path) {
    let end = wal::read(wal_dir).unwrap().end;
    let file = fs::File::options().write(true).open(&end.file).unwrap();
    // A record of 4000 bytes, of which the first sector came to the disk.
    let mut torn = 4000_u64.to_le_bytes().to_vec();
    torn.extend([7; 100]);
    std::os::unix::fs::FileExt::write_all_at(&file, &torn, end.offset).unwrap();
}

fn flip_a_byte_in_the_middle(wal_dir: &Path) {
    let end = wal::read(wal_dir).unwrap().end;
    let mut bytes = fs::read(&end.file).unwrap();
    let middle = usize::try_from(end.offset / 2).unwrap();
    bytes[middle] ^= 0x10;
    fs::write(&end.file, bytes).unwrap();
}
