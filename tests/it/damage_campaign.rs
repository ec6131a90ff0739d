//! Thousands of damaged snapshots: none makes etcdrx panic or hang, and each is found, or harmless, or in bytes that only
//! the trailer guards.
//!
//! `ETCDRX_DAMAGE=20` makes twenty times as many; the table is on stdout (`--nocapture`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use etcdrx::backend::{self, Select, Store};
use etcdrx::bolt::{Database, Order, Walk, check};
use etcdrx::datadir::edit::{Edits, edit};
use etcdrx::datadir::membership::Membership;
use etcdrx::progress::Silent;
use etcdrx::restore::{self, Origin, Request, Target};
use etcdrx::source::{Error, Source};

use crate::damage::{Damage, KINDS, Specimen, specimens};
use crate::scratch::{EtcdRelease, process, program, tools::require_etcd};

/// How long one damaged snapshot may take.
const LIMIT: Duration = Duration::from_secs(20);

type Pair = (Vec<u8>, Vec<u8>);
/// What a database holds, bucket by bucket.
type Contents = Vec<(Vec<u8>, Vec<Pair>)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The structure is damaged, and a message says where.
    Found,
    /// Nothing that is in use was hit.
    Harmless,
    /// Other values, the same keys: without the trailer nobody can know.
    SilentValue,
    /// Other keys.
    SilentKey,
}

/// What is known of a damaged snapshot.
#[derive(Debug, Clone, Copy)]
struct Judged {
    /// The trailer tells.
    by_trailer: bool,
    /// It is so short that it does not look as if it had a trailer: a restore refuses it.
    without_trailer: bool,
    /// What is found without the trailer.
    verdict: Verdict,
}

/// A line of the table.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    cases: usize,
    by_trailer: usize,
    without_trailer: usize,
    verdicts: [usize; 4],
}

#[test]
fn no_damage_goes_unseen_or_stops_the_program() {
    let times: u64 = std::env::var("ETCDRX_DAMAGE").map_or(1, |times| times.parse().unwrap());
    let mut table: BTreeMap<&str, Line> = BTreeMap::new();
    for specimen in specimens() {
        let original = contents(&specimen.bytes).unwrap();
        // A debug build takes long over the large ones.
        let fewer = if specimen.bytes.len() > 1 << 20 {
            16
        } else {
            1
        };
        let cases = KINDS.iter().flat_map(|(kind, cases)| {
            let cases = (cases * times).div_ceil(fewer);
            (0..cases).map(move |number| (*kind, number))
        });
        for (kind, judged) in judge_all(&specimen, &original, &cases.collect::<Vec<_>>()) {
            table.entry(kind).or_default().add(judged);
        }
    }
    print(&table);
}

impl Line {
    fn add(&mut self, judged: Judged) {
        self.cases += 1;
        self.by_trailer += usize::from(judged.by_trailer);
        self.without_trailer += usize::from(judged.without_trailer);
        self.verdicts[judged.verdict as usize] += 1;
    }
}

