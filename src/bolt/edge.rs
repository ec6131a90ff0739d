//! The right edge of a tree: cut back to a key, grown by greater ones, with everything left of it as it was.

use std::collections::BTreeMap;
use std::mem;

use super::Error;
use super::file::{Bytes, Database, Pages};
use super::node::{Child, Tail};
use super::page::{Branch, Leaf, PageKind};
use super::tree::{Leaves, branches, check_follows};
use super::walk::{DEPTH, Where};

/// A key with its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// What changes at the right edge of a bucket: first a cut, then growth.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// The least key that goes, with all greater ones.
    cut: Option<Vec<u8>>,
    /// What comes then.
    added: Vec<Entry>,
}

impl Edge {
    /// Drops every key from `from` on, those that were to come included.
    pub(super) fn truncate(&mut self, from: &[u8]) {
        let keep = self.added.partition_point(|(key, _)| key.as_slice() < from);
        self.added.truncate(keep);
        if self.cut.as_deref().is_none_or(|cut| from < cut) {
            self.cut = Some(from.to_vec());
        }
    }

    /// Adds a key greater than those that were added before.
    pub(super) fn append(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        if let Some((last, _)) = self.added.last() {
            check_follows(&key, last)?;
        }
        self.added.push((key, value));
        Ok(())
    }

    /// Changes the keys of a small bucket as [`Edge::write`] would.
    pub(super) fn apply(
        &self,
        mut entries: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        if let Some(cut) = &self.cut {
            drop(entries.split_off(cut));
        }
        if let (Some((last, _)), Some((key, _))) = (entries.last_key_value(), self.added.first()) {
            check_follows(key, last)?;
        }
        entries.extend(self.added.iter().cloned());
        Ok(entries)
    }

    /// Writes the edge of the bucket at `place` anew and tells where the bucket is now.
    pub(super) fn write<B: Bytes>(
        &self,
        database: &Database<B>,
        place: &Where,
        tail: &mut Tail,
    ) -> Result<Where, Error> {
        let mut path = Path::to(database, place, self.cut.as_deref())?;
        let mut leaves = Leaves::new();
        let kept = copy(
            &path.leaf,
            path.page,
            self.cut.as_deref(),
            &mut leaves,
            tail,
        )?;
        // New keys join the leaf that is the last now.
        if kept == 0
            && !self.added.is_empty()
            && let Some((page, bytes)) = path.neighbour()?
        {
            copy(&bytes, page, None, &mut leaves, tail)?;
        }
        for (key, value) in &self.added {
            leaves.push(key, value, tail)?;
        }
        // With nothing left of the way these are all keys of the bucket.
        if path.above.iter().all(Vec::is_empty) {
            return leaves.close(tail);
        }
        let leaves = leaves.finish(tail)?;
        Ok(Where::Page(path.climb(leaves, tail)?))
    }
}

/// Copies what comes before `cut` from a leaf page and tells how many keys that is.
fn copy(
    bytes: &[u8],
    page: u64,
    cut: Option<&[u8]>,
    leaves: &mut Leaves,
    tail: &mut Tail,
) -> Result<usize, Error> {
    let bad = |problem| Error::BadPage { page, problem };
    let leaf = Leaf::read(bytes).ok_or_else(|| bad("is no leaf"))?;
    leaf.check((&[], None)).map_err(bad)?;
    if leaf.has_bucket() {
        return Err(bad(
            "holds a bucket inside a bucket, which etcd never makes",
        ));
    }
    let before = |key: &[u8]| cut.is_none_or(|cut| key < cut);
    let mut kept = 0;
    for element in leaf.elements().take_while(|element| before(element.key)) {
        leaves.push(element.key, element.value, tail)?;
        kept += 1;
    }
    Ok(kept)
}

/// The way from the root of a bucket to the leaf at its edge.
struct Path<'a, B> {
    pages: Pages<'a, B>,
    /// The children left of the way, in each branch on it, the branch above the leaf first.
    above: Vec<Vec<Child>>,
    /// The leaf, and its page (0 for an inline bucket).
    leaf: Vec<u8>,
    page: u64,
}

