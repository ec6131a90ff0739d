//! Signatures of certificates, held against the issuer's key as Go does it.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
    ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::{RsaSsaPssParams, SignatureAlgorithm};
use x509_parser::x509::AlgorithmIdentifier;

use super::refusal::{Refusal, Who};
use super::{LEAST_RSA_BITS, MOST_RSA_BITS};
use crate::certs::Certificate;
use crate::certs::certificate::KeyKind;

/// Whether `parent` may sign and did sign `child`.
pub(super) fn check(
    child: (Who, &Certificate),
    parent: (Who, &Certificate),
) -> Result<(), Refusal> {
    let authority = parent.1;
    let problem = match authority.basic_constraints {
        None if authority.version == 3 => Some("it has no basic constraints"),
        Some(basic) if !basic.is_authority => Some("its basic constraints say CA:FALSE"),
        _ if authority.key_usage.is_some_and(|usage| !usage.cert_sign) => {
            Some("its key usage lacks keyCertSign")
        }
        _ => None,
    };
    if let Some(problem) = problem {
        let who = parent.0;
        return Err(Refusal::MayNotSign { who, problem });
    }
    verify(child, parent)
}

/// How a signature is made, as far as Go tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Rsa(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
    /// A hash that is broken, by the name that Go gives to the whole.
    Weak(&'static str),
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

fn verify(
    (who, child): (Who, &Certificate),
    (authority, parent): (Who, &Certificate),
) -> Result<(), Refusal> {
    let oid = || child.signature_algorithm.clone();
    // It was read before, so that it can be read again; if not, its signature is not known either.
    let Ok((_, parsed)) = X509Certificate::from_der(&child.der) else {
        return Err(Refusal::UnknownSignature { who, oid: oid() });
    };
    let scheme = scheme(&parsed.signature_algorithm);
    let (wanted, fits, go) = match (scheme, &parent.key.kind) {
        (Scheme::Weak(algorithm), _) => return Err(Refusal::WeakSignature { who, algorithm }),
        (Scheme::Unknown, _) => return Err(Refusal::UnknownSignature { who, oid: oid() }),
        (Scheme::Rsa(_) | Scheme::RsaPss(_), kind) => (
            "an RSA",
            matches!(kind, KeyKind::Rsa(_)),
            "crypto/rsa: verification error",
        ),
        (Scheme::Ecdsa(_), kind) => (
            "an ECDSA",
            is_ecdsa(kind),
            "x509: ECDSA verification failure",
        ),
        (Scheme::Ed25519, kind) => (
            "an Ed25519",
            *kind == KeyKind::Ed25519,
            "x509: Ed25519 verification failure",
        ),
    };
    if !fits {
        return Err(Refusal::SignatureOfOtherKind {
            who,
            authority,
            wanted,
            has: parent.key.kind.to_string(),
            go: go_type(&parent.key.kind),
        });
    }
    if let KeyKind::Rsa(bits) = parent.key.kind
        && bits < LEAST_RSA_BITS
    {
        let who = authority;
        return Err(Refusal::WeakKey { who, bits });
    }
    let signed = parsed.tbs_certificate.as_ref();
    match algorithm(scheme, &parent.key.kind) {
        None => Err(Refusal::NotVerifiable {
            who,
            authority,
            kind: parent.key.kind.to_string(),
        }),
        Some(algorithm) => public_key(&parent.key.der)
            .and_then(|key| {
                let key = UnparsedPublicKey::new(algorithm, key);
                key.verify(signed, &parsed.signature_value.data).ok()
            })
            .ok_or(Refusal::WrongSignature { who, authority, go }),
    }
}

fn scheme(algorithm: &AlgorithmIdentifier<'_>) -> Scheme {
    match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => Scheme::Weak("MD5-RSA"),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => Scheme::Weak("SHA1-RSA"),
        "1.2.840.113549.1.1.11" => Scheme::Rsa(Hash::Sha256),
        "1.2.840.113549.1.1.12" => Scheme::Rsa(Hash::Sha384),
        "1.2.840.113549.1.1.13" => Scheme::Rsa(Hash::Sha512),
        "1.2.840.113549.1.1.10" => match SignatureAlgorithm::try_from(algorithm) {
            Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => pss(&parameters),
            _ => Scheme::Unknown,
        },
        "1.2.840.10045.4.1" => Scheme::Weak("ECDSA-SHA1"),
        "1.2.840.10045.4.3.2" => Scheme::Ecdsa(Hash::Sha256),
        "1.2.840.10045.4.3.3" => Scheme::Ecdsa(Hash::Sha384),
        "1.2.840.10045.4.3.4" => Scheme::Ecdsa(Hash::Sha512),
        "1.3.101.112" if algorithm.parameters.is_none() => Scheme::Ed25519,
        _ => Scheme::Unknown,
    }
}

