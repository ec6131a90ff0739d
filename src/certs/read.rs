//! From bytes to a certificate: what X.509 allows, and a note of what Go's stricter parser refuses.

use chrono::DateTime;
use thiserror::Error;
use x509_parser::certificate::{TbsCertificate, X509Certificate};
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::{
    BasicConstraints, Certificate, ExtendedKeyUsage, KeyKind, KeyUsage, Name, Names, PublicKeyInfo,
};
use super::{shape, strict};

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
            go_refusal: None,
        };
        if let Some(problem) = shape::malformed(der) {
            certificate.refuse("it is damaged".to_owned(), format!("x509: {problem}"));
        }
        let point = &parsed.public_key().subject_public_key.data;
        if !shape::is_point(&certificate.key.kind, point) {
            let go = format!("{} point not on curve", certificate.key.kind).replace("P-", "P");
            certificate.refuse("its key is damaged".to_owned(), go);
        }
        for (problem, go) in strict::around_extensions(&parsed) {
            certificate.refuse(problem, go);
        }
        certificate.take_extensions(&parsed);
        Ok(certificate)
    }

    fn take_extensions(&mut self, tbs: &TbsCertificate<'_>) {
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in tbs.extensions() {
            if seen.contains(&&extension.oid) {
                let oid = extension.oid.to_id_string();
                let go = format!("x509: certificate contains duplicate extension with OID {oid:?}");
                self.refuse(format!("it has the extension {oid} twice"), go);
            }
            seen.push(&extension.oid);
            if let Some((problem, go)) = strict::of_extension(extension) {
                self.refuse(problem, go);
            }
            let known = self.take_extension(extension);
            if extension.critical && !known {
                self.unknown_critical.push(extension.oid.to_id_string());
            }
        }
    }

    /// Takes in what an extension says; `false` if Go does not know it.
    fn take_extension(&mut self, extension: &X509Extension<'_>) -> bool {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    self.take_name(name);
                }
                // Go counts the extension as handled if it holds one name of a kind that it knows.
                return !self.names.is_empty();
            }
            // To Go, a usage without a bit is none.
            ParsedExtension::KeyUsage(usage) if usage.flags == 0 => {}
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
                let (constraints, all_known) = strict::name_constraints(constraints);
                self.name_constraints = Some(constraints);
                return all_known;
            }
            ParsedExtension::ParseError { error } => {
                let problem = format!("its extension {} is broken: {error}", extension.oid);
                self.refuse(problem, "x509: invalid".to_owned());
            }
            ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::InhibitAnyPolicy(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::AuthorityInfoAccess(_) => {}
            _ => return false,
        }
        true
    }

    fn take_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.dns.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.names.emails.push((*name).to_owned()),
            GeneralName::URI(uri) => self.names.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => self.names.ips.extend(strict::ip(bytes)),
            _ => {}
        }
        if let Some((problem, go)) = strict::of_name(name) {
            self.refuse(problem, go);
        }
    }

    fn refuse(&mut self, problem: String, go: String) {
        self.unreadable_for_go.push(problem);
        self.go_refusal.get_or_insert(go);
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
            let curve = curve.and_then(strict::named_curve);
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
