//! DER (X.690) field by field, as strictly as Go reads it.

pub(super) const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// What was looked for, or the words that Go has for its damage.
pub(super) type Shape<T = ()> = Result<T, &'static str>;

/// A number in as few bytes as it takes.
pub(super) fn integer<'a>(fields: &mut Fields<'a>, what: &'static str) -> Shape<&'a [u8]> {
    match fields.field(INTEGER, what)? {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(what),
        number => Ok(number),
    }
}

/// An identifier whose numbers take as few bytes as they can, five at most, and of which the last one ends.
pub(super) fn identifier<'a>(fields: &mut Fields<'a>, what: &'static str) -> Shape<&'a [u8]> {
    let bytes = fields.field(OBJECT_IDENTIFIER, what)?;
    let mut numbers = bytes.split_inclusive(|byte| *byte < 0x80);
    let is_number = |number: &[u8]| number[0] != 0x80 && number.len() <= 5;
    match bytes.last() {
        Some(..0x80) if numbers.all(is_number) => Ok(bytes),
        _ => Err(what),
    }
}

/// Whole bytes or not: what is unused is zero. The first byte of the answer says how many bits are unused.
pub(super) fn bit_string<'a>(fields: &mut Fields<'a>, what: &'static str) -> Shape<&'a [u8]> {
    match fields.field(BIT_STRING, what)? {
        bits @ [0] => Ok(bits),
        bits @ [unused @ 0..=7, .., last] if last.trailing_zeros() >= u32::from(*unused) => {
            Ok(bits)
        }
        _ => Err(what),
    }
}

/// Fields that are still to be looked at.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn begins_with(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    pub(super) fn nested(&mut self, tag: u8, what: &'static str) -> Shape<Self> {
        self.field(tag, what).map(Fields)
    }

    pub(super) fn field(&mut self, tag: u8, what: &'static str) -> Shape<&'a [u8]> {
        match self.begins_with(tag) {
            true => self.any(what),
            false => Err(what),
        }
    }

    /// The content of the next field, whatever it is.
    pub(super) fn any(&mut self, what: &'static str) -> Shape<&'a [u8]> {
        self.tagged(what).map(|(_, content)| content)
    }

    /// The next field's tag and content; its length must be written as shortly as it can be.
    pub(super) fn tagged(&mut self, what: &'static str) -> Shape<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first().ok_or(what)?;
        // A tag of several bytes stands nowhere in a certificate.
        if tag & 0x1f == 0x1f {
            return Err(what);
        }
        let (length, rest) = match rest.split_first().ok_or(what)? {
            (short @ ..0x80, rest) => (usize::from(*short), rest),
            (long, rest) => {
                let count = usize::from(long & 0x7f);
                let (digits, rest) = rest.split_at_checked(count).ok_or(what)?;
                let is_shortest = digits.first().is_some_and(|first| *first != 0);
                if !is_shortest || count > 4 {
                    return Err(what);
                }
                let length = digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit));
                (
                    Some(length).filter(|length| *length > 0x7f).ok_or(what)?,
                    rest,
                )
            }
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(what)?;
        self.0 = rest;
        Ok((*tag, content))
    }
}
