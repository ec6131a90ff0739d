//! The options of a restore on real servers: auth, IPv6, alarms, a log elsewhere, backups, other page sizes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use etcd_client::{AlarmAction, AlarmType, Client, ConnectOptions};
use etcdrx::bolt::{Database, Loader, Order, Walk};

use crate::restore_setup::{
    Source, Truth, keys_at, keys_in, restore_all, restore_one, save_snapshot, wait_until_at,
    write_history,
};
use crate::scratch::cluster::{BACKUP_PASSWORD, ROOT_PASSWORD};
use crate::scratch::tools::{self, function_name};
use crate::scratch::{Cluster, ports};
use crate::setup::{Workplace, codes, etcdrx};

#[tokio::test(flavor = "multi_thread")]
async fn with_auth_on_the_old_passwords_are_asked_for() {
    for release in tools::etcd_versions() {
        let source = {
            let cluster = Cluster::of(&release).auth().start().await;
            cluster.put_many("key/", 50, 50).await;
            Source::from(&cluster).await
        };
        let restore = |cluster: &mut Cluster| {
            let said = restore_all(cluster, source.path(), &[]).json();
            assert!(codes(&said).contains(&"auth"), "{said}");
        };
        let cluster = Cluster::of(&release).members(3).auth();
        let cluster = cluster.start_on(restore).await;

        for index in 0..3 {
            let mut root = cluster.member_client(index).await;
            assert_eq!(Truth::of(&mut root, None).await, source.truth);
        }
        let url = cluster.members[0].client_url();
        let mut anonymous = Client::connect([url], None).await.unwrap();
        let refused = anonymous.get("key/00000001", None).await.unwrap_err();
        assert!(
            refused.to_string().contains("user name is empty"),
            "{refused}"
        );
        let with = |user: &str, password: &str| {
            let options = ConnectOptions::new().with_user(user, password);
            Client::connect([url.to_owned()], Some(options))
        };
        assert!(with("root", "wrong").await.is_err());
        for (user, password) in [("root", ROOT_PASSWORD), ("backup", BACKUP_PASSWORD)] {
            let mut client = with(user, password).await.unwrap();
            client.put("after", user, None).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_talk_ipv6_find_each_other() {
    if TcpListener::bind("[::1]:0").is_err() {
        return tools::skip(&function_name!(), "IPv6 on loopback");
    }
    for release in tools::etcd_versions() {
        let source = Source::of(&release).await;
        let restore = |cluster: &mut Cluster| {
            let mut pairs = Vec::new();
            for member in &mut cluster.members {
                let url = format!("http://[::1]:{}", ports::free_port());
                pairs.push(format!("{}={url}", member.name()));
                let flags = ["--listen-peer-urls=", "--initial-advertise-peer-urls="];
                member
                    .arguments()
                    .extend(flags.map(|flag| format!("{flag}{url}")));
            }
            let (list, directory) = (pairs.join(","), cluster.directory().to_str().unwrap());
            let flags = ["--initial-cluster", &list, "--all-members", directory];
            etcdrx()
                .run(["restore", source.path()].iter().chain(&flags))
                .success();
        };
        let cluster = Cluster::of(&release).members(3).start_on(restore).await;

        let mut client = cluster.client().await;
        let members = client.member_list().await.unwrap();
        for member in members.members() {
            assert!(
                member.peer_urls()[0].starts_with("http://[::1]:"),
                "{member:?}"
            );
        }
        let put = client.put("after", "the restore", None).await.unwrap();
        for index in 0..3 {
            wait_until_at(&cluster, index, put.header().unwrap().revision()).await;
            let mut client = cluster.member_client(index).await;
            let mut keys = keys_at(&mut client, None).await;
            keys.remove(b"after".as_slice()).unwrap();
            assert_eq!(keys, source.truth.keys);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_survives_unless_it_is_cleared() {
    for release in tools::etcd_versions() {
        let workplace = Workplace::new();
        let path = workplace.path("snapshot.db");
        let source = path.to_str().unwrap();
        {
            let cluster = Cluster::of(&release).quota_bytes(2 << 20).start().await;
            cluster.fill_up().await;
            save_snapshot(&mut cluster.client().await, &path).await;
        }
        let status = etcdrx().run(["snapshot", "status", source, "--json"]);
        assert_eq!(codes(&status.success().json()), ["alarm"]);
        for (flags, writable) in [
            (&[][..], false),
            (&["--clear-alarms"], true),
            (&["--clear-alarms", "--defragment"], true),
        ] {
            let restore = |cluster: &mut Cluster| {
                let said = restore_one(cluster, source, flags).json();
                assert_eq!(codes(&said).contains(&"alarm"), !writable, "{said}");
            };
            let cluster = Cluster::of(&release).start_on(restore).await;

            let mut client = cluster.client().await;
            let alarms = client
                .alarm(AlarmAction::Get, AlarmType::None, None)
                .await
                .unwrap();
            let put = client.put("after", "the restore", None).await;

            assert_eq!(alarms.alarms().len(), usize::from(!writable));
            assert_eq!(put.is_ok(), writable, "{}: {put:?}", release.version());
            if let Err(refused) = put {
                assert!(refused.to_string().contains("space exceeded"), "{refused}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_elsewhere_is_where_etcd_looks_for_it() {
    for release in tools::etcd_versions() {
        let source = Source::of(&release).await;
        let restore = |cluster: &mut Cluster| {
            let wal = cluster.directory().join("logs/wal");
            let wal_text = wal.to_str().unwrap();
            restore_one(cluster, source.path(), &["--wal-dir", wal_text]);
            assert!(!cluster.members[0].data_dir().join("member/wal").exists());
            assert_eq!(fs::read_dir(&wal).unwrap().count(), 1);
            assert_eq!(fs::read_dir(wal.parent().unwrap()).unwrap().count(), 1);
            let flag = format!("--wal-dir={wal_text}");
            cluster.members[0].arguments().push(flag);
        };
        let mut cluster = Cluster::of(&release).start_on(restore).await;
        let mut client = cluster.client().await;
        assert_eq!(Truth::of(&mut client, None).await, source.truth);
        client.put("after", "the restore", None).await.unwrap();
        cluster.kill_all();
        cluster.start_all().await;
        let mut client = cluster.client().await;
        let kept = client.get("after", None).await.unwrap();
        assert_eq!(kept.kvs()[0].value(), b"the restore");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_as_its_fetched_file_is() {
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).start().await;
    write_history(&cluster).await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let older = etcdrx.run(["backup", "--json"]).success().json();
    cluster.put_many("newer/", 50, 50).await;
    let newer = etcdrx.run(["backup", "--json"]).success().json();
    let (older, newer_id) = (older["id"].as_str().unwrap(), newer["id"].as_str().unwrap());
    etcdrx.run(["fetch", older, "-o", "older.db"]).success();
    etcdrx.run(["fetch", newer_id, "-o", "newer.db"]).success();
    let restored = |source: &str, name: &str, more: &[&str]| {
        let flags = [
            "restore",
            source,
            "--json",
            "--initial-cluster-token",
            "same",
            "--data-dir",
            name,
        ];
        etcdrx.run(flags.iter().chain(more)).success().json()
    };

    for (number, more) in [&[][..], &["--defragment"]].into_iter().enumerate() {
        let name = |what: &str| format!("{what}-{number}");
        let said: Vec<_> = [
            ("./older.db", "older-file"),
            (older, "older-id"),
            ("./newer.db", "newer-file"),
            (newer_id, "newer-id"),
            ("latest", "latest"),
        ]
        .into_iter()
        .map(|(source, what)| restored(source, &name(what), more))
        .collect();

        assert_eq!(said[3]["revision"], newer["revision"]);
        assert_eq!(said[0]["cluster_id"], said[4]["cluster_id"]);
        let tree = |what: &str| files(&workplace.path(&name(what)));
        assert!(tree("older-id") == tree("older-file"), "the older one");
        assert!(tree("newer-id") == tree("newer-file"), "the newer one");
        assert!(tree("latest") == tree("newer-file"), "the latest one");
        assert!(tree("latest") != tree("older-file"));
    }
    // A revision raised automatically goes beyond what any backup has seen.
    let raised = ["--bump-revision", "auto", "--mark-compacted"];
    let said = restored(older, "raised", &raised);
    assert!(said["revision"].as_i64() > newer["revision"].as_i64());
    let unknown = etcdrx.run(["restore", "20200101T000000Z-000000"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.stderr.contains("20200101T000000Z-000000"),
        "{unknown:?}"
    );
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((name, fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_every_restore_makes_a_cluster_of_its_own() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let source = Source::from(&cluster).await;
    let status = cluster.status(0).await.unwrap();
    let header = status.header().unwrap();
    let old = [header.cluster_id(), header.member_id()].map(|id| format!("{id:x}"));
    let directory = tempfile::tempdir().unwrap();
    let list = cluster.initial_cluster();
    let restore = |name: &str, token: &[&str]| {
        let data = directory.path().join(name);
        let flags = [
            "restore",
            source.path(),
            "--json",
            "--name",
            "etcd-1",
            "--initial-cluster",
            &list,
            "--data-dir",
            data.to_str().unwrap(),
        ];
        etcdrx().run(flags.iter().chain(token)).success().json()
    };

    let said: Vec<_> = ["a", "b", "c"].map(|name| restore(name, &[])).into();
    let same = restore("same", &["--initial-cluster-token", "scratch"]);

    for field in ["token", "cluster_id"] {
        let told: BTreeSet<_> = said
            .iter()
            .map(|said| said[field].as_str().unwrap())
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(!told.contains(old[0].as_str()));
    }
    for said in &said {
        assert_ne!(said["members"][0]["id"], old[1]);
    }
    // The token of the old cluster gives the old ids.
    assert_eq!(same["cluster_id"], old[0]);
    assert_eq!(same["members"][0]["id"], old[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_page_size_boots() {
    let workplace = Workplace::new();
    let (golden, other) = (workplace.path("golden.db"), workplace.path("other.db"));
    let packed = include_bytes!("../data/snapshot-3.7.db.zst");
    fs::write(&golden, zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    let keys = keys_in(&golden, &[]);
    for page_size in [1024, 8192, 16384, 65536] {
        load(&golden, &other, page_size);
        let mut bytes = fs::read(&other).unwrap();
        let trailer = digest(&SHA256, &bytes);
        bytes.extend_from_slice(trailer.as_ref());
        fs::write(&other, bytes).unwrap();
        for flags in [&[][..], &["--defragment"]] {
            let restore = |cluster: &mut Cluster| {
                restore_all(cluster, other.to_str().unwrap(), flags);
                let db = Database::open(File::open(cluster.members[0].db()).unwrap()).unwrap();
                assert_eq!(db.meta().page_size, page_size);
            };
            let members = if page_size == 16384 { 3 } else { 1 };
            let cluster = Cluster::of(&tools::newest_etcd()).members(members);
            let mut cluster = cluster.start_on(restore).await;

            for index in 0..members {
                let mut client = cluster.member_client(index).await;
                assert_eq!(keys_at(&mut client, None).await, keys);
            }
            cluster.put_many("after/", 200, 500).await;
            cluster.kill_all();
            cluster.start_all().await;
            let mut client = cluster.client().await;
            let live = keys_at(&mut client, None).await;
            assert_eq!(live.len(), keys.len() + 200);
            save_snapshot(&mut client, &workplace.path("fresh.db")).await;
            assert_eq!(keys_in(&workplace.path("fresh.db"), &[]), live);
        }
    }
}

/// Writes the content of a database into one of another page size.
fn load(from: &Path, to: &Path, page_size: usize) {
    let database = Database::open(File::open(from).unwrap()).unwrap();
    let mut walk = Walk::new(&database);
    let mut loader = Loader::create(File::create(to).unwrap(), page_size).unwrap();
    for bucket in walk.buckets().unwrap() {
        loader.begin_bucket(&bucket.name).unwrap();
        walk.leaves(&bucket, &[], Order::Ascending, &mut |_, leaf| {
            for element in leaf.elements() {
                loader.push(element.key, element.value).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    loader.finish().unwrap();
}
