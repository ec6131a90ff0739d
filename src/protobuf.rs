//! As much of protocol buffers as etcd's own files need, never out of bounds.
//!
//! A field that is met twice counts as protobuf says: the last one wins, and repeated fields add up.

/// The wire types that are in use.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Writes fields, in the order in which they are given, zero values included.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Adds a number.
    #[must_use]
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    /// Adds bytes, a text or a message.
    #[must_use]
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, whatever its kind.
    Number(u64),
    /// Bytes, a text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Eight or four bytes of a kind that etcd does not use.
    Fixed,
}

/// A message that ends in the middle of a field, or has a field that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbled;

/// Reads the fields of a message, one after the other.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Reads `message`.
    #[must_use]
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Garbled> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            VARINT => Value::Number(varint(&mut self.0)?),
            BYTES => {
                let length = varint(&mut self.0)?;
                Value::Bytes(take(&mut self.0, length)?)
            }
            FIXED64 => take(&mut self.0, 8).map(|_| Value::Fixed)?,
            FIXED32 => take(&mut self.0, 4).map(|_| Value::Fixed)?,
            _ => return Err(Garbled),
        };
        match tag >> 3 {
            0 => Err(Garbled),
            field => Ok((field, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Garbled>;

    /// The next field's number and value; an error is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Reads the numbers of a repeated field that may be packed.
///
/// # Errors
/// If they are none.
pub fn numbers(value: Value<'_>, into: &mut Vec<u64>) -> Result<(), Garbled> {
    match value {
        Value::Number(number) => into.push(number),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(varint(&mut packed)?);
            }
        }
        Value::Fixed => return Err(Garbled),
    }
    Ok(())
}

impl<'a> Value<'a> {
    /// The number that it is.
    ///
    /// # Errors
    /// If it is none.
    pub fn number(self) -> Result<u64, Garbled> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(Garbled),
        }
    }

    /// The bytes that it is.
    ///
    /// # Errors
    /// If it is a number.
    pub fn bytes(self) -> Result<&'a [u8], Garbled> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Garbled),
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Garbled> {
    let length = usize::try_from(length).map_err(|_| Garbled)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Garbled)?;
    *bytes = rest;
    Ok(taken)
}

/// Takes at most ten bytes; what they hold above 64 bits is refused.
fn varint(bytes: &mut &[u8]) -> Result<u64, Garbled> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Garbled);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Garbled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Garbled> {
        Fields::of(message).collect()
    }

    #[test]
    fn zero_values_are_written() {
        let message = Writer::default().number(1, 0).bytes(2, b"").finish();
        assert_eq!(message, [0x08, 0x00, 0x12, 0x00]);
    }

    #[test]
    fn a_message_that_ends_early_is_garbled() {
        let message = Writer::default().bytes(3, b"value").finish();
        for end in 1..message.len() {
            assert_eq!(all(&message[..end]), Err(Garbled), "{end}");
        }
        // Eleven bytes of number, a length beyond all memory, field 0, a group.
        assert_eq!(
            all(&[[0x08].as_slice(), &[0xff; 10], &[1]].concat()),
            Err(Garbled)
        );
        assert_eq!(
            all(&[[0x0a].as_slice(), &[0xff; 9], &[1]].concat()),
            Err(Garbled)
        );
        assert_eq!(all(&[0x00, 0x00]), Err(Garbled));
        assert_eq!(all(&[0x0b]), Err(Garbled));
    }

    #[test]
    fn repeated_numbers_may_be_packed() {
        let mut read = Vec::new();
        numbers(Value::Number(300), &mut read).unwrap();
        numbers(Value::Bytes(&[1, 0xac, 0x02]), &mut read).unwrap();
        assert_eq!(read, [300, 1, 300]);
        assert_eq!(numbers(Value::Bytes(&[0x80]), &mut read), Err(Garbled));
    }

    proptest! {
        #[test]
        fn fields_survive_the_round_trip(fields: Vec<(u8, Result<u64, Vec<u8>>)>) {
            let number = |field: &u8| u64::from(*field) + 1;
            let message = fields.iter().fold(Writer::default(), |writer, (field, value)| match value {
                Ok(value) => writer.number(number(field), *value),
                Err(bytes) => writer.bytes(number(field), bytes),
            });
            let message = message.finish();
            let expected: Vec<_> = fields
                .iter()
                .map(|(field, value)| match value {
                    Ok(value) => (number(field), Value::Number(*value)),
                    Err(bytes) => (number(field), Value::Bytes(bytes)),
                })
                .collect();
            prop_assert_eq!(all(&message).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }
    }
}
