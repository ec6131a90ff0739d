//! Snapshots, and the ways in which they are damaged: the same in every run.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};
use etcdrx::bolt::{Branch, Database, Loader, Meta, PageKind, Patch, Walk, Where};

use crate::mutate::Random;

/// The kinds of damage, and how many cases of each one specimen gets.
pub(crate) const KINDS: [(&str, u64); 14] = [
    ("bit anywhere", 200),
    ("bit in a page's head", 200),
    ("bit in a meta", 60),
    ("bit in the trailer", 10),
    ("bytes overwritten", 60),
    ("sector zeroed", 60),
    ("page zeroed", 60),
    ("pages swapped", 60),
    ("page duplicated", 60),
    ("page duplicated, renumbered", 60),
    ("truncated", 80),
    ("one meta", 20),
    ("both metas", 20),
    ("freelist", 60),
];

const TRAILER: usize = 32;

/// A sound snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Specimen {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    page_size: usize,
    /// The pages that begin a branch or leaf in use.
    heads: Vec<usize>,
}

/// A damaged one.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    pub(crate) kind: &'static str,
    /// Where it was hit.
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

/// A snapshot of etcd 3.6 and one of 3.7, one with overflow pages and a freelist, and the same with edits and free pages.
pub(crate) fn specimens() -> Vec<Specimen> {
    let golden = |packed: &[u8]| zstd::decode_all(packed).unwrap();
    let loaded = loaded();
    let patched = patched(&loaded);
    let all = [
        ("3.6", golden(include_bytes!("../data/snapshot-3.6.db.zst"))),
        ("3.7", golden(include_bytes!("../data/snapshot-3.7.db.zst"))),
        ("loaded", with_trailer(loaded)),
        ("patched", with_trailer(patched)),
    ];
    all.map(|(name, bytes)| Specimen::new(name, bytes)).into()
}

fn with_trailer(mut bytes: Vec<u8>) -> Vec<u8> {
    let sha256 = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sha256.as_ref());
    bytes
}

fn key(main: u64) -> Vec<u8> {
    [&main.to_be_bytes(), b"_".as_slice(), &[0; 8]].concat()
}

/// Three levels, and values of up to four pages.
fn loaded() -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    let mut loader = Loader::create(file.try_clone().unwrap(), 1024).unwrap();
    let mut random = Random::from(1);
    loader.begin_bucket(b"alarm").unwrap();
    loader.begin_bucket(b"key").unwrap();
    for main in 2..320 {
        let name = format!("key-{:03}", random.below(150));
        let length = match random.below(20) {
            0 => 1000 + random.below(3000),
            _ => random.below(120),
        };
        let value: Vec<u8> = (0..length)
            .map(|_| random.next().to_le_bytes()[0])
            .collect();
        let head = [b"\x0a\x07".as_slice(), name.as_bytes(), &[0x20, 1, 0x2a]].concat();
        let low = u8::try_from(length % 128).unwrap() | 0x80;
        let lengths = [low, u8::try_from(length / 128).unwrap()];
        loader
            .push(&key(main), &[head.as_slice(), &lengths, &value].concat())
            .unwrap();
    }
    loader.begin_bucket(b"lease").unwrap();
    for id in 1..200_u64 {
        let id_byte = u8::try_from(id % 128).unwrap();
        loader
            .push(&id.to_be_bytes(), &[0x08, id_byte, 0x10, 60])
            .unwrap();
    }
    loader.begin_bucket(b"members").unwrap();
    loader
        .push(b"1", br#"{"id":1,"peerURLs":["http://a:1"],"name":"a"}"#)
        .unwrap();
    loader.begin_bucket(b"meta").unwrap();
    loader
        .push(b"consistent_index", &9_u64.to_be_bytes())
        .unwrap();
    loader.push(b"finishedCompactRev", &key(2)).unwrap();
    loader.push(b"term", &2_u64.to_be_bytes()).unwrap();
    loader.finish().unwrap();
    read(&mut file)
}

fn patched(loaded: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(loaded).unwrap();
    for from in [280, 210] {
        let mut patch = Patch::open(file.try_clone().unwrap()).unwrap();
        patch.truncate(b"key", &key(from)).unwrap();
        patch
            .append(b"key", key(from + 5), vec![0x0a, 1, b'k'])
            .unwrap();
        patch.set(b"meta", b"term", &from.to_be_bytes()).unwrap();
        patch.commit().unwrap();
    }
    // A snapshot has both its metas of the same tree.
    let mut bytes = read(&mut file);
    let newest = Database::open(bytes.as_slice()).unwrap().meta().txid;
    let (from, to) = if newest.is_multiple_of(2) {
        (0, 1024)
    } else {
        (1024, 0)
    };
    bytes.copy_within(from + 8..from + 80, to + 8);
    bytes
}

