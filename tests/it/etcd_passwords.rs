//! Users and passwords: who may be backed up from, and what the others are told.

use std::fs;

use etcd_client::{Client, Permission, PermissionType};

use crate::scratch::cluster::{BACKUP_PASSWORD, ROOT_PASSWORD};
use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, assert_ends};

#[tokio::test]
async fn a_password_comes_from_a_file_or_from_the_environment() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).auth().start().await;
        let workplace = Workplace::of(&cluster);
        let file = workplace.path("password");
        fs::write(&file, format!("{BACKUP_PASSWORD}\n")).unwrap();
        let settings = workplace.settings(&cluster).set("cluster.user", "backup");
        let file = file.display().to_string();
        let with_file = settings.clone().set("cluster.password_file", file);

        workplace.configure(&with_file);
        let from_file = workplace.etcdrx().run(["backup", "--json"]);
        workplace.configure(&settings);
        let with_password = workplace.etcdrx().env("ETCDCTL_PASSWORD", BACKUP_PASSWORD);
        let from_environment = with_password.run(["backup"]);
        let root = format!("root:{ROOT_PASSWORD}");
        let as_etcdctl = workplace.etcdrx().env("ETCDCTL_USER", root);
        let both_in_one = as_etcdctl.run(["backup", "--member", "etcd-1"]);

        let manifest = from_file.success().json();
        assert_eq!(manifest["member_name"], "etcd-1");
        assert_eq!(manifest["findings"], serde_json::json!([]));
        assert!(manifest["hashkv"]["hash"].is_u64(), "{manifest}");
        assert_ends(&from_environment, 0, &[]);
        assert_ends(&both_in_one, 0, &[]);
        for output in [&from_environment, &both_in_one] {
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(!said.contains("scratch-"), "a password is told: {said}");
        }
    }
}

#[tokio::test]
async fn whoever_may_not_is_told_why() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).auth().start().await;
        let mut client = cluster.client().await;
        add_reader(&mut client).await;
        client.user_add("nobody", "secret", None).await.unwrap();
        let endpoint = cluster.members[0].client_url();
        let workplace = Workplace::of(&cluster);
        let as_user = |user: &str| workplace.etcdrx().env("ETCDCTL_USER", user);

        let wrong = as_user("root:wrong").run(["backup"]);
        let unknown = as_user("who:knows").run(["backup"]);
        let missing = as_user("root").run(["backup"]);
        let anonymous = workplace.etcdrx().run(["backup"]);
        let reader = as_user("reader:secret").run(["backup"]);
        let nobody = as_user("nobody:secret").run(["backup"]);
        let checked = as_user("root:wrong").run(["check"]);

        println!("{wrong:?}{missing:?}{anonymous:?}{reader:?}{nobody:?}");
        let refused = format!("{endpoint} refuses the user");
        let hint = "hint: check `user` and ETCDCTL_PASSWORD or `password_file`";
        assert_ends(&wrong, 1, &[&refused, "root: wrong name or password", hint]);
        assert_ends(
            &unknown,
            1,
            &[&refused, "who: wrong name or password", hint],
        );
        let hint = "hint: set ETCDCTL_PASSWORD, or `password_file` in [cluster]";
        assert_ends(
            &missing,
            2,
            &["there is no password for the user root", hint],
        );
        let hint = "hint: a snapshot takes a user with the role root";
        assert_ends(&anonymous, 1, &["does not allow", hint]);
        assert_ends(
            &reader,
            1,
            &["does not allow a snapshot to the user reader", hint],
        );
        assert_ends(&nobody, 1, &["does not allow", "the user nobody", hint]);
        assert_eq!(checked.code, 3, "{checked:?}");
        assert!(
            checked.stdout.contains("wrong name or password"),
            "{checked:?}"
        );
        workplace.assert_holds_only_whole_backups(0);
    }
}

#[tokio::test]
async fn a_password_where_none_is_asked_for_does_no_harm() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::of(&cluster);

    let with_password = workplace.etcdrx().env("ETCDCTL_USER", "root:any");

    with_password.run(["backup"]).success();
}

/// A user who may read and write every key, and take no snapshot.
async fn add_reader(client: &mut Client) {
    let everything = Permission::new(PermissionType::Readwrite, "").with_all_keys();
    client.role_add("reader").await.unwrap();
    let granted = client.role_grant_permission("reader", everything).await;
    granted.unwrap();
    client.user_add("reader", "secret", None).await.unwrap();
    client.user_grant_role("reader", "reader").await.unwrap();
}
