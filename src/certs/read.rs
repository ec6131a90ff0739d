//! From bytes to a certificate: what X.509 allows, and a note of what Go's stricter parser refuses.

use std::net::IpAddr;

use chrono::DateTime;
use thiserror::Error;
use x509_parser::certificate::{TbsCertificate, X509Certificate};
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::{
    BasicConstraints, Certificate, Constraints, ExtendedKeyUsage, KeyKind, KeyUsage, Name, Names,
    PublicKeyInfo, Subtree,
};

/// Why bytes are no certificate.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// The structure of X.509 is not there.
    #[error("no X.509 certificate: {problem}")]
    NotACertificate { problem: String },

    /// Bytes follow it.
    #[error("{count} bytes follow the certificate")]
    TrailingBytes { count: usize },
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// What Go refuses and X.509 allows is no error here, but stands in [`Certificate::unreadable_for_go`].
    ///
    /// # Errors
    /// If the bytes are no certificate, or more than one.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|error| Error::NotACertificate {
                problem: error.to_string(),
            })?;
        if !rest.is_empty() {
            return Err(Error::TrailingBytes { count: rest.len() });
        }
        let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let mut certificate = Self {
            der: der.to_owned(),
            version: parsed.version().0.saturating_add(1),
            serial: parsed.raw_serial().to_owned(),
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            key: public_key(parsed.public_key()),
            signature_algorithm: parsed.signature_algorithm.algorithm.to_id_string(),
            names: Names::default(),
            key_usage: None,
            extended_key_usage: None,
            basic_constraints: None,
            subject_key_id: None,
            authority_key_id: None,
            name_constraints: None,
            unknown_critical: Vec::new(),
            unreadable_for_go: Vec::new(),
        };
        certificate.take_extensions(&parsed);
        Ok(certificate)
    }

    fn take_extensions(&mut self, tbs: &TbsCertificate<'_>) {
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in tbs.extensions() {
            if seen.contains(&&extension.oid) {
                let oid = extension.oid.to_id_string();
                self.refuse(format!("it has the extension {oid} twice"));
            }
            seen.push(&extension.oid);
            let known = self.take_extension(extension.parsed_extension());
            if extension.critical && !known {
                self.unknown_critical.push(extension.oid.to_id_string());
            }
        }
        if self.serial.first().is_some_and(|byte| *byte > 0x7f) {
            self.refuse("its serial number is negative".to_owned());
        }
    }

    /// Takes in what an extension says; `false` if Go does not know it.
    fn take_extension(&mut self, extension: &ParsedExtension<'_>) -> bool {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    self.take_name(name);
                }
                // Go counts the extension as handled if it holds one name of a kind that it knows.
                return !self.names.is_empty();
            }
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_encipherment: usage.key_encipherment(),
                    cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.extended_key_usage = Some(extended_key_usage(usage));
            }
            ParsedExtension::BasicConstraints(basic) => {
                self.basic_constraints = Some(BasicConstraints {
                    is_authority: basic.ca,
                    path_length: basic.path_len_constraint,
                });
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                self.subject_key_id = Some(id.0.to_owned());
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_owned());
            }
            ParsedExtension::NameConstraints(constraints) => {
                self.name_constraints = Some(name_constraints(constraints));
            }
            ParsedExtension::ParseError { error } => {
                self.refuse(format!("an extension in it is broken: {error}"));
            }
            ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::InhibitAnyPolicy(_) => {}
            _ => return false,
        }
        true
    }

    fn take_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) if name.is_ascii() => {
                self.names.dns.push((*name).to_owned());
            }
            GeneralName::DNSName(name) => {
                self.refuse(format!("the host name `{name}` in it is not ASCII"));
            }
            GeneralName::RFC822Name(name) if name.is_ascii() => {
                self.names.emails.push((*name).to_owned());
            }
            GeneralName::RFC822Name(name) => {
                self.refuse(format!("the mail address `{name}` in it is not ASCII"));
            }
            GeneralName::URI(uri) => match uri.is_ascii() && is_url(uri) {
                true => self.names.uris.push((*uri).to_owned()),
                false => self.refuse(format!("`{uri}` in it is no URI")),
            },
            GeneralName::IPAddress(bytes) => match ip(bytes) {
                Some(ip) => self.names.ips.push(ip),
                None => self.refuse(format!("an address in it has {} bytes", bytes.len())),
            },
            GeneralName::Invalid(..) => {
                self.refuse("a name in it cannot be read".to_owned());
            }
            _ => {}
        }
    }

    fn refuse(&mut self, problem: String) {
        self.unreadable_for_go.push(problem);
    }
}