fn read(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

impl Specimen {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        let database = Database::open(bytes.as_slice()).unwrap();
        let meta = *database.meta();
        let mut heads = BTreeSet::new();
        collect(&database, meta.root, &mut heads);
        for bucket in Walk::new(&database).buckets().unwrap() {
            if let Where::Page(page) = bucket.place {
                collect(&database, page, &mut heads);
            }
        }
        let heads = heads
            .into_iter()
            .map(|page| usize::try_from(page).unwrap())
            .collect();
        Self {
            name,
            page_size: meta.page_size,
            heads,
            bytes,
        }
    }

    /// Case `number` of a kind.
    pub(crate) fn damaged(&self, kind: &'static str, number: u64) -> Damage {
        let salt = KINDS.iter().position(|(name, _)| *name == kind).unwrap() as u64;
        let mut random = Random::from(number << 8 | salt);
        let mut bytes = self.bytes.clone();
        let what = self.hit(kind, number, &mut bytes, &mut random);
        Damage { kind, what, bytes }
    }

    fn hit(&self, kind: &str, number: u64, bytes: &mut Vec<u8>, random: &mut Random) -> String {
        let (size, end) = (self.page_size, bytes.len() - TRAILER);
        let pages = end / size;
        match kind {
            "bit anywhere" => flip(bytes, 0..end, random),
            "bit in a page's head" => {
                let page = self.heads[random.below(self.heads.len())] * size;
                flip(bytes, page..page + [16, 64, 256][random.below(3)], random)
            }
            "bit in a meta" => {
                let meta = random.below(2) * size;
                flip(bytes, meta..meta + 80, random)
            }
            "bit in the trailer" => flip(bytes, end..end + TRAILER, random),
            "bytes overwritten" => {
                let at = random.below(end - 64);
                bytes[at..at + 64].fill_with(|| random.next().to_le_bytes()[0]);
                format!("64 bytes at {at}")
            }
            "sector zeroed" => {
                let at = random.below(end / 512) * 512;
                bytes[at..at + 512].fill(0);
                format!("sector at {at}")
            }
            "page zeroed" => {
                let page = random.below(pages);
                bytes[page * size..][..size].fill(0);
                format!("page {page}")
            }
            "pages swapped" | "page duplicated" | "page duplicated, renumbered" => {
                self.copy(kind, bytes, random)
            }
            "truncated" => self.truncate(number, bytes, random),
            "one meta" => {
                self.break_meta(usize::from(number % 2 == 1), bytes, random);
                format!("meta {}", number % 2)
            }
            "both metas" => {
                self.break_meta(0, bytes, random);
                self.break_meta(1, bytes, random);
                "both".to_owned()
            }
            "freelist" => self.freelist(bytes, random),
            _ => unreachable!("{kind}"),
        }
    }

    fn copy(&self, kind: &str, bytes: &mut [u8], random: &mut Random) -> String {
        let size = self.page_size;
        let pages = (bytes.len() - TRAILER) / size;
        let (from, to) = (random.below(pages), random.below(pages));
        let before = bytes[to * size..][..size].to_vec();
        bytes.copy_within(from * size..(from + 1) * size, to * size);
        match kind {
            "pages swapped" => bytes[from * size..][..size].copy_from_slice(&before),
            "page duplicated, renumbered" => {
                bytes[to * size..][..8].copy_from_slice(&(to as u64).to_le_bytes());
            }
            _ => {}
        }
        format!("page {from} to {to}")
    }

    /// Cuts at every kind of place: between pages, between sectors, in the trailer, in a meta, in an overflow.
    fn truncate(&self, number: u64, bytes: &mut Vec<u8>, random: &mut Random) -> String {
        let end = bytes.len() - TRAILER;
        let at = match number % 8 {
            0 => random.below(end / self.page_size) * self.page_size,
            1 => random.below(end / 512) * 512 + TRAILER,
            2 => end + random.below(TRAILER),
            3 => random.below(2 * self.page_size),
            4 => [0, 1, 15, 16, 79, 80, self.page_size, end - 1][random.below(8)],
            5 => self.heads[random.below(self.heads.len())] * self.page_size + random.below(32),
            6 => random.below(end / self.page_size) * self.page_size + TRAILER,
            _ => random.below(end),
        };
        bytes.truncate(at);
        format!("at {at}")
    }

    fn break_meta(&self, number: usize, bytes: &mut [u8], random: &mut Random) {
        let meta = number * self.page_size;
        match random.below(4) {
            0 => bytes[meta..meta + self.page_size].fill(0),
            1 => bytes[meta + 16 + random.below(64)] ^= 1 << random.below(8),
            2 => bytes[meta + 16..meta + 80].fill_with(|| random.next().to_le_bytes()[0]),
            _ => bytes[meta + 60..meta + 512].fill(0),
        }
    }

    /// Makes the metas lead to a freelist that is none, or is garbage.
    fn freelist(&self, bytes: &mut [u8], random: &mut Random) -> String {
        let size = self.page_size;
        let page = 2 + random.below((bytes.len() - TRAILER) / size - 2);
        let how = random.below(4);
        if how > 0 {
            let at = page * size;
            bytes[at + 8..at + 10].copy_from_slice(&0x10_u16.to_le_bytes());
        }
        if how > 1 {
            let at = page * size;
            bytes[at + 10..at + size].fill_with(|| random.next().to_le_bytes()[0]);
            bytes[at + 12..at + 16].fill(0);
        }
        if how > 2 {
            bytes[page * size + 10..][..2].fill(0xff);
        }
        for meta in [0, size] {
            bytes[meta + 48..meta + 56].copy_from_slice(&(page as u64).to_le_bytes());
            let sum = bytes[meta + 16..meta + 72]
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                });
            bytes[meta + 72..meta + 80].copy_from_slice(&sum.to_le_bytes());
            assert!(Meta::read(&bytes[meta..]).is_some());
        }
        format!("at page {page}, way {how}")
    }
}

fn flip(bytes: &mut [u8], range: Range<usize>, random: &mut Random) -> String {
    let (at, bit) = (range.start + random.below(range.len()), random.below(8));
    bytes[at] ^= 1 << bit;
    format!("bit {bit} of byte {at}")
}

/// The pages of a tree.
fn collect(database: &Database<&[u8]>, page: u64, heads: &mut BTreeSet<u64>) {
    heads.insert(page);
    let mut pages = database.pages();
    let (header, bytes) = pages.page(page).unwrap();
    if header.kind == PageKind::Branch {
        let branch = Branch::read(bytes).unwrap();
        for index in 0..branch.count() {
            collect(database, branch.child(index).unwrap().1, heads);
        }
    }
}
