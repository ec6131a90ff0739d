//! Requests of etcd's second API in the log: 3.4 and 3.5 write some even if no client asks for it, and 3.7 cannot read them.

use std::path::Path;

use super::{Error, entries};
use crate::datadir::raft::{Entry, EntryKind, each};

/// Requests of the second API that a start replays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecondApi {
    /// How many there are.
    pub count: u64,
    /// The index of the first.
    pub first: Option<u64>,
    /// The index of the last.
    pub last: Option<u64>,
    /// The first that is more than etcd's own record of a member or of the cluster's version: a client's. Method and path.
    pub of_client: Option<(u64, String)>,
}

/// Reads the requests of the second API in the log in `dir` that lie behind the entry `after`: what a start on a raft snapshot of that
/// index replays. Changes nothing, and works while the member runs.
///
/// etcd 3.4 and 3.5 record in this form that a member publishes its client URLs and that the cluster's version changes.
///
/// # Errors
/// If there is no log, the disk refuses, or the log is damaged.
pub fn second_api(dir: &Path, after: u64) -> Result<SecondApi, Error> {
    let mut found = SecondApi::default();
    for entry in entries(dir, after.saturating_add(1))? {
        let entry = entry?;
        let Some(request) = Request::of_entry(&entry) else {
            continue;
        };
        found.count += 1;
        found.first.get_or_insert(entry.index);
        found.last = Some(entry.index);
        if !request.is_of_etcd() && found.of_client.is_none() {
            let words = format!("{} {}", request.method, request.path);
            found.of_client = Some((entry.index, words));
        }
    }
    Ok(found)
}

/// A request of the second API.
#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
}

impl Request {
    /// Reads one; any other entry is none.
    ///
    /// A request of the third API has its header, an id and one message of its own kind; only those of the second have a method in
    /// the second field (`raft.proto` and `etcdserver.proto`, 3.4 to 3.6).
    fn of_entry(entry: &Entry) -> Option<Self> {
        const METHODS: [&str; 6] = ["PUT", "POST", "DELETE", "GET", "QGET", "SYNC"];
        if entry.kind != EntryKind::Normal || entry.data.is_empty() {
            return None;
        }
        let mut request = Self::default();
        let read = each(&entry.data, |field, value| {
            let text = match field {
                2 => &mut request.method,
                3 => &mut request.path,
                _ => return Ok(()),
            };
            *text = String::from_utf8_lossy(value.bytes()?).into_owned();
            Ok(())
        });
        let is_one = METHODS.contains(&request.method.as_str());
        (read.is_ok() && is_one).then_some(request)
    }

    /// Whether etcd wrote it for itself: 3.6 takes such requests and no others.
    fn is_of_etcd(&self) -> bool {
        let of_member = self.path.strip_prefix("/0/members/").is_some_and(|rest| {
            let id = rest.strip_suffix("/attributes");
            id.is_some_and(|id| !id.is_empty() && id.bytes().all(|sign| sign.is_ascii_hexdigit()))
        });
        self.method == "PUT" && (of_member || self.path == "/0/version")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protobuf::Writer;

    fn entry(data: Vec<u8>) -> Entry {
        Entry {
            index: 1,
            term: 2,
            kind: EntryKind::Normal,
            data,
        }
    }

    fn request(method: &str, path: &str) -> Entry {
        let writer = Writer::default().number(1, 7);
        let writer = writer.bytes(2, method.as_bytes());
        entry(writer.bytes(3, path.as_bytes()).finish())
    }

    #[test]
    fn a_request_of_a_client_is_told_from_those_of_etcd() {
        for (method, path, is_of_etcd) in [
            ("PUT", "/0/members/8e9e05c52164694d/attributes", true),
            ("PUT", "/0/version", true),
            ("DELETE", "/0/version", false),
            ("PUT", "/0/members//attributes", false),
            ("PUT", "/1/foo", false),
            ("SYNC", "", false),
        ] {
            let request = Request::of_entry(&request(method, path)).unwrap();
            assert_eq!(request.is_of_etcd(), is_of_etcd, "{method} {path}");
        }
    }

    #[test]
    fn other_entries_are_no_requests_of_the_second_api() {
        let range = Writer::default().bytes(1, b"key").finish();
        let third = Writer::default().number(1, 7).bytes(3, &range).finish();
        assert!(Request::of_entry(&entry(third)).is_none());
        assert!(Request::of_entry(&entry(Vec::new())).is_none());
        let mut change = request("PUT", "/0/version");
        change.kind = EntryKind::ConfChange;
        assert!(Request::of_entry(&change).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(data: Vec<u8>) {
            let _ = Request::of_entry(&entry(data));
        }
    }
}
