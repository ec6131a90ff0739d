//! The same work in several repositories at once, none of which may hold the others up for long.

use std::iter;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

/// Awaits all of `work`, and gives what came of each, in its order; `None` for what was too late.
///
/// As soon as one has succeeded, the others have so much time as `grace` makes of what that one took. Where all are slow, nobody is hurried.
pub async fn together<W, T, E>(
    work: impl IntoIterator<Item = W>,
    grace: impl Fn(Duration) -> Duration,
) -> Vec<Option<Result<T, E>>>
where
    W: Future<Output = Result<T, E>>,
{
    let began = Instant::now();
    let numbered = work.into_iter().enumerate();
    let mut open: FuturesUnordered<_> = numbered
        .map(|(index, work)| async move { (index, work.await) })
        .collect();
    let mut ended: Vec<_> = iter::repeat_with(|| None).take(open.len()).collect();
    let mut end: Option<Instant> = None;
    loop {
        let next = match end {
            None => open.next().await,
            Some(end) => timeout_at(end, open.next()).await.unwrap_or_default(),
        };
        let Some((index, result)) = next else {
            return ended;
        };
        if result.is_ok() {
            end.get_or_insert_with(|| Instant::now() + grace(began.elapsed()));
        }
        ended[index] = Some(result);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::{BoxFuture, FutureExt};

    use super::*;

    type Work = BoxFuture<'static, Result<u8, u8>>;

    async fn all(work: Vec<Work>) -> Vec<Option<Result<u8, u8>>> {
        together(work, |_| Duration::from_millis(1)).await
    }

    #[tokio::test]
    async fn who_is_silent_is_left_behind_once_another_one_succeeded() {
        let silent = || pending().boxed();

        let ended = all(vec![silent(), ready(Err(1)).boxed(), ready(Ok(2)).boxed()]).await;

        assert_eq!(ended, [None, Some(Err(1)), Some(Ok(2))]);
        assert_eq!(all(Vec::new()).await, []);
    }

    #[tokio::test]
    async fn a_failure_hurries_nobody() {
        let slow = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(3)
        };

        let ended = all(vec![ready(Err(1)).boxed(), slow.boxed()]).await;

        assert_eq!(ended, [Some(Err(1)), Some(Ok(3))]);
    }
}
