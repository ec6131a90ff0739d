//! The reader and the checker of bbolt files.

use std::ops::ControlFlow;

use etcdrx::bolt::{Bucket, Bytes, Database, Order, Walk, check};

use super::repair;

/// Opens a database, checks it, and walks every bucket in both orders and from the middle.
pub fn bolt(data: &[u8]) {
    let bytes = repair::database(data);
    let Ok(database) = Database::open(bytes.as_slice()) else {
        return;
    };
    let sound = check(&database).is_ok();
    let Ok(buckets) = Walk::new(&database).buckets() else {
        assert!(!sound, "a check does not see that the root is damaged");
        return;
    };
    for bucket in &buckets {
        let up = keys(&database, bucket, &[], Order::Ascending);
        let down = keys(&database, bucket, &[], Order::Descending);
        assert!(
            !sound || up.is_some(),
            "a check does not see damage in a bucket"
        );
        assert_eq!(up.is_some(), down.is_some());
        let (Some(up), Some(mut down)) = (up, down) else {
            continue;
        };
        down.reverse();
        assert_eq!(up, down);
        assert!(up.is_sorted_by(|a, b| a.0 < b.0));
        if let Some((middle, _)) = up.get(up.len() / 2) {
            let mut right = keys(&database, bucket, middle, Order::Ascending).unwrap_or_default();
            right.retain(|(key, _)| key >= middle);
            assert_eq!(right, up[up.len() / 2..]);
        }
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The keys and values from the leaf on that may hold `from`; `None` if the bucket is damaged.
pub(crate) fn keys<B: Bytes>(
    database: &Database<B>,
    bucket: &Bucket,
    from: &[u8],
    order: Order,
) -> Option<Pairs> {
    let mut pairs = Pairs::new();
    let visit = &mut |_, leaf: etcdrx::bolt::Leaf<'_>| {
        let before = pairs.len();
        pairs.extend(
            leaf.elements()
                .map(|element| (element.key.to_vec(), element.value.to_vec())),
        );
        assert_eq!(
            pairs.len() - before,
            leaf.count(),
            "a leaf that was checked ends early"
        );
        if order == Order::Descending {
            pairs[before..].reverse();
        }
        ControlFlow::Continue(())
    };
    Walk::new(database)
        .leaves(bucket, from, order, visit)
        .ok()?;
    Some(pairs)
}
