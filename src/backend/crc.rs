//! CRC-32C of two pieces from theirs.
//!
//! A CRC is the remainder of a polynomial over GF(2). Bytes that follow multiply what came before by a power of x, so
//! crc(a ++ b) = crc(a) * x^(8 * len(b)) + crc(b). Powers are put together from squares that are computed once, and those
//! for lengths that were met before are kept: leaves of one size come by the thousand.

use std::collections::HashMap;

/// The polynomial of Castagnoli, its bits reversed, as CRC-32C takes it (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1, reversed: its highest bit is the coefficient of x^0.
const ONE: u32 = 1 << 31;
/// So many powers are kept.
const KEPT_POWERS: usize = 1 << 14;

/// Puts the CRC-32C of a whole together from those of its pieces.
pub(super) struct Joined {
    crc: u32,
    /// x^(8 * 2^n) for each n.
    squares: [u32; 64],
    powers: HashMap<u64, u32>,
}

impl Joined {
    /// Starts with the CRC of what comes first.
    pub(super) fn from(crc: u32) -> Self {
        // x^8: eight places down from x^0.
        let mut square = ONE >> 8;
        let squares = std::array::from_fn(|_| {
            let this = square;
            square = times(square, square);
            this
        });
        Self {
            crc,
            squares,
            powers: HashMap::new(),
        }
    }

    /// Adds a piece of `bytes` bytes.
    pub(super) fn add(&mut self, crc: u32, bytes: usize) {
        let power = self.power(bytes as u64);
        self.crc = times(self.crc, power) ^ crc;
    }

    /// Adds bytes themselves.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }

    /// The CRC of everything so far.
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    fn power(&mut self, bytes: u64) -> u32 {
        if let Some(power) = self.powers.get(&bytes) {
            return *power;
        }
        let bits = (0..64).filter(|bit| bytes & (1 << bit) != 0);
        let power = bits.fold(ONE, |power, bit| times(power, self.squares[bit]));
        if self.powers.len() < KEPT_POWERS {
            self.powers.insert(bytes, power);
        }
        power
    }
}

/// The product of two polynomials, reduced.
fn times(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for place in (0..32).rev() {
        if a & (1 << place) != 0 {
            product ^= b;
        }
        // Once more x: a place down, and reduced where a coefficient falls out.
        let carry = if b & 1 == 0 { 0 } else { POLYNOMIAL };
        b = b >> 1 ^ carry;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_join_to_the_crc_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
        ) {
            let mut joined = Joined::from(crc32c::crc32c(b"first"));
            let mut whole = b"first".to_vec();
            for piece in &pieces {
                joined.add(crc32c::crc32c(piece), piece.len());
                whole.extend_from_slice(piece);
            }
            prop_assert_eq!(joined.crc(), crc32c::crc32c(&whole));
        }
    }

    #[test]
    fn a_piece_of_gigabytes_joins_too() {
        let zeros = vec![0; 1 << 20];
        let mut whole = crc32c::crc32c(b"first");
        let mut piece = 0;
        for _ in 0..100 {
            whole = crc32c::crc32c_append(whole, &zeros);
            piece = crc32c::crc32c_append(piece, &zeros);
        }
        let mut joined = Joined::from(crc32c::crc32c(b"first"));
        joined.add(piece, 100 << 20);
        assert_eq!(joined.crc(), whole);
    }
}
