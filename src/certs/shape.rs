//! The shape of a certificate, field by field, as strictly as Go looks at it: the library that reads it forgives wrong tags.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    VerificationAlgorithm,
};

use super::certificate::KeyKind;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// What Go calls the first field that has not the shape that it must have.
pub(super) fn malformed(der: &[u8]) -> Option<&'static str> {
    certificate(der).err()
}

/// Whether the content of an uncompressed point lies on its curve; of P-224 only the form is looked at.
pub(super) fn is_point(kind: &KeyKind, point: &[u8]) -> bool {
    let algorithm: &'static dyn VerificationAlgorithm = match kind {
        KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::P384 => &ECDSA_P384_SHA384_ASN1,
        KeyKind::P521 => &ECDSA_P521_SHA512_ASN1,
        KeyKind::P224 => return point.len() == 57 && point[0] == 4,
        _ => return true,
    };
    point.first() == Some(&4) && ParsedPublicKey::new(algorithm, point).is_ok()
}

type Shape<T = ()> = Result<T, &'static str>;

fn certificate(der: &[u8]) -> Shape {
    const WHOLE: &str = "malformed certificate";
    let mut outer = Fields(der);
    let mut fields = outer.nested(SEQUENCE, WHOLE)?;
    to_be_signed(fields.nested(SEQUENCE, "malformed tbs certificate")?)?;
    algorithm(fields.nested(SEQUENCE, "malformed algorithm identifier")?)?;
    bit_string(&mut fields, "malformed signature")
}

fn to_be_signed(mut fields: Fields<'_>) -> Shape {
    if fields.begins_with(VERSION) {
        let mut version = fields.nested(VERSION, "malformed version")?;
        integer(&mut version, "malformed version")?;
    }
    integer(&mut fields, "malformed serial number")?;
    algorithm(fields.nested(SEQUENCE, "malformed signature algorithm identifier")?)?;
    name(fields.nested(SEQUENCE, "malformed issuer")?)?;
    let mut validity = fields.nested(SEQUENCE, "malformed validity")?;
    for _ in 0..2 {
        match validity.begins_with(UTC_TIME) {
            true => validity.field(UTC_TIME, "malformed UTCTime")?,
            false => validity.field(GENERALIZED_TIME, "unsupported time format")?,
        };
    }
    name(fields.nested(SEQUENCE, "malformed issuer")?)?;
    let mut key = fields.nested(SEQUENCE, "malformed spki")?;
    algorithm(key.nested(SEQUENCE, "malformed public key algorithm identifier")?)?;
    bit_string(&mut key, "malformed subjectPublicKey")?;
    for unused in [ISSUER_UNIQUE_ID, SUBJECT_UNIQUE_ID] {
        if fields.begins_with(unused) {
            fields.field(unused, "malformed unique identifier")?;
        }
    }
    if !fields.begins_with(EXTENSIONS) {
        return Ok(());
    }
    let mut outer = fields.nested(EXTENSIONS, "malformed extensions")?;
    let mut extensions = outer.nested(SEQUENCE, "malformed extensions")?;
    while !extensions.is_empty() {
        extension(extensions.nested(SEQUENCE, "malformed extension")?)?;
    }
    Ok(())
}

fn algorithm(mut fields: Fields<'_>) -> Shape {
    identifier(&mut fields, "malformed OID")?;
    match fields.is_empty() {
        true => Ok(()),
        false => fields.any("malformed parameters").map(|_| ()),
    }
}

fn name(mut sets: Fields<'_>) -> Shape {
    const NAME: &str = "invalid RDNSequence";
    while !sets.is_empty() {
        let mut set = sets.nested(SET, NAME)?;
        while !set.is_empty() {
            let mut attribute = set.nested(SEQUENCE, "invalid RDNSequence: invalid attribute")?;
            identifier(
                &mut attribute,
                "invalid RDNSequence: invalid attribute type",
            )?;
            attribute.any("invalid RDNSequence: invalid attribute value")?;
        }
    }
    Ok(())
}

fn extension(mut fields: Fields<'_>) -> Shape {
    identifier(&mut fields, "malformed extension OID field")?;
    if fields.begins_with(BOOLEAN) {
        const CRITICAL: &str = "malformed extension critical field";
        let value = fields.field(BOOLEAN, CRITICAL)?;
        if !matches!(value, [0 | 0xff]) {
            return Err(CRITICAL);
        }
    }
    fields
        .field(OCTET_STRING, "malformed extension value field")
        .map(|_| ())
}

/// A number in as few bytes as it takes.
fn integer(fields: &mut Fields<'_>, what: &'static str) -> Shape {
    match fields.field(INTEGER, what)? {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(what),
        _ => Ok(()),
    }
}

/// An identifier whose last number ends.
fn identifier(fields: &mut Fields<'_>, what: &'static str) -> Shape {
    match fields.field(OBJECT_IDENTIFIER, what)? {
        [.., last] if *last < 0x80 => Ok(()),
        _ => Err(what),
    }
}

/// Whole bytes or not: what is unused is zero.
fn bit_string(fields: &mut Fields<'_>, what: &'static str) -> Shape {
    match fields.field(BIT_STRING, what)? {
        [0] => Ok(()),
        [unused @ 0..=7, .., last] if last.trailing_zeros() >= u32::from(*unused) => Ok(()),
        _ => Err(what),
    }
}

/// Fields that are still to be looked at.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn begins_with(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    fn nested(&mut self, tag: u8, what: &'static str) -> Shape<Self> {
        self.field(tag, what).map(Fields)
    }

    fn field(&mut self, tag: u8, what: &'static str) -> Shape<&'a [u8]> {
        match self.begins_with(tag) {
            true => self.any(what),
            false => Err(what),
        }
    }

    /// The content of the next field, whose length must be written as shortly as it can be.
    fn any(&mut self, what: &'static str) -> Shape<&'a [u8]> {
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
        Ok(content)
    }
}
