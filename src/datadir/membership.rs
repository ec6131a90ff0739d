//! Who the members of a restored cluster are: names, peer URLs, and the ids that etcd computes from them.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use thiserror::Error;

use super::{json, peer_url};
use crate::id::{ClusterId, MemberId};

/// Why a membership is not one that etcd would start with.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// Nobody would be a member.
    #[error("the initial cluster names no member: write it as name=http://host:2380,name2=..")]
    NoMember,

    /// A piece of the list is no `name=url`.
    #[error(
        "`{text}` in the initial cluster is not name=url: write each member as name=http://host:2380"
    )]
    NotAPair { text: String },

    /// Names are compared byte by byte, so what cannot be seen in them misleads.
    #[error("the member name `{}` in the initial cluster begins or ends with a space, or holds a control character", .name.escape_debug())]
    OddName { name: String },

    /// A URL that etcd refuses, or would write differently.
    #[error("`{url}` is not a peer URL of {name}: {why}")]
    PeerUrl {
        name: String,
        url: String,
        why: &'static str,
    },

    /// Two members, or one twice, at the same URL.
    #[error(
        "the peer URL {url} stands twice in the initial cluster, for {first} and {second}: every URL belongs to one member, once"
    )]
    SameUrl {
        url: String,
        first: String,
        second: String,
    },

    /// Not to be expected of SHA-1 and different URLs.
    #[error("{first} and {second} would get the same id, or the id 0: use another token")]
    SameId { first: String, second: String },

    /// The member that the directory is for is not in the list.
    #[error("the initial cluster has no member {name}: it has {}", .known.join(", "))]
    NoSuchMember { name: String, known: Vec<String> },

    /// etcd would refuse to start with these flags.
    #[error("{name} advertises {}, but the initial cluster gives it {}: both must be the same", .advertised.join(","), .listed.join(","))]
    OtherUrls {
        name: String,
        advertised: Vec<String>,
        listed: Vec<String>,
    },
}

/// One member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty for a member that has never started.
    pub name: String,
    /// Where its peers reach it, sorted as texts.
    pub peer_urls: Vec<String>,
    /// Whether it only learns, and does not vote.
    pub is_learner: bool,
    /// Where clients reach it; known only once it has started.
    pub client_urls: Vec<String>,
}

impl Member {
    /// The JSON that etcd keeps of it: in the bucket `members`, and in the entry that adds it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = format!(
            "{{\"id\":{},\"peerURLs\":{}",
            self.id.0,
            json::list(&self.peer_urls)
        );
        if self.is_learner {
            json.push_str(",\"isLearner\":true");
        }
        if !self.name.is_empty() {
            json.push_str(",\"name\":");
            json.push_str(&json::string(&self.name));
        }
        if !self.client_urls.is_empty() {
            json.push_str(",\"clientURLs\":");
            json.push_str(&json::list(&self.client_urls));
        }
        json.push('}');
        json
    }

    /// The part of it that raft's side of etcd keeps in its old store.
    pub(super) fn raft_attributes(&self) -> String {
        let learner = if self.is_learner {
            ",\"isLearner\":true"
        } else {
            ""
        };
        format!("{{\"peerURLs\":{}{learner}}}", json::list(&self.peer_urls))
    }
}

/// The members of a cluster that is to start, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The members by ascending id. All of them vote.
    pub members: Vec<Member>,
    /// The id of their cluster.
    pub cluster_id: ClusterId,
}

