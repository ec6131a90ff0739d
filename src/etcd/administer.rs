//! What changes a living cluster: its members, its leader, its history and its alarms.

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions, MemberAddOptions};

use super::Error;
use super::access::Member;
use crate::id::{MemberId, Revision};

impl Member {
    /// Takes a member out of the list; one that is not there is out already.
    ///
    /// # Errors
    /// If the cluster refuses, or does not answer.
    pub async fn remove_member(&self, id: MemberId) -> Result<(), Error> {
        let mut client = self.client.clone();
        let removed = self.answered("the removal of a member", client.member_remove(id.0));
        match removed.await {
            Err(Error::Call { message, .. }) if message.contains("member not found") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Adds a member at these peer URLs, and says which id it got.
    ///
    /// # Errors
    /// If the cluster refuses, or does not answer.
    pub async fn add_member(
        &self,
        peer_urls: &[String],
        is_learner: bool,
    ) -> Result<MemberId, Error> {
        let mut options = MemberAddOptions::new();
        if is_learner {
            options = options.with_is_learner();
        }
        let mut client = self.client.clone();
        let adding = client.member_add(peer_urls, Some(options));
        let added = self.answered("the addition of a member", adding).await?;
        Ok(MemberId(added.member().map_or(0, etcd_client::Member::id)))
    }

    /// Gives a learner its vote; one that votes is content already.
    ///
    /// # Errors
    /// If it has not caught up, the cluster refuses, or does not answer.
    pub async fn promote_member(&self, id: MemberId) -> Result<(), Error> {
        let mut client = self.client.clone();
        let promoted = self.answered("the promotion of a learner", client.member_promote(id.0));
        match promoted.await {
            Err(Error::Call { message, .. })
                if message.contains("can only promote a learner member")
                    && !message.contains("in sync") =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Moves the leadership; this must be the leader.
    ///
    /// # Errors
    /// If it is not, or the other one cannot lead.
    pub async fn move_leader(&self, to: MemberId) -> Result<(), Error> {
        let mut client = self.client.clone();
        self.answered("the move of the leadership", client.move_leader(to.0))
            .await
            .map(drop)
    }

    /// Compacts the history up to `revision`; what is compacted already stays so.
    ///
    /// # Errors
    /// If the cluster refuses, or does not answer.
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let mut client = self.client.clone();
        let options = CompactionOptions::new().with_physical();
        let compacted = self.answered("a compaction", client.compact(revision.0, Some(options)));
        match compacted.await {
            Err(Error::Call { message, .. }) if message.contains("has been compacted") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Gives the free pages of this member's file back; it answers nobody meanwhile.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn defragment(&self) -> Result<(), Error> {
        let mut client = self.client.clone();
        self.answered("a defragmentation", client.defragment())
            .await
            .map(drop)
    }

    /// Takes back every alarm that stands, and says for whom they were.
    ///
    /// # Errors
    /// If there is no quorum.
    pub async fn disarm(&self) -> Result<Vec<(String, MemberId)>, Error> {
        let mut client = self.client.clone();
        let asked = client.alarm(AlarmAction::Get, AlarmType::None, None);
        let standing = self.answered("the list of alarms", asked).await?;
        let mut disarmed = Vec::new();
        for alarm in standing.alarms() {
            let mut options = AlarmOptions::new();
            options.with_member(alarm.member_id());
            let mut client = self.client.clone();
            let taken = client.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(options));
            self.answered("the disarming of an alarm", taken).await?;
            let kind = match alarm.alarm() {
                AlarmType::Nospace => "NOSPACE",
                AlarmType::Corrupt => "CORRUPT",
                AlarmType::None => "none",
            };
            disarmed.push((kind.to_owned(), MemberId(alarm.member_id())));
        }
        Ok(disarmed)
    }
}
