//! Changes of a scratch cluster's members.

use std::time::{Duration, Instant};

use etcd_client::MemberAddOptions;

use super::{Cluster, Member, READY_LIMIT};

/// etcd refuses a new member until all others were connected for five seconds.
const ADD_LIMIT: Duration = Duration::from_secs(20);

impl Cluster {
    /// Adds and starts a learner, waits until it has caught up, and gives its index.
    ///
    /// In a cluster younger than five seconds this waits, unless it has the flag `--strict-reconfig-check=false`.
    pub(crate) async fn add_learner(&mut self) -> usize {
        self.add(true).await
    }

    /// Adds and starts a voting member, waits until it has caught up, and gives its index.
    ///
    /// In a cluster younger than five seconds this waits, unless it has the flag `--strict-reconfig-check=false`.
    pub(crate) async fn add_member(&mut self) -> usize {
        self.add(false).await
    }

    /// Makes a learner a voting member.
    pub(crate) async fn promote(&mut self, index: usize) {
        let status = self.status(index).await.expect("the learner answers");
        let id = status
            .header()
            .expect("every answer has a header")
            .member_id();
        let leader = self.leader().await;
        let promoted = self.member_client(leader).await.member_promote(id).await;
        promoted.unwrap_or_else(|error| panic!("cannot promote the learner: {error}"));
        self.members[index].mark_learner(false);
        self.wait_until_healthy().await;
    }

    /// Hands the leadership to another member.
    pub(crate) async fn move_leader(&self, to: usize) {
        let from = self.leader().await;
        if from == to {
            return;
        }
        let status = self.status(to).await.expect("the new leader answers");
        let id = status
            .header()
            .expect("every answer has a header")
            .member_id();
        let moved = self.member_client(from).await.move_leader(id).await;
        moved.unwrap_or_else(|error| panic!("cannot move the leader: {error}"));
        assert_eq!(self.leader().await, to, "the new leader leads");
    }

    async fn add(&mut self, is_learner: bool) -> usize {
        let leader = self.leader().await;
        let mut member = self.new_member();
        member.mark_learner(is_learner);
        let mut options = MemberAddOptions::new();
        if is_learner {
            options = options.with_is_learner();
        }
        let mut client = self.member_client(leader).await;
        let deadline = Instant::now() + ADD_LIMIT;
        let initial_cluster = loop {
            let added = client
                .member_add([member.peer_url()], Some(options.clone()))
                .await;
            match added {
                Ok(added) => break initial_cluster(added.member_list(), &member),
                Err(error) if error.to_string().contains("unhealthy cluster") => {
                    assert!(
                        Instant::now() < deadline,
                        "the cluster stays unhealthy: {error}"
                    );
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => panic!("cannot add {}: {error}", member.name()),
            }
        };
        self.members.push(member);
        let index = self.members.len() - 1;
        self.members[index].bootstrap(&initial_cluster, "existing");
        self.wait_for_member(index, Instant::now() + READY_LIMIT)
            .await;
        self.wait_until_caught_up(index).await;
        index
    }

    /// Waits until a member has applied what the leader has applied now.
    pub(crate) async fn wait_until_caught_up(&self, index: usize) {
        let leader = self.leader().await;
        let status = self.status(leader).await.expect("the leader answers");
        let goal = status.raft_applied_index();
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let status = self.status(index).await;
            if status.is_some_and(|status| status.raft_applied_index() >= goal) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not catch up\n{}",
                self.members[index].name(),
                self.members[index].last_words()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The members as the cluster knows them; the new one, that has never run, has no name yet.
fn initial_cluster(members: &[etcd_client::Member], new: &Member) -> String {
    let pairs = members.iter().map(|member| {
        let is_new = member.peer_urls().iter().any(|url| url == new.peer_url());
        let name = if is_new { new.name() } else { member.name() };
        format!("{name}={}", member.peer_urls().join(","))
    });
    pairs.collect::<Vec<_>>().join(",")
}
