//! The trees of a database, page by page in the order of their keys; every page is checked on the way.
//!
//! A walk visits no page twice, so damage can neither make it loop nor read anything as two things.

use std::ops::ControlFlow;

use super::Error;
use super::file::{Bytes, Database, Pages};
use super::page::{Branch, Header, Leaf, PageKind};

/// A tree is never deeper; a loop is.
pub const DEPTH: usize = 64;
/// The bytes of a bucket's header: root page and sequence.
const BUCKET_HEADER: usize = 16;

/// Where the keys of a bucket are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// In a tree of pages, below this one.
    Page(u64),
    /// In the bucket's own value: a leaf page, without a number.
    Inline(Vec<u8>),
}

/// A bucket of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    /// The counter that bbolt keeps for it; etcd uses none.
    pub sequence: u64,
    /// Where its keys are.
    pub place: Where,
}

impl Bucket {
    /// Reads a bucket from the value of its leaf element.
    #[must_use]
    pub fn read(name: &[u8], value: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(value.get(at..at + 8)?.try_into().ok()?));
        let root = number(0)?;
        Some(Self {
            name: name.to_vec(),
            sequence: number(8)?,
            place: match root {
                0 => Where::Inline(value.get(BUCKET_HEADER..)?.to_vec()),
                page => Where::Page(page),
            },
        })
    }

    /// The value that [`Bucket::read`] reads.
    pub(super) fn value(&self) -> Vec<u8> {
        let (root, inline): (u64, &[u8]) = match &self.place {
            Where::Page(page) => (*page, &[]),
            Where::Inline(bytes) => (0, bytes),
        };
        let header = [root.to_le_bytes(), self.sequence.to_le_bytes()];
        [header.as_flattened(), inline].concat()
    }
}

/// In which order the keys come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Least first.
    Ascending,
    /// Greatest first: leaves and their elements are to be read from behind.
    Descending,
}

/// One or more trees of a database, walked with the pages that were seen in mind.
pub struct Walk<'a, B> {
    pages: Pages<'a, B>,
    seen: Seen,
    high_water_mark: u64,
    root: u64,
    /// Copies of the branches above the current page, to be used again.
    spare: Vec<Vec<u8>>,
}

/// Receives each leaf with the number of its page (0 for an inline bucket).
type Visit<'v> = dyn FnMut(u64, Leaf<'_>) -> ControlFlow<()> + 'v;

/// What bounds the keys of a page: at least the first, less than the second.
pub type Bounds<'k> = (&'k [u8], Option<&'k [u8]>);

impl<'a, B: Bytes> Walk<'a, B> {
    /// Begins with no page seen.
    #[must_use]
    pub fn new(database: &'a Database<B>) -> Self {
        let meta = database.meta();
        Self {
            pages: database.pages(),
            seen: Seen::new(meta.high_water_mark),
            high_water_mark: meta.high_water_mark,
            root: meta.root,
            spare: Vec::new(),
        }
    }

    /// The pages that were seen so far, overflow included.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Marks a page as seen, for who knows what it holds from elsewhere.
    ///
    /// # Errors
    /// If it was seen before.
    pub fn mark(&mut self, header: Header) -> Result<(), Error> {
        self.seen.mark(header)
    }