impl Membership {
    /// Reads a list as `--initial-cluster` takes it: `m1=http://a:2380,m2=http://b:2380`; a repeated name adds a URL.
    ///
    /// The same URLs with the same token give the same ids, and then members of the old cluster rejoin the new one: a restore takes
    /// a new token.
    ///
    /// # Errors
    /// If etcd would refuse the list, or would not print a URL as it stands.
    pub fn parse(initial_cluster: &str, token: &str) -> Result<Self, Error> {
        let mut members: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for pair in initial_cluster.split(',').filter(|pair| !pair.is_empty()) {
            let (name, url) = pair.split_once('=').ok_or_else(|| Error::NotAPair {
                text: pair.to_owned(),
            })?;
            check_name(name, pair)?;
            let url = checked(name, url)?;
            members.entry(name).or_default().push(url);
        }
        refuse_same_urls(&members)?;
        let members = members.into_iter();
        let mut members: Vec<Member> = members
            .map(|(name, urls)| new_member(name, urls, token))
            .collect();
        members.sort_by_key(|member| member.id);
        refuse_same_ids(&members)?;
        if members.is_empty() {
            return Err(Error::NoMember);
        }
        let ids = members.iter().flat_map(|member| member.id.0.to_be_bytes());
        let cluster_id = ClusterId(first_eight(&ids.collect::<Vec<u8>>()));
        Ok(Self {
            members,
            cluster_id,
        })
    }

    /// Finds a member by its name.
    ///
    /// # Errors
    /// If there is none.
    pub fn member(&self, name: &str) -> Result<&Member, Error> {
        let mut members = self.members.iter();
        let found = members.find(|member| member.name == name);
        found.ok_or_else(|| Error::NoSuchMember {
            name: name.to_owned(),
            known: self.names(),
        })
    }

    /// Finds the member that a directory is for, and holds against it what it will advertise: URLs with commas between.
    ///
    /// The URLs are compared as texts; etcd also resolves their hosts.
    ///
    /// # Errors
    /// If there is no such member, or it advertises other URLs than the list gives it.
    pub fn local(&self, name: &str, advertised_peer_urls: &str) -> Result<&Member, Error> {
        let member = self.member(name)?;
        let advertised = advertised_peer_urls.split(',');
        let mut advertised = advertised
            .map(|url| checked(name, url))
            .collect::<Result<Vec<_>, _>>()?;
        advertised.sort();
        advertised.dedup();
        if advertised != member.peer_urls {
            return Err(Error::OtherUrls {
                name: name.to_owned(),
                advertised,
                listed: member.peer_urls.clone(),
            });
        }
        Ok(member)
    }

    /// The ids of all members, ascending.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.id.0).collect()
    }

    fn names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.members.iter().map(|m| m.name.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }
}

