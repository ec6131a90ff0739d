//! An authority: made, imported, and signing. The only file that names `rcgen` besides the one of keys.
//!
//! rcgen encodes whatever it is told, and some of what it is told it changes without a word. So every certificate is read
//! again and vouched for before anybody sees it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use thiserror::Error;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, X509Name};

use super::certificate::KeyKind;
use super::judge::Usage;
use super::key::{self, PrivateKey};
use super::profile::{Kind, Profile};
use super::revocation::{self, RevocationList};
use super::vouch::{Wanted, vouch};
use super::{Certificate, Host};

/// A certificate begins to be valid so long before it is made: clocks differ.
const BACKDATED: Duration = Duration::from_mins(5);

/// Why nothing was issued.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No key could be made.
    #[error("cannot make a key")]
    Key { source: key::Error },

    /// The library refused what it was told.
    #[error("cannot encode the certificate")]
    Encode { source: rcgen::Error },

    /// The authority cannot sign what etcd would accept.
    #[error("the authority `{subject}` cannot be used: {problem}")]
    Authority { subject: String, problem: String },

    /// A name in a profile is none.
    #[error("the profile `{kind}` cannot be used")]
    Profile {
        kind: Kind,
        source: super::members::Error,
    },

    /// What was issued is not what was wanted, so it was thrown away.
    #[error("the certificate for `{subject}` would not do: {problem}")]
    NotVouchedFor { subject: String, problem: String },
}

/// A certificate and its key, fresh.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key, unless that stays elsewhere.
    pub key: PrivateKey,
}

/// What a certificate of a profile is made for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What it holds.
    pub profile: &'a Profile,
    /// What `{name}` stands for.
    pub name: &'a str,
    /// The hosts and addresses that it answers to.
    pub hosts: Vec<Host>,
}

/// An authority with its key.
pub struct Authority {
    /// Its certificate.
    pub certificate: Certificate,
    key: PrivateKey,
}

impl Authority {
    /// Makes a new authority, with `key` where there is one, else with a new one.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn create(
        profile: &Profile,
        key: Option<PrivateKey>,
        now: DateTime<Utc>,
    ) -> Result<Issued, Error> {
        let key = match key {
            Some(key) => key,
            None => {
                PrivateKey::generate(profile.key_type).map_err(|source| Error::Key { source })?
            }
        };
        let unique = format!("{}-{:04x}", now.format("%Y%m%d"), rand::random::<u16>());
        let mut params = params(profile, &profile.common_name.replace("{unique}", &unique));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = authority_usages();
        params.not_before = SystemTime::from(now - BACKDATED).into();
        params.not_after = SystemTime::from(now + profile.validity).into();
        let encode = |source| Error::Encode { source };
        let der = params.self_signed(key.pair()).map_err(encode)?;
        let certificate = read(der.der(), &profile.common_name)?;
        Ok(Issued { certificate, key })
    }

    /// Signs a revocation list, with the next number.
    ///
    /// # Errors
    /// If the authority must not sign such lists.
    pub fn revocation_list(
        &self,
        list: &RevocationList,
        now: DateTime<Utc>,
    ) -> Result<Vec<u8>, revocation::Error> {
        list.sign(&self.certificate, self.key.pair(), now)
    }

    /// Makes the certificate of an authority anew, with the same name and key, so that all that it signed stays valid.
    ///
    /// # Errors
    /// If its name is one that cannot be repeated faithfully.
    pub fn extend(&self, profile: &Profile, now: DateTime<Utc>) -> Result<Certificate, Error> {
        let encode = |source| Error::Encode { source };
        let old = &self.certificate;
        let mut params = CertificateParams::default();
        params.distinguished_name = repeat(&old.subject.der).unwrap_or_default();
        params.is_ca = IsCa::Ca(
            match old.basic_constraints.and_then(|basic| basic.path_length) {
                Some(length) => {
                    BasicConstraints::Constrained(u8::try_from(length).unwrap_or(u8::MAX))
                }
                None => BasicConstraints::Unconstrained,
            },
        );
        params.key_usages = authority_usages();
        if let Some(id) = &old.subject_key_id {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.clone());
        }
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        params.not_before = SystemTime::from(now - BACKDATED).into();
        params.not_after = SystemTime::from(now + profile.validity).into();
        let der = params.self_signed(self.key.pair()).map_err(encode)?;
        let certificate = read(der.der(), &old.subject.text)?;
        let is_the_same = certificate.subject.der == old.subject.der
            && certificate.key == old.key
            && certificate.subject_key_id == old.subject_key_id
            && certificate.basic_constraints == old.basic_constraints
            && certificate.extended_key_usage == old.extended_key_usage
            && certificate.name_constraints == old.name_constraints
            && flaw(&certificate, now).is_none();
        match is_the_same {
            true => Ok(certificate),
            false => Err(Error::NotVouchedFor {
                subject: old.subject.text.clone(),
                problem: "its name, key identifier or constraints cannot be repeated as they are"
                    .to_owned(),
            }),
        }
    }

    /// Takes an authority that is there, and proves on a trial certificate that what it signs is accepted.
    ///
    /// # Errors
    /// If it is no authority, is not valid, the key is another's, or its name is one that cannot be repeated faithfully.
    pub fn open(
        certificate: Certificate,
        key: PrivateKey,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let unusable = |problem: String| Error::Authority {
            subject: certificate.subject.text.clone(),
            problem,
        };
        if !key.fits(&certificate) {
            return Err(unusable(
                "the key belongs to another certificate".to_owned(),
            ));
        }
        if let Some(problem) = flaw(&certificate, now) {
            return Err(unusable(problem));
        }
        let authority = Self { certificate, key };
        let trial = Profile::embedded(Kind::Proxy);
        let request = Request {
            profile: &trial,
            name: "",
            hosts: Vec::new(),
        };
        authority.issue(&request, now)?;
        Ok(authority)
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// If what comes out is not what etcd accepts.
    pub fn issue(&self, request: &Request<'_>, now: DateTime<Utc>) -> Result<Issued, Error> {
        let key_type = request.profile.key_type;
        let key = PrivateKey::generate(key_type).map_err(|source| Error::Key { source })?;
        let certificate = self.certify(request, &key.public_key(), now)?;
        Ok(Issued { certificate, key })
    }

    /// Issues a certificate for a public key (`SubjectPublicKeyInfo` in DER) whose private part may be elsewhere.
    ///
    /// It ends with its authority at the latest.
    ///
    /// # Errors
    /// If what comes out is not what etcd accepts.
    pub fn certify(
        &self,
        request: &Request<'_>,
        public_key: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Certificate, Error> {
        let profile = request.profile;
        let common_name = profile.common_name.replace("{name}", request.name);
        let not_after = (now + profile.validity).min(self.certificate.not_after);
        let encode = |source| Error::Encode { source };
        let public_key = SubjectPublicKeyInfo::from_der(public_key).map_err(encode)?;
        let mut params = params(profile, &common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.not_before = SystemTime::from(now - BACKDATED).into();
        params.not_after = SystemTime::from(not_after).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if public_key.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        let usages = profile.extended_key_usage.iter();
        params.extended_key_usages = usages.map(|usage| purpose(*usage)).collect();
        params.subject_alt_names = alternative_names(&request.hosts).map_err(encode)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate.der().into(), self.key.pair());
        let issuer = issuer.map_err(encode)?;
        let der = params.signed_by(&public_key, &issuer).map_err(encode)?;
        let certificate = read(der.der(), &common_name)?;
        let wanted = Wanted {
            request,
            common_name: &common_name,
            public_key: &public_key.subject_public_key_info(),
            authority: &self.certificate,
        };
        vouch(&certificate, &wanted, now).map_err(|problem| Error::NotVouchedFor {
            subject: certificate.subject.text.clone(),
            problem,
        })?;
        Ok(certificate)
    }
}

fn authority_usages() -> Vec<KeyUsagePurpose> {
    vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ]
}

