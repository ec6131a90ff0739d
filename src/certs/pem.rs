//! PEM as Go's `encoding/pem` reads it, and so etcd: what stands in a file and what etcd finds there are two things.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
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
    /// Reads a file's bytes as Go does.
    ///
    /// `BEGIN` must be the first thing on its line, `END` must be followed by nothing, and what is between must be base64;
    /// whatever is not so is skipped without an error.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            match block_at(&lines, at) {
                Some((block, next)) => {
                    blocks.push(block);
                    at = next;
                }
                None => at += 1,
            }
        }
        Self {
            blocks,
            beginnings: text.matches(BEGIN).count(),
            has_byte_order_mark: bytes.starts_with(b"\xef\xbb\xbf"),
        }
    }
}

/// The block that begins on the line `at`, and the line behind it.
fn block_at(lines: &[&str], at: usize) -> Option<(Block, usize)> {
    let label = lines[at].strip_prefix(BEGIN)?.strip_suffix(DASHES)?;
    let headers = lines[at + 1..]
        .iter()
        .take_while(|line| line.contains(':'))
        .count();
    let body = at + 1 + headers;
    let length = lines[body..]
        .iter()
        .position(|line| line.starts_with(END))?;
    let end = lines[body + length].strip_prefix(END)?;
    if end.strip_suffix(DASHES) != Some(label) {
        return None;
    }
    let base64: String = lines[body..body + length]
        .iter()
        .flat_map(|line| line.chars())
        .filter(|character| !matches!(character, ' ' | '\t' | '\r'))
        .collect();
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(base64).ok()?;
    let block = Block {
        label: label.to_owned(),
        bytes,
        has_headers: headers > 0,
        line: at + 1,
    };
    Some((block, body + length + 1))
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
    lines.push(format!("{END}{label}{DASHES}\n"));
    lines.join("\n")
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