impl<'a, B: Bytes> Path<'a, B> {
    /// Goes down to the leaf where `cut` would be, or to the last.
    fn to(database: &'a Database<B>, place: &Where, cut: Option<&[u8]>) -> Result<Self, Error> {
        let mut path = Self {
            pages: database.pages(),
            above: Vec::new(),
            leaf: Vec::new(),
            page: 0,
        };
        match place {
            Where::Inline(bytes) => path.leaf.clone_from(bytes),
            Where::Page(root) => {
                path.page = *root;
                path.descend(cut)?;
            }
        }
        Ok(path)
    }

    fn descend(&mut self, cut: Option<&[u8]>) -> Result<(), Error> {
        loop {
            let page = self.page;
            if self.above.len() == DEPTH {
                let problem = "lies deeper than any tree of bbolt";
                return Err(Error::BadPage { page, problem });
            }
            let (header, bytes) = self.pages.page(page)?;
            if header.kind != PageKind::Branch {
                self.leaf = bytes.to_vec();
                self.above.reverse();
                return Ok(());
            }
            let mut left = children(page, bytes)?;
            let lesser = match cut {
                Some(cut) => left.partition_point(|child| child.key.as_slice() <= cut),
                None => left.len(),
            };
            // Keys less than all of the branch's would be in its first child.
            left.truncate(lesser.max(1));
            if let Some(next) = left.pop() {
                self.page = next.page;
            }
            self.above.push(left);
        }
    }

    /// Takes the leaf left of the way out of the tree, to be written anew.
    fn neighbour(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        if self.above.first().is_some_and(Vec::is_empty) {
            self.refill(0)?;
        }
        let Some(child) = self.above.first_mut().and_then(Vec::pop) else {
            return Ok(None);
        };
        let (_, bytes) = self.pages.page(child.page)?;
        Ok(Some((child.page, bytes.to_vec())))
    }

    /// Takes the branch left of the way out of the tree, so that its children stand at `level`; false if there is none.
    fn refill(&mut self, level: usize) -> Result<bool, Error> {
        if self.above.get(level + 1).is_some_and(Vec::is_empty) {
            self.refill(level + 1)?;
        }
        let Some(branch) = self.above.get_mut(level + 1).and_then(Vec::pop) else {
            return Ok(false);
        };
        let (_, bytes) = self.pages.page(branch.page)?;
        let mut left = children(branch.page, bytes)?;
        let here = &mut self.above[level];
        left.append(here);
        *here = left;
        Ok(true)
    }

    /// Writes the branches above what is left of the way and `edge`, and tells the page of the root.
    ///
    /// A branch that would have one child takes those of its neighbour; the last that has one gives way to it.
    fn climb(mut self, mut edge: Vec<Child>, tail: &mut Tail) -> Result<u64, Error> {
        let mut level = 0;
        loop {
            let here = self.above.get(level).map_or(0, Vec::len);
            if here + edge.len() == 1 {
                self.refill(level)?;
            }
            if let Some(here) = self.above.get_mut(level) {
                let mut all = mem::take(here);
                all.append(&mut edge);
                edge = all;
            }
            let top = self.above.iter().all(Vec::is_empty);
            match edge.as_slice() {
                [root] if top => return Ok(root.page),
                children => edge = branches(children, tail)?,
            }
            level += 1;
        }
    }
}

fn children(page: u64, bytes: &[u8]) -> Result<Vec<Child>, Error> {
    let bad = |problem| Error::BadPage { page, problem };
    let branch = Branch::read(bytes).ok_or_else(|| bad("is no branch"))?;
    branch.check((&[], None)).map_err(bad)?;
    let children = (0..branch.count()).map_while(|index| branch.child(index));
    let owned = children.map(|(key, page)| Child {
        key: key.to_vec(),
        page,
    });
    Ok(owned.collect())
}