/// A name as it was encoded, as far as the library can hold it.
fn repeat(der: &[u8]) -> Option<DistinguishedName> {
    let (_, name) = X509Name::from_der(der).ok()?;
    let mut repeated = DistinguishedName::new();
    for attribute in name.iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter()?.collect();
        let text = attribute.as_str().ok()?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => DnValue::PrintableString(text.try_into().ok()?),
            Tag::Ia5String => DnValue::Ia5String(text.try_into().ok()?),
            _ => DnValue::Utf8String(text.to_owned()),
        };
        repeated.push(DnType::from_oid(&oid), value);
    }
    Some(repeated)
}

/// Why etcd would accept nothing that `certificate` signs.
fn flaw(certificate: &Certificate, now: DateTime<Utc>) -> Option<String> {
    let usage = certificate.extended_key_usage.as_ref();
    let narrows = usage.is_some_and(|usage| !(usage.any || usage.server_auth && usage.client_auth));
    if !certificate.is_authority() {
        return Some("it is not an authority (CA:TRUE is missing)".to_owned());
    }
    if certificate.key_usage.is_some_and(|usage| !usage.cert_sign) {
        return Some("its key usage does not let it sign certificates".to_owned());
    }
    if now > certificate.not_after {
        return Some(format!("it expired at {}", certificate.not_after));
    }
    if now < certificate.not_before {
        let begins = certificate.not_before;
        return Some(format!(
            "it is not valid before {begins}: is this clock right?"
        ));
    }
    if narrows {
        return Some(
            "its extended key usage narrows what is below it, and members need both serverAuth and clientAuth"
                .to_owned(),
        );
    }
    if let Some(oid) = certificate.unknown_critical.first() {
        return Some(format!("etcd does not know its critical extension {oid}"));
    }
    if let Some(problem) = certificate.unreadable_for_go.first() {
        return Some(format!("etcd cannot read it: {problem}"));
    }
    match &certificate.key.kind {
        KeyKind::Rsa(bits) if *bits < 2048 => Some(format!("its RSA key has only {bits} bits")),
        KeyKind::Rsa(_) | KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => None,
        other => Some(format!("etcd does not take its kind of key ({other})")),
    }
}

/// What every certificate has.
fn params(profile: &Profile, common_name: &str) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = &profile.organization {
        subject.push(DnType::OrganizationName, organization.as_str());
    }
    if !common_name.is_empty() {
        subject.push(DnType::CommonName, common_name);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    params
}

/// 127 random bits, positive, and never fewer than 16 bytes.
fn serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

fn purpose(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

pub(super) fn alternative_names(hosts: &[Host]) -> Result<Vec<SanType>, rcgen::Error> {
    let names = hosts.iter().map(|host| match host {
        Host::Name(name) => name.as_str().try_into().map(SanType::DnsName),
        Host::Address(address) => Ok(SanType::IpAddress(*address)),
    });
    names.collect()
}

fn read(der: &[u8], subject: &str) -> Result<Certificate, Error> {
    Certificate::from_der(der).map_err(|error| Error::NotVouchedFor {
        subject: subject.to_owned(),
        problem: error.to_string(),
    })
}
