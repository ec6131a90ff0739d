//! The members of a cluster as one member lists them, those that never started and learners among them.

use super::Error;
use super::access::Member;
use crate::id::MemberId;

/// A member as another one, or it itself, lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty where it was added and never started.
    pub name: String,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none where it never started.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

impl Member {
    /// The members as this one knows them, without asking the others: it takes no quorum.
    ///
    /// etcd 3.5 and later would ask the others if the request did not say otherwise (`linearizable`), and time out.
    ///
    /// # Errors
    /// If it does not answer, or we may not ask.
    pub async fn members(&self) -> Result<Vec<Listed>, Error> {
        let mut client = self.client.clone();
        let list = self
            .answered("the list of members", client.member_list())
            .await?;
        let members = list.members().iter().map(|member| Listed {
            id: MemberId(member.id()),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            client_urls: member.client_urls().to_vec(),
            is_learner: member.is_learner(),
        });
        Ok(members.collect())
    }
}
