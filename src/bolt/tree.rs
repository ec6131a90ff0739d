//! A tree built from its leaves up, by bbolt's own rules of what a page may hold.

use super::Error;
use super::node::{Child, Node, Tail};
use super::page::{ELEMENT, PageKind};
use super::walk::{Bucket, Where};

/// A page holds at least so many elements before it is ended for another one.
const FEWEST: usize = 2;
/// A page with no more elements than these may be larger than one page: bbolt never splits it.
const FEW: usize = 4;
/// bbolt takes no longer key.
const LONGEST_KEY: usize = 32768;
/// bbolt takes no longer value.
const LONGEST_VALUE: usize = (1 << 31) - 2;

/// Says in an error which key is meant.
pub(super) fn readable(key: &[u8]) -> String {
    hex::encode(key.get(..64).unwrap_or(key))
}

/// Refuses what bbolt would not have taken.
pub(super) fn check_entry(key: &[u8], value: &[u8]) -> Result<(), Error> {
    let problem = if key.is_empty() {
        "is empty"
    } else if key.len() > LONGEST_KEY {
        "is longer than 32 KiB"
    } else if value.len() > LONGEST_VALUE {
        "has a value of 2 GiB or more"
    } else {
        return Ok(());
    };
    let key = readable(key);
    Err(Error::BadEntry { key, problem })
}

/// Refuses a key that does not come after `previous`.
pub(super) fn check_follows(key: &[u8], previous: &[u8]) -> Result<(), Error> {
    if key > previous {
        return Ok(());
    }
    Err(Error::NotAscending {
        key: readable(key),
        previous: readable(previous),
    })
}

/// The leaves of one tree, written as they fill.
#[derive(Debug)]
pub(super) struct Leaves {
    node: Node,
    last_key: Vec<u8>,
    written: Vec<Child>,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self {
            node: Node::new(PageKind::Leaf),
            last_key: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Adds a key greater than all before.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], tail: &mut Tail) -> Result<(), Error> {
        self.add(key, value, false, tail)
    }

    /// Adds a bucket, whose name is greater than all before.
    pub(super) fn push_bucket(
        &mut self,
        name: &[u8],
        value: &[u8],
        tail: &mut Tail,
    ) -> Result<(), Error> {
        self.add(name, value, true, tail)
    }

    fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        is_bucket: bool,
        tail: &mut Tail,
    ) -> Result<(), Error> {
        check_entry(key, value)?;
        check_follows(key, &self.last_key)?;
        let more = ELEMENT + key.len() + value.len();
        while !has_room(&self.node, more, tail.page_size()) {
            self.end_leaf(tail)?;
        }
        self.node.push_value(key, value, is_bucket);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Writes the elements that fill their pages best and keeps the others for the next leaf.
    fn end_leaf(&mut self, tail: &mut Tail) -> Result<(), Error> {
        let rest = self
            .node
            .split_off(best_count(&self.node, tail.page_size()));
        let page = tail.push(&self.node)?;
        let key = self.node.first_key().to_vec();
        self.written.push(Child { key, page });
        match rest {
            Some(rest) => self.node = rest,
            None => self.node.clear(),
        }
        Ok(())
    }

    /// All of it as the page of an inline bucket, if it is so little that bbolt would make it one.
    pub(super) fn inline(&self, page_size: usize) -> Option<Vec<u8>> {
        let small = self.written.is_empty() && self.node.size_bytes() <= page_size / 4;
        small.then(|| {
            let mut bytes = Vec::new();
            self.node.write(0, 0, &mut bytes);
            bytes
        })
    }

    /// Writes the last leaf; no leaf comes of no keys.
    pub(super) fn finish(mut self, tail: &mut Tail) -> Result<Vec<Child>, Error> {
        while self.node.count() > 0 {
            self.end_leaf(tail)?;
        }
        Ok(self.written)
    }

    /// Ends a bucket that has no other keys and tells where it is.
    pub(super) fn close(self, tail: &mut Tail) -> Result<Where, Error> {
        if let Some(page) = self.inline(tail.page_size()) {
            return Ok(Where::Inline(page));
        }
        let leaves = self.finish(tail)?;
        Ok(Where::Page(root_above(leaves, tail)?))
    }
}

/// Whether a leaf can hold `more` bytes.
fn has_room(leaf: &Node, more: usize, page_size: usize) -> bool {
    leaf.count() < FEW || leaf.size_bytes() + more <= page_size
}

/// How many of its elements, from the first on, a leaf should hold.
///
/// All that fit into one page. But of values so large that two do not fit, three or four may fill two or three pages
/// far better than two do: the objects of Kubernetes, of 3 KB, take a quarter less space so.
fn best_count(leaf: &Node, page_size: usize) -> usize {
    if leaf.size_bytes() <= page_size {
        return leaf.count();
    }
    let pages = |count| leaf.size_of_first(count).div_ceil(page_size);
    let better = |best: usize, count: usize| {
        let fuller =
            leaf.size_of_first(count) * pages(best) > leaf.size_of_first(best) * pages(count);
        if fuller { count } else { best }
    };
    let fewest = leaf.count().min(FEWEST);
    (fewest..=leaf.count()).fold(fewest, better)
}

/// Writes the branches above `children`, each with at least two of them if there are two.
///
/// A lone child must not be: bbolt panics when it shrinks one, and leaves an unreadable tree when it empties one.
pub(super) fn branches(children: &[Child], tail: &mut Tail) -> Result<Vec<Child>, Error> {
    let mut parents = Vec::new();
    let mut node = Node::new(PageKind::Branch);
    let end = |node: &mut Node, tail: &mut Tail, parents: &mut Vec<Child>| {
        let page = tail.push(node)?;
        let key = node.first_key().to_vec();
        parents.push(Child { key, page });
        node.clear();
        Ok(())
    };
    for (index, child) in children.iter().enumerate() {
        let left = &children[index..];
        // The last two go together.
        let needed: usize = match left.len() {
            ..=FEWEST => left.iter().map(element_size).sum(),
            _ => element_size(child),
        };
        let full = node.size_bytes() + needed > tail.page_size();
        if full && left.len() >= FEWEST && node.count() >= FEWEST {
            end(&mut node, tail, &mut parents)?;
        }
        node.push_child(child);
    }
    if node.count() > 0 {
        end(&mut node, tail, &mut parents)?;
    }
    Ok(parents)
}

fn element_size(child: &Child) -> usize {
    ELEMENT + child.key.len()
}

/// Writes all the branches above `children` and tells the page of the root: an empty leaf if there is nothing.
fn root_above(mut children: Vec<Child>, tail: &mut Tail) -> Result<u64, Error> {
    while children.len() > 1 {
        children = branches(&children, tail)?;
    }
    match children.first() {
        Some(root) => Ok(root.page),
        None => tail.push(&Node::new(PageKind::Leaf)),
    }
}

/// Writes the root bucket anew and tells its page.
pub(super) fn write_root<'b>(
    buckets: impl IntoIterator<Item = &'b Bucket>,
    tail: &mut Tail,
) -> Result<u64, Error> {
    let mut leaves = Leaves::new();
    for bucket in buckets {
        leaves.push_bucket(&bucket.name, &bucket.value(), tail)?;
    }
    let leaves = leaves.finish(tail)?;
    root_above(leaves, tail)
}