/// Go takes three sets of parameters only: one hash for everything, and a salt of its length.
fn pss(parameters: &RsaSsaPssParams<'_>) -> Scheme {
    let hash = parameters.hash_algorithm_oid().to_id_string();
    let Ok(mask) = parameters.mask_gen_algorithm() else {
        return Scheme::Unknown;
    };
    let is_mask = mask.mgf.to_id_string() == "1.2.840.113549.1.1.8"
        && mask.hash.to_id_string() == hash
        && parameters.trailer_field() == 1;
    match (is_mask, hash.as_str(), parameters.salt_length()) {
        (true, "2.16.840.1.101.3.4.2.1", 32) => Scheme::RsaPss(Hash::Sha256),
        (true, "2.16.840.1.101.3.4.2.2", 48) => Scheme::RsaPss(Hash::Sha384),
        (true, "2.16.840.1.101.3.4.2.3", 64) => Scheme::RsaPss(Hash::Sha512),
        _ => Scheme::Unknown,
    }
}

fn is_ecdsa(kind: &KeyKind) -> bool {
    matches!(
        kind,
        KeyKind::P224 | KeyKind::P256 | KeyKind::P384 | KeyKind::P521
    )
}

fn go_type(kind: &KeyKind) -> &'static str {
    match kind {
        KeyKind::Rsa(_) => "*rsa.PublicKey",
        KeyKind::Ed25519 => "ed25519.PublicKey",
        kind if is_ecdsa(kind) => "*ecdsa.PublicKey",
        _ => "<nil>",
    }
}

/// The verification of a signature by a key of this kind; none if aws-lc-rs has none.
fn algorithm(scheme: Scheme, kind: &KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    let least = match scheme {
        Scheme::Rsa(Hash::Sha256 | Hash::Sha512) => LEAST_RSA_BITS,
        _ => 2048,
    };
    if let KeyKind::Rsa(bits) = kind
        && !(least..=MOST_RSA_BITS).contains(bits)
    {
        return None;
    }
    Some(match (scheme, kind) {
        (Scheme::Rsa(Hash::Sha256), _) => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (Scheme::Rsa(Hash::Sha384), _) => &RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Rsa(Hash::Sha512), _) => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (Scheme::RsaPss(Hash::Sha256), _) => &RSA_PSS_2048_8192_SHA256,
        (Scheme::RsaPss(Hash::Sha384), _) => &RSA_PSS_2048_8192_SHA384,
        (Scheme::RsaPss(Hash::Sha512), _) => &RSA_PSS_2048_8192_SHA512,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P256) => &ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P256) => &ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P256) => &ECDSA_P256_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P384) => &ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P384) => &ECDSA_P384_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P384) => &ECDSA_P384_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P521) => &ECDSA_P521_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P521) => &ECDSA_P521_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P521) => &ECDSA_P521_SHA512_ASN1,
        (Scheme::Ed25519, _) => &ED25519 as &dyn signature::VerificationAlgorithm,
        _ => return None,
    })
}

/// The content of the BIT STRING in a `SubjectPublicKeyInfo`.
fn public_key(info: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(info).ok()?;
    Some(info.subject_public_key.data.to_vec())
}
