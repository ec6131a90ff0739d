//! PEM as Go's `encoding/pem` reads it, and so etcd: what stands in a file and what etcd finds there are two things.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::{Certificate, Error};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
const DASHES: &str = "-----";

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands behind `BEGIN`, such as `CERTIFICATE`.
    pub label: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether it has headers, as an encrypted key of the old kind does (RFC 1421, 4.6).
    pub has_headers: bool,
    /// The line that it begins on, counted from 1.
    pub line: usize,
}

/// What etcd finds in a file, and how much looks as if it should have found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem {
    /// The blocks that Go finds, in their order.
    pub blocks: Vec<Block>,
    /// How many times `-----BEGIN ` stands in the file: more than blocks are dropped by Go without a word.
    pub beginnings: usize,
    /// Whether the file begins with a byte order mark, behind which Go does not see a first block.
    pub has_byte_order_mark: bool,
}

impl Pem {
    /// What the blocks called `CERTIFICATE` hold, in their order: what etcd takes from a certificate file.
    pub fn certificates(&self) -> impl Iterator<Item = Result<Certificate, Error>> {
        let blocks = self.blocks.iter();
        let certificates = blocks.filter(|block| block.label == "CERTIFICATE");
        certificates.map(|block| Certificate::from_der(&block.bytes))
    }

    /// Reads a file's bytes as Go does.
    ///
    /// `BEGIN` must be the first thing on its line, `END` must be followed by nothing, and what is between must be base64;
    /// whatever is not so is skipped without an error.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut blocks = Vec::new();
        let mut at = 0;
        while let Some((block, next)) = next_block(bytes, at) {
            blocks.push(block);
            at = next;
        }
        Self {
            blocks,
            beginnings: String::from_utf8_lossy(bytes).matches(BEGIN).count(),
            has_byte_order_mark: bytes.starts_with(b"\xef\xbb\xbf"),
        }
    }
}

/// The next block, and where to look for the one behind it.
///
/// Go looks for an end first, and then for the nearest beginning before it: so one without an end is passed over.
fn next_block(bytes: &[u8], start: usize) -> Option<(Block, usize)> {
    let mut from = start;
    loop {
        let end = from + find(&bytes[from..], END)?;
        let begin = find_last(&bytes[from..end], BEGIN).map(|at| from + at);
        let begin = begin.filter(|at| *at == from || bytes[at - 1] == b'\n');
        match begin.map_or(Tried::NoBlock, |begin| try_block(bytes, begin, end)) {
            Tried::Block(block, next) => return Some((block, next)),
            Tried::NoBlock => from = end + END.len(),
            Tried::NothingMore => return None,
        }
    }
}

/// What comes of a beginning and an end.
enum Tried {
    Block(Block, usize),
    NoBlock,
    /// Go gives up on the rest of the file.
    NothingMore,
}

fn try_block(bytes: &[u8], begin: usize, end: usize) -> Tried {
    let behind = end + END.len();
    let (first, mut body) = line_at(bytes, begin + BEGIN.len());
    let Some(label) = first.strip_suffix(DASHES.as_bytes()) else {
        return Tried::NoBlock;
    };
    let mut has_headers = false;
    while body < bytes.len() {
        let (line, next) = line_at(bytes, body);
        if !line.contains(&b':') {
            break;
        }
        has_headers = true;
        body = next;
    }
    // What looks like headers may reach beyond the end.
    if body >= bytes.len() || body > behind {
        return Tried::NothingMore;
    }
    let ending = [label, DASHES.as_bytes()].concat();
    let is_closed =
        bytes[behind..].starts_with(&ending) && line_at(bytes, behind + ending.len()).0.is_empty();
    let content = match body <= end {
        true => &bytes[body..end],
        false if has_headers => return Tried::NoBlock,
        false => &[],
    };
    let Some(content) = decode(content).filter(|_| is_closed) else {
        return Tried::NoBlock;
    };
    let block = Block {
        label: String::from_utf8_lossy(label).into_owned(),
        bytes: content,
        has_headers,
        line: bytes[..begin].split(|byte| *byte == b'\n').count(),
    };
    Tried::Block(block, line_at(bytes, behind).1)
}

