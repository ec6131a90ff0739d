//! A database judged while it streams by, against a walk over the same bytes.

use etcdrx::backend::{Scan, Store, Survey, contents, hashkv, status};
use etcdrx::bolt::{Header, Meta, PageKind};
use etcdrx::id::Revision;

use super::repair;

/// Streams a database in pieces: the survey finds what the walk finds, and what the walk refuses it refuses.
pub fn survey(data: &[u8]) {
    let bytes = repair::database(data);
    let piece = 1 + bytes
        .iter()
        .rev()
        .take(2)
        .fold(0, |size, byte| size << 8 | usize::from(*byte))
        % 5000;
    let (mut survey, mut scan) = (Survey::new(), Scan::new());
    for part in bytes.chunks(piece) {
        survey.feed(part);
        scan.feed(part);
    }
    let (surveyed, scanned) = (survey.finish(), scan.finish());
    let store = Store::open(bytes.as_slice());
    let walked = store.and_then(|store| Ok((status(&store)?, contents(&store)?, store)));
    match (surveyed, walked) {
        (Ok(surveyed), Ok((status, contents, store))) => {
            assert_eq!(surveyed.status, status);
            assert_eq!(surveyed.contents, contents);
            let newest = status.revision.0;
            let asked = [
                (newest, -1),
                (newest, newest / 3),
                (newest / 2, newest / 3),
                (newest, newest),
            ];
            for (revision, compacted) in asked {
                let asked = (Some(Revision(revision)), Some(Revision(compacted)));
                let there = surveyed.hashkv(asked.0, asked.1).ok();
                assert_eq!(there, hashkv(&store, asked.0, asked.1).ok());
            }
            if let Ok(facts) = scanned {
                let compacted = facts.compact_revision.unwrap_or_default();
                let newest = status.revision.max(compacted).max(Revision(1));
                assert_eq!(facts.revision.max(Revision(1)), newest);
                assert_eq!(facts.page_size_bytes, store.database().meta().page_size);
            }
        }
        (Ok(_), Err(error)) => panic!("the survey found nothing, the walk: {error}"),
        // A stream does not tell the size of its pages if its first meta is damaged.
        (Err(error), Ok(_)) => assert!(
            !first_meta_is_valid(&bytes),
            "the walk found nothing, the survey: {error}"
        ),
        (Err(_), Err(_)) => {}
    }
}

fn first_meta_is_valid(bytes: &[u8]) -> bool {
    let header =
        Header::read(bytes).filter(|header| header.id == 0 && header.kind == PageKind::Meta);
    header.is_some() && Meta::read(bytes).is_some()
}
