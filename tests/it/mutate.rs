//! Mutations of bytes that come out the same in every run.

/// Numbers that look random: `splitmix64`.
pub(crate) struct Random(u64);

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number less than `end`, and 0 if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        match u64::try_from(end) {
            Ok(end) if end > 0 => usize::try_from(self.next() % end).unwrap_or_default(),
            _ => 0,
        }
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One to eight changes of `bytes`, some with parts of `other`.
    pub(crate) fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 => self.fill(bytes, at),
            3 => self.copy_within(bytes, at),
            4 => self.splice(bytes, at, other),
            5 | 6 => self.number(bytes, at),
            _ => {
                let bit = 1 << self.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
        }
    }

    /// Puts a number where one may be that matters: few bits, or all of them.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let at = at & !3;
        let numbers = [
            0,
            1,
            2,
            17,
            255,
            1024,
            65535,
            1 << 20,
            u32::MAX - 1,
            u32::MAX,
        ];
        let number = numbers[self.below(numbers.len())].to_le_bytes();
        let width = 1 << self.below(3);
        if let Some(there) = bytes.get_mut(at..at + width) {
            there.copy_from_slice(&number[..width]);
        }
    }

    fn fill(&mut self, bytes: &mut [u8], at: usize) {
        let (end, byte) = (at + self.below(1100), self.byte() & self.byte());
        let end = end.min(bytes.len());
        bytes[at..end].fill(byte);
    }

    fn copy_within(&mut self, bytes: &mut [u8], at: usize) {
        // Whole pages as often as any piece.
        let unit = [1024, 16, 8, 1][self.below(4)];
        let from = self.below(bytes.len()) / unit * unit;
        let to = at / unit * unit;
        let length = (unit * (1 + self.below(3))).min(bytes.len() - from.max(to));
        bytes.copy_within(from..from + length, to);
    }

    fn splice(&mut self, bytes: &mut [u8], at: usize, other: &[u8]) {
        let from = self.below(other.len());
        let length = self
            .below(2048)
            .min(bytes.len() - at)
            .min(other.len() - from);
        bytes[at..at + length].copy_from_slice(&other[from..from + length]);
    }
}
