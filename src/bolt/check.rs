//! The whole file held against bbolt's own rules (`tx_check.go`), and some that bbolt leaves out.

use std::ops::ControlFlow;

use super::Error;
use super::file::{Bytes, Database};
use super::page::{Header, NO_FREELIST, PageKind};
use super::walk::{Order, Walk};

/// What a sound database is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many pages the trees use, overflow included.
    pub used_pages: u64,
    /// How many lie free between them.
    pub free_pages: u64,
}

/// Walks every tree and the freelist.
///
/// # Errors
/// At the first page that is not as it must be.
pub fn check<B: Bytes>(database: &Database<B>) -> Result<Shape, Error> {
    let mut walk = Walk::new(database);
    for bucket in walk.buckets()? {
        walk.leaves(&bucket, &[], Order::Ascending, &mut |_, _| {
            ControlFlow::Continue(())
        })?;
    }
    finish(walk, database)
}

/// Ends a walk that went through every tree: counts what it saw, and holds a freelist against it.
///
/// # Errors
/// If the freelist is not as it must be.
pub fn finish<B: Bytes>(mut walk: Walk<'_, B>, database: &Database<B>) -> Result<Shape, Error> {
    let meta = database.meta();
    let free = freelist(&mut walk, meta.freelist)?;
    let pages = 2..meta.high_water_mark;
    let used_pages = pages
        .clone()
        .filter(|page| walk.seen().contains(*page))
        .count() as u64;
    if let Some(free) = free {
        hold_against(&walk, &free, pages.clone())?;
    }
    Ok(Shape {
        used_pages,
        free_pages: pages.end.saturating_sub(2) - used_pages,
    })
}

fn hold_against<B: Bytes>(
    walk: &Walk<'_, B>,
    free: &[u64],
    mut pages: std::ops::Range<u64>,
) -> Result<(), Error> {
    let bad = |page, problem| Err(Error::BadPage { page, problem });
    if let Some(pair) = free.windows(2).find(|pair| pair[0] >= pair[1]) {
        return bad(pair[1], "stands in the freelist twice, or out of order");
    }
    if let Some(page) = free.iter().find(|page| !pages.contains(page)) {
        return bad(
            *page,
            "stands in the freelist and is no page of the database",
        );
    }
    if let Some(page) = free.iter().find(|page| walk.seen().contains(**page)) {
        return bad(*page, "is in use and in the freelist");
    }
    match pages.find(|page| !walk.seen().contains(*page) && free.binary_search(page).is_err()) {
        Some(page) => bad(page, "is neither in use nor in the freelist"),
        None => Ok(()),
    }
}

/// The ids in the freelist, if one was written.
fn freelist<B: Bytes>(walk: &mut Walk<'_, B>, page: u64) -> Result<Option<Vec<u64>>, Error> {
    if page == NO_FREELIST {
        return Ok(None);
    }
    let bad = |problem| Error::BadPage { page, problem };
    let (header, bytes) = walk.pages().page(page)?;
    if header.kind != PageKind::Freelist {
        return Err(bad("is not the freelist"));
    }
    let ids = free_ids(header, bytes).ok_or_else(|| bad("is a freelist that ends too early"))?;
    walk.mark(header)?;
    Ok(Some(ids))
}

fn free_ids(header: Header, bytes: &[u8]) -> Option<Vec<u64>> {
    let numbers = bytes.get(16..)?;
    let number = |index: usize| {
        let at = index.checked_mul(8)?;
        Some(u64::from_le_bytes(
            numbers.get(at..at.checked_add(8)?)?.try_into().ok()?,
        ))
    };
    // A count that does not fit into 16 bits stands in the first place.
    let (first, count): (usize, usize) = match header.count {
        u16::MAX => (1, usize::try_from(number(0)?).ok()?),
        count => (0, usize::from(count)),
    };
    (first..first.checked_add(count)?).map(number).collect()
}