fn check_name(name: &str, pair: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::NotAPair {
            text: pair.to_owned(),
        });
    }
    if name.trim() != name || name.contains(char::is_control) {
        return Err(Error::OddName {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// The URL without the space around it, which etcd drops as well.
fn checked(name: &str, url: &str) -> Result<String, Error> {
    let url = url.trim();
    match peer_url::fault(url) {
        None => Ok(url.to_owned()),
        Some(why) => Err(Error::PeerUrl {
            name: name.to_owned(),
            url: url.to_owned(),
            why,
        }),
    }
}

fn refuse_same_urls(members: &BTreeMap<&str, Vec<String>>) -> Result<(), Error> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, urls) in members {
        for url in urls {
            if let Some(first) = owners.insert(url, name) {
                return Err(Error::SameUrl {
                    url: url.clone(),
                    first: first.to_owned(),
                    second: (*name).to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn refuse_same_ids(members: &[Member]) -> Result<(), Error> {
    let same = members.windows(2).find(|pair| pair[0].id == pair[1].id);
    let zero = members.first().filter(|member| member.id.0 == 0);
    let pair = same.map(|pair| (&pair[0], &pair[1]));
    match pair.or(zero.map(|member| (member, member))) {
        None => Ok(()),
        Some((first, second)) => Err(Error::SameId {
            first: first.name.clone(),
            second: second.name.clone(),
        }),
    }
}

fn new_member(name: &str, mut peer_urls: Vec<String>, token: &str) -> Member {
    peer_urls.sort();
    let hashed = peer_urls.concat() + token;
    Member {
        id: MemberId(first_eight(hashed.as_bytes())),
        name: name.to_owned(),
        peer_urls,
        is_learner: false,
        client_urls: Vec::new(),
    }
}

/// The first eight bytes of the SHA-1, which etcd takes for an id.
fn first_eight(bytes: &[u8]) -> u64 {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let first = hash.as_ref().iter().take(8);
    first.fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The ids were computed by etcdutl 3.5.33 and 3.6.14.
    #[test]
    fn ids_are_those_of_etcd() {
        let list = "m<1>&=http://[::1]:2380,m<1>&=http://127.0.0.1:2380,b=http://127.0.0.2:2380";
        let membership = Membership::parse(list, "tok").unwrap();
        assert_eq!(
            membership.ids(),
            [0x167d_bdad_1a42_2110, 0x6900_051e_73e7_c254]
        );
        let urls = ["http://127.0.0.1:2380", "http://[::1]:2380"];
        assert_eq!(membership.member("m<1>&").unwrap().peer_urls, urls);
    }

    #[test]
    fn a_member_is_written_as_go_writes_it() {
        let mut member = new_member("a<b>&\u{2028}\"", vec!["http://a:1".to_owned()], "");
        member.id = MemberId(u64::MAX);
        assert_eq!(
            member.to_json(),
            r#"{"id":18446744073709551615,"peerURLs":["http://a:1"],"name":"a\u003cb\u003e\u0026\u2028\""}"#
        );
        assert_eq!(member.raft_attributes(), r#"{"peerURLs":["http://a:1"]}"#);
        member.name = String::new();
        member.is_learner = true;
        member.client_urls = vec!["http://a:2".to_owned(), "http://b:2".to_owned()];
        assert_eq!(
            member.to_json(),
            r#"{"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true,"clientURLs":["http://a:2","http://b:2"]}"#
        );
    }

    #[test]
    fn the_order_of_members_and_urls_does_not_matter() {
        let one = Membership::parse("a=http://a:1,b=http://b:1,a=http://a:2", "t").unwrap();
        let other = Membership::parse(",a= http://a:2 ,a=http://a:1,,b=http://b:1,", "t").unwrap();
        assert_eq!(one, other);
        assert_ne!(
            one,
            Membership::parse("a=http://a:1,b=http://b:1,a=http://a:2", "u").unwrap()
        );
    }

    #[test]
    fn a_list_that_etcd_refuses_is_refused_with_the_place() {
        let refusal = |list| Membership::parse(list, "t").unwrap_err().to_string();
        assert!(refusal("").starts_with("the initial cluster names no member"));
        assert!(refusal("a").starts_with("`a` in the initial cluster is not name=url"));
        assert!(refusal("=http://a:1").starts_with("`=http://a:1` in"));
        assert!(refusal("a=http://a:1, b=http://b:1").starts_with("the member name ` b`"));
        assert_eq!(
            refusal("a=http://a:1/"),
            "`http://a:1/` is not a peer URL of a: it must end after the port: a path is not allowed, not even a single slash"
        );
        for (list, second) in [
            ("a=http://a:1,b=http://a:1", "b"),
            ("a=http://a:1,a=http://a:1", "a"),
        ] {
            let expected = format!(
                "the peer URL http://a:1 stands twice in the initial cluster, for a and {second}"
            );
            assert!(refusal(list).starts_with(&expected), "{}", refusal(list));
        }
    }

    #[test]
    fn what_a_member_advertises_must_be_what_the_list_says() {
        let membership = Membership::parse("a=http://a:1,a=http://a:2,b=http://b:1", "t").unwrap();
        let local = |name, urls| membership.local(name, urls);
        assert_eq!(local("a", "http://a:2,http://a:1").unwrap().name, "a");
        assert_eq!(
            local("c", "http://a:1").unwrap_err().to_string(),
            "the initial cluster has no member c: it has a, b"
        );
        assert_eq!(
            local("a", "http://a:2").unwrap_err().to_string(),
            "a advertises http://a:2, but the initial cluster gives it http://a:1,http://a:2: both must be the same"
        );
        assert!(local("b", "http://b:1/").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_membership_or_refused(text: String, token: String) {
            let _ = Membership::parse(&text, &token);
            let _ = Membership::parse(&format!("a=http://{text}:1,b={text}"), &token);
        }
    }
}
