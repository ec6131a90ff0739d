//! A stream of bytes cut into the pages of the database that it is.

use crate::bolt::{META_BYTES, Meta};

/// Takes a page: the meta in force so far, the page's number, its bytes.
type OnPage<'p> = dyn FnMut(Meta, u64, &[u8]) + 'p;

/// Cuts a stream into pages, once the first meta page has told how large they are.
#[derive(Default)]
pub(super) struct Pager {
    meta: Option<Meta>,
    not_a_database: bool,
    /// The beginning of a page whose rest comes with the next bytes.
    partial: Vec<u8>,
    next: u64,
}

impl Pager {
    /// Takes the next bytes and hands on every page that is whole.
    pub(super) fn feed(&mut self, mut bytes: &[u8], page: &mut OnPage<'_>) {
        if self.not_a_database {
            return;
        }
        let page_size = match self.meta {
            Some(meta) => meta.page_size,
            None => match self.read_first_meta(&mut bytes) {
                Some(page_size) => page_size,
                None => return,
            },
        };
        if !self.partial.is_empty() {
            let missing = page_size - self.partial.len();
            let (rest, after) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(rest);
            bytes = after;
            if self.partial.len() < page_size {
                return;
            }
            let whole = std::mem::take(&mut self.partial);
            self.hand_on(&whole, page);
        }
        let pages = bytes.chunks_exact(page_size);
        self.partial.extend_from_slice(pages.remainder());
        for whole in pages {
            self.hand_on(whole, page);
        }
    }

    fn hand_on(&mut self, whole: &[u8], page: &mut OnPage<'_>) {
        let number = self.next;
        self.next += 1;
        if number == 1 {
            self.take_second_meta(whole);
        }
        if let Some(meta) = self.meta {
            page(meta, number, whole);
        }
    }

    /// Gathers the first bytes until the page size is known.
    fn read_first_meta(&mut self, bytes: &mut &[u8]) -> Option<usize> {
        let missing = META_BYTES.saturating_sub(self.partial.len());
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.partial.extend_from_slice(head);
        *bytes = rest;
        if self.partial.len() < META_BYTES {
            return None;
        }
        self.meta = Meta::at(0, &self.partial);
        self.not_a_database = self.meta.is_none();
        self.meta.map(|meta| meta.page_size)
    }

    /// Of two valid metas the one of the later transaction is in force.
    fn take_second_meta(&mut self, page: &[u8]) {
        if let (Some(second), Some(first)) = (Meta::at(1, page), self.meta)
            && second.txid > first.txid
            && second.page_size == first.page_size
        {
            self.meta = Some(second);
        }
    }

    /// The meta in force, as far as is known.
    pub(super) fn meta(&self) -> Option<Meta> {
        self.meta.filter(|_| !self.not_a_database)
    }

    /// How many bytes went by since the first meta was read.
    pub(super) fn size_bytes(&self) -> u64 {
        let page_size = self.meta.map_or(0, |meta| meta.page_size as u64);
        self.next * page_size + self.partial.len() as u64
    }
}