    pub(super) fn pages(&mut self) -> &mut Pages<'a, B> {
        &mut self.pages
    }

    /// The least keys and pages of the children of a branch, for who walks a tree without its leaves.
    ///
    /// # Errors
    /// If the page is no branch with keys within `bounds`, was seen before, or cannot be read.
    pub fn children_of(
        &mut self,
        id: u64,
        bounds: Bounds<'_>,
    ) -> Result<Vec<(Vec<u8>, u64)>, Error> {
        let bad = |problem| Error::BadPage { page: id, problem };
        let (header, bytes) = self.pages.page(id)?;
        self.seen.mark(header)?;
        let branch = Branch::read(bytes).ok_or_else(|| bad("is no branch"))?;
        branch.check(bounds).map_err(bad)?;
        let children = (0..branch.count()).map_while(|index| branch.child(index));
        Ok(children.map(|(key, child)| (key.to_vec(), child)).collect())
    }

    /// Every bucket of the root, in the order of their names.
    ///
    /// # Errors
    /// If the root is damaged, or holds what is no bucket.
    pub fn buckets(&mut self) -> Result<Vec<Bucket>, Error> {
        let mut buckets = Vec::new();
        let mut problem = None;
        let root = self.root;
        self.tree(root, &[], Order::Ascending, &mut |page, leaf| {
            for element in leaf.elements() {
                let bucket = Bucket::read(element.key, element.value);
                let Some(bucket) = bucket.filter(|_| element.is_bucket) else {
                    problem = Some(Error::BadPage {
                        page,
                        problem: "is of the root and holds what is no bucket",
                    });
                    return ControlFlow::Break(());
                };
                buckets.push(bucket);
            }
            ControlFlow::Continue(())
        })?;
        problem.map_or(Ok(buckets), Err)
    }

    /// Visits the leaves of `bucket`, from the first that may hold `from` on, until `visit` breaks off.
    ///
    /// Every element of a visited leaf lies within it, keys are ascending, and no element is a bucket.
    ///
    /// # Errors
    /// If a page on the way is damaged, or cannot be read.
    pub fn leaves(
        &mut self,
        bucket: &Bucket,
        from: &[u8],
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let mut nested = None;
        let mut visit = |page, leaf: Leaf<'_>| {
            if leaf.has_bucket() {
                nested = Some(Error::BadPage {
                    page,
                    problem: "holds a bucket inside a bucket, which etcd never makes",
                });
                return ControlFlow::Break(());
            }
            visit(page, leaf)
        };
        match &bucket.place {
            Where::Page(page) => self.tree(*page, from, order, &mut visit)?,
            Where::Inline(bytes) => {
                let leaf = Leaf::read(bytes).ok_or(Error::BadPage {
                    page: 0,
                    problem: "holds an inline bucket that is no leaf",
                })?;
                leaf.check((&[], None))
                    .map_err(|problem| Error::BadPage { page: 0, problem })?;
                let _ = visit(0, leaf);
            }
        }
        nested.map_or(Ok(()), Err)
    }

    fn tree(
        &mut self,
        root: u64,
        from: &[u8],
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        self.below(root, (&[], None), from, order, 0, visit)
            .map(drop)
    }

    fn below(
        &mut self,
        id: u64,
        bounds: Bounds<'_>,
        from: &[u8],
        order: Order,
        depth: usize,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let bad = |problem| Error::BadPage { page: id, problem };
        if depth == DEPTH {
            return Err(bad("lies deeper than any tree of bbolt"));
        }
        let (header, bytes) = self.pages.page(id)?;
        self.seen.mark(header)?;
        match header.kind {
            PageKind::Leaf => {
                let leaf = Leaf::read(bytes).ok_or_else(|| bad("is no leaf"))?;
                leaf.check(bounds).map_err(bad)?;
                Ok(visit(id, leaf))
            }
            PageKind::Branch => {
                let mut copy = self.spare.pop().unwrap_or_default();
                copy.clear();
                copy.extend_from_slice(bytes);
                let flow = self.children(id, &copy, bounds, from, order, depth, visit);
                self.spare.push(copy);
                flow
            }
            PageKind::Meta | PageKind::Freelist => Err(bad("is neither a branch nor a leaf")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the other half of `below`")]
    fn children(
        &mut self,
        id: u64,
        bytes: &[u8],
        bounds: Bounds<'_>,
        from: &[u8],
        order: Order,
        depth: usize,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let bad = |problem| Error::BadPage { page: id, problem };
        let branch = Branch::read(bytes).ok_or_else(|| bad("is no branch"))?;
        branch.check(bounds).map_err(bad)?;
        let count = branch.count();
        for step in 0..count {
            let index = match order {
                Order::Ascending => step,
                Order::Descending => count - 1 - step,
            };
            let next = branch.child(index + 1).map(|(key, _)| key);
            // What lies wholly before `from` is not asked for.
            if next.is_some_and(|next| next <= from) {
                continue;
            }
            let (key, child) = branch.child(index).ok_or_else(|| bad("is no branch"))?;
            if child >= self.high_water_mark {
                return Err(bad("leads beyond the end of the database"));
            }
            // The first key of a branch may be greater than what was put below it later.
            let low = if index == 0 { bounds.0 } else { key };
            let bounds = (low, next.or(bounds.1));
            if self
                .below(child, bounds, from, order, depth + 1, visit)?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Which pages were seen: one bit each.
pub(super) struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    fn new(pages: u64) -> Self {
        // What is beyond any memory was refused before: the file is at least as long as its pages.
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(0);
        Self {
            bits: vec![0; words],
        }
    }

    pub(super) fn contains(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64)
            .ok()
            .and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    fn mark(&mut self, header: Header) -> Result<(), Error> {
        for page in header.id..=header.id + u64::from(header.overflow) {
            let word = usize::try_from(page / 64)
                .ok()
                .and_then(|word| self.bits.get_mut(word));
            let bit = 1 << (page % 64);
            match word {
                Some(word) if *word & bit == 0 => *word |= bit,
                _ => {
                    return Err(Error::BadPage {
                        page,
                        problem: "belongs to the tree more than once",
                    });
                }
            }
        }
        Ok(())
    }
}