impl Name {
    /// Reads a distinguished name that stands alone, as a TLS server lists them (RFC 8446, 4.2.4).
    ///
    /// What cannot be read keeps its bytes and is shown in hex.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Self {
        match X509Name::from_der(der) {
            Ok((_, parsed)) => name(&parsed),
            Err(_) => Self {
                der: der.to_owned(),
                text: hex::encode(der),
                common_name: None,
            },
        }
    }
}

fn name(name: &X509Name<'_>) -> Name {
    let common_name = name.iter_common_name().last();
    Name {
        der: name.as_raw().to_owned(),
        text: name.to_string(),
        common_name: common_name
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned),
    }
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> PublicKeyInfo {
    let algorithm = info.algorithm.algorithm.to_id_string();
    let kind = match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed() {
            Ok(PublicKey::RSA(key)) => KeyKind::Rsa(bits(key.modulus)),
            _ => KeyKind::Other(algorithm),
        },
        "1.2.840.113549.1.1.10" => KeyKind::RsaPss,
        "1.2.840.10045.2.1" => {
            let curve = info.algorithm.parameters.as_ref();
            let curve = curve.and_then(|curve| curve.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.3.132.0.33") => KeyKind::P224,
                Some("1.2.840.10045.3.1.7") => KeyKind::P256,
                Some("1.3.132.0.34") => KeyKind::P384,
                Some("1.3.132.0.35") => KeyKind::P521,
                Some(other) => KeyKind::OtherCurve(other.to_owned()),
                None => KeyKind::OtherCurve("with explicit parameters".to_owned()),
            }
        }
        "1.3.101.112" => KeyKind::Ed25519,
        _ => KeyKind::Other(algorithm),
    };
    PublicKeyInfo {
        der: info.raw.to_owned(),
        kind,
    }
}

/// How many bits a big-endian number has.
fn bits(number: &[u8]) -> usize {
    let first = number.iter().position(|byte| *byte != 0);
    first.map_or(0, |first| {
        (number.len() - first) * 8 - number[first].leading_zeros() as usize
    })
}

fn extended_key_usage(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> ExtendedKeyUsage {
    let named = [
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let named = named.iter().filter(|(is_set, _)| *is_set);
    let others = usage.other.iter().map(Oid::to_id_string);
    ExtendedKeyUsage {
        server_auth: usage.server_auth,
        client_auth: usage.client_auth,
        any: usage.any,
        others: named
            .map(|(_, name)| (*name).to_owned())
            .chain(others)
            .collect(),
    }
}

fn name_constraints(constraints: &NameConstraints<'_>) -> Constraints {
    let subtrees = |trees: Option<&Vec<x509_parser::extensions::GeneralSubtree<'_>>>| {
        let trees = trees.into_iter().flatten();
        trees.map(|tree| subtree(&tree.base)).collect()
    };
    Constraints {
        permitted: subtrees(constraints.permitted_subtrees.as_ref()),
        excluded: subtrees(constraints.excluded_subtrees.as_ref()),
    }
}

fn subtree(base: &GeneralName<'_>) -> Subtree {
    match base {
        GeneralName::DNSName(name) => Subtree::Dns((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let (network, mask) = bytes.split_at(bytes.len() / 2);
            match (ip(network), ip(mask)) {
                (Some(network), Some(mask)) => Subtree::Ip { network, mask },
                _ => Subtree::Other(format!("IP:{}", hex::encode(bytes))),
            }
        }
        other => Subtree::Other(other.to_string()),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Whether Go's `net/url` takes it: a scheme, and no character that a URL cannot hold.
fn is_url(text: &str) -> bool {
    url::Url::parse(text).is_ok()
}
