//! The shape of a certificate, field by field, as strictly as Go looks at it: the library that reads it forgives wrong tags.
//!
//! Of certificates with one flipped bit that Go refuses a tenth of a percent is taken, all of them points beside the curve P-224. Of
//! those that Go takes four in a thousand are refused, for what Go does not look at: the end of a sequence, or unknown extensions.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    VerificationAlgorithm,
};

use super::certificate::KeyKind;
use super::content;
use super::der::{
    BOOLEAN, Fields, GENERALIZED_TIME, OCTET_STRING, SEQUENCE, SET, Shape, UTC_TIME, bit_string,
    identifier, integer,
};

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

fn certificate(der: &[u8]) -> Shape {
    const WHOLE: &str = "malformed certificate";
    let mut outer = Fields(der);
    let mut fields = outer.nested(SEQUENCE, WHOLE)?;
    to_be_signed(fields.nested(SEQUENCE, "malformed tbs certificate")?)?;
    algorithm(fields.nested(SEQUENCE, "malformed algorithm identifier")?)?;
    bit_string(&mut fields, "malformed signature").map(|_| ())
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
    let kind = key.nested(SEQUENCE, "malformed public key algorithm identifier")?;
    algorithm(kind)?;
    content::public_key(kind, bit_string(&mut key, "malformed subjectPublicKey")?)?;
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
    const VALUE: &str = "invalid RDNSequence: invalid attribute value";
    while !sets.is_empty() {
        let mut set = sets.nested(SET, NAME)?;
        while !set.is_empty() {
            let mut attribute = set.nested(SEQUENCE, "invalid RDNSequence: invalid attribute")?;
            identifier(
                &mut attribute,
                "invalid RDNSequence: invalid attribute type",
            )?;
            // What kinds of texts there are is looked at elsewhere; here, that it is one at all.
            match attribute.tagged(VALUE)? {
                (..0x20, _) => {}
                _ => return Err(VALUE),
            }
        }
    }
    Ok(())
}

fn extension(mut fields: Fields<'_>) -> Shape {
    let id = identifier(&mut fields, "malformed extension OID field")?;
    if fields.begins_with(BOOLEAN) {
        const CRITICAL: &str = "malformed extension critical field";
        let value = fields.field(BOOLEAN, CRITICAL)?;
        if !matches!(value, [0 | 0xff]) {
            return Err(CRITICAL);
        }
    }
    let value = fields.field(OCTET_STRING, "malformed extension value field")?;
    content::extension(id, Fields(value))
}