/// The line that begins at `start`, without blanks at its end, and where the next one begins.
fn line_at(bytes: &[u8], start: usize) -> (&[u8], usize) {
    let rest = &bytes[start..];
    let (mut line, next) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(length) => {
            let line = &rest[..length];
            (line.strip_suffix(b"\r").unwrap_or(line), start + length + 1)
        }
        None => (rest, bytes.len()),
    };
    while let [before @ .., b' ' | b'\t'] = line {
        line = before;
    }
    (line, next)
}

fn decode(content: &[u8]) -> Option<Vec<u8>> {
    let is_sign = |byte: &&u8| !matches!(**byte, b' ' | b'\t' | b'\r' | b'\n');
    let signs: Vec<u8> = content.iter().filter(is_sign).copied().collect();
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&STANDARD, config).decode(signs).ok()
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    let mut windows = bytes.windows(text.len());
    windows.position(|window| window == text.as_bytes())
}

fn find_last(bytes: &[u8], text: &str) -> Option<usize> {
    let mut windows = bytes.windows(text.len());
    windows.rposition(|window| window == text.as_bytes())
}

/// Writes a block as everybody reads it: lines of 64 characters, a newline at the end.
#[must_use]
pub fn write(label: &str, bytes: &[u8]) -> String {
    let config = GeneralPurposeConfig::new();
    let base64 = GeneralPurpose::new(&STANDARD, config).encode(bytes);
    let mut lines = vec![format!("{BEGIN}{label}{DASHES}")];
    for line in base64.as_bytes().chunks(64) {
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
    lines.join("\n") + END + label + DASHES + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----";

    fn found(text: &str) -> (usize, usize) {
        let pem = Pem::read(text.as_bytes());
        (pem.blocks.len(), pem.beginnings)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes: Vec<u8> = (0..=255).collect();

        let pem = Pem::read(write("PRIVATE KEY", &bytes).as_bytes());

        assert_eq!(pem.blocks.len(), 1);
        assert_eq!(pem.blocks[0].bytes, bytes);
        assert_eq!(pem.blocks[0].label, "PRIVATE KEY");
    }

    /// Measured on etcd 3.5.33, 3.6.14 and 3.7.1: such files let etcd start, and it then trusts nobody.
    #[test]
    fn what_go_drops_without_a_word_is_dropped() {
        assert_eq!(found(&format!("{ONE}\n{ONE}\n")), (2, 2));
        assert_eq!(found(&format!("{ONE}{ONE}\n")), (0, 2));
        assert_eq!(found(&format!("\u{feff}{ONE}\n")), (0, 1));
        assert_eq!(found(&format!("\u{feff}{ONE}\n{ONE}")), (1, 2));
        assert_eq!(found(&format!("  {ONE}\n")), (0, 1));
        assert_eq!(found("-----BEGIN CERTIFICATE-----\nAQID\n"), (0, 1));
        assert_eq!(found("AQID"), (0, 0));
    }

    #[test]
    fn what_go_takes_is_taken() {
        assert_eq!(found(&format!("subject: x\n{ONE}")), (1, 1));
        assert_eq!(found(&ONE.replace('\n', "\r\n")), (1, 1));
        assert_eq!(found(&ONE.replace("AQID", "A Q\n\tID")), (1, 1));
        let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----";
        assert_eq!(found(empty), (1, 1));
        let other = "-----BEGIN X-----\nAQID\n-----END Y-----\n";
        assert_eq!(found(&format!("{other}{ONE}")), (1, 2));
    }

    #[test]
    fn an_encrypted_key_has_headers() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A\n\nAQID\n-----END EC PRIVATE KEY-----\n";
        let pem = Pem::read(key.as_bytes());
        assert!(pem.blocks[0].has_headers);
        assert_eq!(pem.blocks[0].bytes, [1, 2, 3]);
    }
}