fn print(table: &BTreeMap<&str, Line>) {
    println!(
        "| damage | cases | trailer | no trailer | structure | harmless | silent: values | silent: keys |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut total = Line::default();
    let row = |name: &str, line: &Line| {
        let [found, harmless, value, key] = line.verdicts;
        let (cases, by_trailer, none) = (line.cases, line.by_trailer, line.without_trailer);
        println!(
            "| {name} | {cases} | {by_trailer} | {none} | {found} | {harmless} | {value} | {key} |"
        );
    };
    for (kind, line) in table {
        row(kind, line);
        total.cases += line.cases;
        total.by_trailer += line.by_trailer;
        total.without_trailer += line.without_trailer;
        for (sum, verdict) in total.verdicts.iter_mut().zip(line.verdicts) {
            *sum += verdict;
        }
    }
    row("all", &total);
}

/// Judges all cases on two threads, and gives up on one that hangs.
fn judge_all(
    specimen: &Specimen,
    original: &Contents,
    cases: &[(&'static str, u64)],
) -> Vec<(&'static str, Judged)> {
    let (sender, judged) = mpsc::channel();
    let count = cases.len();
    for share in [0, 1] {
        let (specimen, original, sender) = (specimen.clone(), original.clone(), sender.clone());
        let cases: Vec<_> = cases.iter().copied().skip(share).step_by(2).collect();
        thread::spawn(move || {
            let folder = tempfile::tempdir_in(memory()).unwrap();
            for (kind, number) in cases {
                let damage = specimen.damaged(kind, number);
                let told = format!("{kind} {number} of {}: {}", specimen.name, damage.what);
                sender.send(Err(told.clone())).unwrap();
                let judge = || judge(&specimen, &damage, &original, folder.path());
                let judged = catch_unwind(AssertUnwindSafe(judge));
                let judged = judged.unwrap_or_else(|_| panic!("stumbled over {told}"));
                sender.send(Ok((kind, judged))).unwrap();
            }
        });
    }
    drop(sender);
    let (mut all, mut begun) = (Vec::new(), Vec::new());
    while all.len() < count {
        match judged.recv_timeout(LIMIT) {
            Ok(Ok(judged)) => all.push(judged),
            Ok(Err(case)) => begun.push(case),
            Err(error) => panic!("{error} after {:?}", begun.split_off(begun.len() - 2)),
        }
    }
    all
}

/// A folder in memory, where the machine has one.
fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

fn judge(specimen: &Specimen, damage: &Damage, original: &Contents, folder: &Path) -> Judged {
    let path = folder.join("snapshot");
    fs::write(&path, &damage.bytes).unwrap();
    let source = Source::open(&path).unwrap();
    let by_trailer = match source.check_trailer() {
        Ok(()) => false,
        Err(Error::TrailerMismatch { .. }) => true,
        Err(error) => panic!("{error:?}"),
    };
    let without_trailer = damage.bytes.len() % 512 != 32;
    let changed = damage.bytes != specimen.bytes;
    assert!(
        by_trailer || without_trailer || !changed,
        "the trailer does not tell"
    );
    let status = source.status(false);
    ask_everything(&path);
    let membership = Membership::parse("a=http://a:1", "token").unwrap();
    let bumped = Edits {
        bump_revision: Some(1000),
        ..Edits::default()
    };
    let edited = edit(&path, &membership, &bumped);
    let verdict = if let Err(error) = status {
        assert_says_where(&error);
        Verdict::Found
    } else {
        edited.expect("a sound database can be edited");
        compare(original, &contents(&damage.bytes).unwrap())
    };
    match damage.kind {
        "one meta" => assert_eq!(verdict, Verdict::Harmless),
        "both metas" => assert_eq!(verdict, Verdict::Found),
        _ => {}
    }
    Judged {
        by_trailer,
        without_trailer,
        verdict,
    }
}

/// Asks for all that reads the database; the answers are of no interest.
fn ask_everything(path: &Path) {
    let file = || File::open(path).unwrap();
    let _ = Database::open(file()).and_then(|database| check(&database).map(drop));
    let Ok(store) = Store::open(file()) else {
        return;
    };
    let _ = backend::hashkv(&store, None, None);
    let _ = backend::contents(&store);
    if let Ok(newest) = store.revision() {
        let _ = backend::state_at(&store, newest, &Select::All);
        let _ = backend::leases_at(&store, newest);
    }
}

fn assert_says_where(error: &Error) {
    let Error::Database { source, .. } = error else {
        panic!("{error:?}")
    };
    let words = [
        "page ",
        "cut short",
        "neither of its first two pages",
        "no bucket `",
        "the bucket `",
    ];
    let text = source.to_string();
    assert!(words.iter().any(|word| text.contains(word)), "{text}");
}

fn compare(original: &Contents, found: &Contents) -> Verdict {
    let keys = |contents: &Contents| -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let keys = |pairs: &Vec<Pair>| pairs.iter().map(|(key, _)| key.clone()).collect();
        contents
            .iter()
            .map(|(name, pairs)| (name.clone(), keys(pairs)))
            .collect()
    };
    match () {
        () if original == found => Verdict::Harmless,
        () if keys(original) == keys(found) => Verdict::SilentValue,
        () => Verdict::SilentKey,
    }
}

fn contents(bytes: &[u8]) -> Result<Contents, etcdrx::bolt::Error> {
    let database = Database::open(bytes)?;
    let mut walk = Walk::new(&database);
    let mut contents = Contents::new();
    for bucket in walk.buckets()? {
        let mut pairs = Vec::new();
        walk.leaves(&bucket, &[], Order::Ascending, &mut |_, leaf| {
            pairs.extend(
                leaf.elements()
                    .map(|element| (element.key.to_vec(), element.value.to_vec())),
            );
            ControlFlow::Continue(())
        })?;
        contents.push((bucket.name, pairs));
    }
    Ok(contents)
}

#[tokio::test]
async fn a_restore_of_a_damaged_snapshot_leaves_nothing_behind() {
    let specimen = &specimens()[0];
    let membership = Membership::parse("a=http://a:1", "token").unwrap();
    let folder = tempfile::tempdir_in(memory()).unwrap();
    for (number, (kind, _)) in (0..).zip(KINDS) {
        let path = folder.path().join("snapshot");
        let damage = specimen.damaged(kind, number);
        fs::write(&path, &damage.bytes).unwrap();
        for unproven in [false, true] {
            let target = Target {
                member: membership.members[0].clone(),
                data_dir: folder.path().join("a"),
                wal_dir: None,
            };
            let request = Request {
                membership: &membership,
                targets: vec![target],
                edits: Edits::default(),
                bump: None,
                run: "run".to_owned(),
            };
            let origin = Origin::File {
                path: &path,
                unproven,
            };
            let restored = restore::restore(&request, &origin, &Silent).await;
            let sound = Source::open(&path).unwrap().status(!unproven).is_ok();
            let whole = unproven || damage.bytes.len() % 512 == 32;
            assert_eq!(
                restored.is_ok(),
                sound && whole,
                "{kind}, {}: {restored:?}",
                damage.what
            );
            let _ = fs::remove_dir_all(folder.path().join("a"));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{kind}");
        }
    }
}

#[test]
fn etcdutl_is_asked_about_the_same_damage() {
    let releases = [require_etcd!("3.5"), require_etcd!("3.7")];
    let specimen = &specimens()[0];
    let times: u64 = std::env::var("ETCDRX_DAMAGE").map_or(0, |times| times.parse().unwrap());
    let of_kind = if times > 0 {
        180 / KINDS.len() as u64 + 1
    } else {
        4
    };
    let folder = tempfile::tempdir_in(memory()).unwrap();
    let mut table = [[0_usize; 3]; 3];
    let cases = KINDS
        .iter()
        .flat_map(|(kind, _)| (0..of_kind).map(move |number| (*kind, number)));
    for (kind, number) in cases.take(180) {
        let damage = specimen.damaged(kind, number);
        let path = folder.path().join("snapshot");
        File::create(&path)
            .unwrap()
            .write_all(&damage.bytes)
            .unwrap();
        let ours = Source::open(&path).unwrap().status(true);
        table[0][if ours.is_ok() { 2 } else { 1 }] += 1;
        for (row, release) in releases.iter().enumerate() {
            table[row + 1][etcdutl(release, &path)] += 1;
        }
    }
    println!("| status of the same snapshots | crashes | errors | fine |");
    for (name, [crashes, errors, fine]) in
        ["etcdrx", "etcdutl 3.5", "etcdutl 3.7"].iter().zip(table)
    {
        println!("| {name} | {crashes} | {errors} | {fine} |");
    }
}

/// 0 for a crash, 1 for an error, 2 for a status.
fn etcdutl(release: &EtcdRelease, path: &Path) -> usize {
    let mut command = process::command(&release.etcdutl());
    command.args(["snapshot", "status", "-w", "json"]).arg(path);
    let output = program::run(command, Duration::from_mins(1));
    match output.code {
        0 => 2,
        _ if output.stderr.contains("goroutine ") || output.code > 128 => 0,
        _ => 1,
    }
}
