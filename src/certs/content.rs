//! The shape of what stands inside of extensions and public keys, as strictly as Go looks at it.

use super::der::{BOOLEAN, Fields, OCTET_STRING, SEQUENCE, Shape, bit_string, identifier, integer};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC_CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The first element of a sequence that may be left out, and the second.
const FIRST: u8 = 0x80;
const FIRST_NESTED: u8 = 0xa0;
const SECOND_NESTED: u8 = 0xa1;

/// Looks into the extensions that Go looks into, by the last number of `2.5.29.n`.
///
/// Of policies, distribution points and places of information nothing is looked at.
pub(super) fn extension(id: &[u8], value: Fields<'_>) -> Shape {
    match id {
        [0x55, 0x1d, 14] => subject_key_id(value),
        [0x55, 0x1d, 15] => key_usage(value),
        [0x55, 0x1d, 17] => names(value),
        [0x55, 0x1d, 19] => basic_constraints(value),
        [0x55, 0x1d, 30] => name_constraints(value),
        [0x55, 0x1d, 35] => authority_key_id(value),
        [0x55, 0x1d, 37] => extended_key_usage(value),
        _ => Ok(()),
    }
}

/// Looks into a public key, given the fields that say of which kind it is, and its bits.
pub(super) fn public_key(mut kind: Fields<'_>, bits: &[u8]) -> Shape {
    const DAMAGED: &str = "invalid RSA public key";
    match identifier(&mut kind, "malformed OID")? {
        RSA => match bits {
            [0, bytes @ ..] => rsa(Fields(bytes).nested(SEQUENCE, DAMAGED)?),
            _ => Err(DAMAGED),
        },
        ELLIPTIC_CURVE if bits.first() != Some(&0) => Err("invalid uncompressed public key"),
        ELLIPTIC_CURVE => identifier(&mut kind, "invalid ECDSA parameters").map(|_| ()),
        _ => Ok(()),
    }
}

fn rsa(mut key: Fields<'_>) -> Shape {
    let modulus = integer(&mut key, "invalid RSA modulus")?;
    let exponent = integer(&mut key, "invalid RSA public exponent")?;
    if exponent.len() > 8 {
        return Err("invalid RSA public exponent");
    }
    let is_positive = |number: &[u8]| number[0] < 0x80 && number != [0];
    match (is_positive(modulus), is_positive(exponent)) {
        (false, _) => Err("RSA modulus is not a positive number"),
        (_, false) => Err("RSA public exponent is not a positive number"),
        _ => Ok(()),
    }
}

fn subject_key_id(mut value: Fields<'_>) -> Shape {
    let id = value.field(OCTET_STRING, "invalid subject key identifier");
    id.map(|_| ())
}

fn authority_key_id(mut value: Fields<'_>) -> Shape {
    const INVALID: &str = "invalid authority key identifier";
    let mut fields = value.nested(SEQUENCE, INVALID)?;
    match fields.begins_with(FIRST) {
        true => fields.any(INVALID).map(|_| ()),
        false => Ok(()),
    }
}

fn key_usage(mut value: Fields<'_>) -> Shape {
    bit_string(&mut value, "invalid key usage").map(|_| ())
}

fn names(mut value: Fields<'_>) -> Shape {
    let mut names = value.nested(SEQUENCE, "invalid subject alternative names")?;
    while !names.is_empty() {
        names.any("invalid subject alternative name")?;
    }
    Ok(())
}

fn basic_constraints(mut value: Fields<'_>) -> Shape {
    const INVALID: &str = "invalid basic constraints";
    const INTEGER: u8 = 0x02;
    let mut fields = value.nested(SEQUENCE, INVALID)?;
    if fields.begins_with(BOOLEAN) && !matches!(fields.any(INVALID)?, [0 | 0xff]) {
        return Err(INVALID);
    }
    if !fields.begins_with(INTEGER) {
        return Ok(());
    }
    match integer(&mut fields, INVALID)? {
        [0x80..=0xff, ..] => Err(INVALID),
        length if length.len() > 8 => Err(INVALID),
        _ => Ok(()),
    }
}

fn name_constraints(mut value: Fields<'_>) -> Shape {
    const INVALID: &str = "invalid NameConstraints extension";
    let mut fields = value.nested(SEQUENCE, INVALID)?;
    for tag in [FIRST_NESTED, SECOND_NESTED] {
        if !fields.begins_with(tag) {
            continue;
        }
        let mut trees = fields.nested(tag, INVALID)?;
        while !trees.is_empty() {
            trees.nested(SEQUENCE, INVALID)?.any(INVALID)?;
        }
    }
    match value.is_empty() && fields.is_empty() {
        true => Ok(()),
        false => Err(INVALID),
    }
}

fn extended_key_usage(mut value: Fields<'_>) -> Shape {
    const INVALID: &str = "invalid extended key usages";
    let mut usages = value.nested(SEQUENCE, INVALID)?;
    while !usages.is_empty() {
        identifier(&mut usages, INVALID)?;
    }
    Ok(())
}
