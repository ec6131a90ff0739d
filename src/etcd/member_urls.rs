//! The members that a live cluster lists, and where they are reached.

use std::time::Duration;

use super::Error;
use super::access::Access;
use crate::config::MemberUrls;

/// Asks one endpoint after the other for the list of members, until one answers.
///
/// A member that never started has no name yet and is left out.
///
/// # Errors
/// If none answers.
pub async fn member_urls(access: &Access, patience: Duration) -> Result<Vec<MemberUrls>, Error> {
    let mut errors = Vec::new();
    for endpoint in access.endpoints() {
        match ask(access, endpoint, patience).await {
            Ok(members) => return Ok(members),
            Err(error) => errors.push(error),
        }
    }
    Err(Error::none_answers(errors))
}

async fn ask(
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> Result<Vec<MemberUrls>, Error> {
    match list(access, endpoint, patience).await {
        Ok(members) => Ok(members),
        Err(failure) => Err(access.explain(endpoint, failure, patience).await),
    }
}

async fn list(
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> Result<Vec<MemberUrls>, Error> {
    let member = access.member(endpoint, patience).await?;
    let mut client = member.client.clone();
    let list = member
        .answered("the list of members", client.member_list())
        .await?;
    let started = list
        .members()
        .iter()
        .filter(|member| !member.name().is_empty());
    Ok(started
        .map(|member| MemberUrls {
            name: member.name().to_owned(),
            client_urls: member.client_urls().to_vec(),
            peer_urls: member.peer_urls().to_vec(),
        })
        .collect())
}
