//! One certificate: the facts that etcd's rules speak of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};

use super::Host;
use crate::id::Digest;

/// A certificate, whoever issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(super) der: Vec<u8>,
    /// 1, 2 or 3.
    pub version: u32,
    /// The content of the INTEGER, as it is encoded; a first byte over 0x7f is a negative number.
    pub serial: Vec<u8>,
    /// Whom it names.
    pub subject: Name,
    /// Who signed it, as it says.
    pub issuer: Name,
    /// The first moment it is valid.
    pub not_before: DateTime<Utc>,
    /// The last moment it is valid.
    pub not_after: DateTime<Utc>,
    /// The public key.
    pub key: PublicKeyInfo,
    /// The object identifier of the signature's algorithm, dotted.
    pub signature_algorithm: String,
    /// What stands in the subject alternative name.
    pub names: Names,
    /// The key usage (RFC 5280, 4.2.1.3), if there is one.
    pub key_usage: Option<KeyUsage>,
    /// The extended key usage (RFC 5280, 4.2.1.12); none is any.
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    /// The basic constraints (RFC 5280, 4.2.1.9), if there are any.
    pub basic_constraints: Option<BasicConstraints>,
    /// The identifier of its own key.
    pub subject_key_id: Option<Vec<u8>>,
    /// The identifier of the key that signed it.
    pub authority_key_id: Option<Vec<u8>>,
    /// The names that certificates below it may hold.
    pub name_constraints: Option<Constraints>,
    /// Critical extensions that Go does not know, dotted.
    pub unknown_critical: Vec<String>,
    /// What Go's parser refuses in it, in words; etcd does not start with such a certificate in its files.
    pub unreadable_for_go: Vec<String>,
    /// What Go says of the first of them.
    pub go_refusal: Option<String>,
}

/// What a certificate seems to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikelyRole {
    /// It signs others.
    Authority,
    /// A member shows it, on its client port or to its peers.
    Member,
    /// Servers may show it, clients may not: half of what a member needs.
    ServerOnly,
    /// Clients show it.
    Client,
    /// Neither servers nor clients may show it.
    Other,
}

impl LikelyRole {
    /// One word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::Member => "member",
            Self::ServerOnly => "server",
            Self::Client => "client",
            Self::Other => "other",
        }
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Member => "server or peer",
            Self::ServerOnly => "server only",
            Self::Client => "client",
            Self::Other => "neither server nor client",
        }
    }
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As it is encoded: that is what Go compares.
    pub der: Vec<u8>,
    /// For people, as `CN=etcd-ca, O=example`.
    pub text: String,
    /// The last common name, which etcd takes for a user.
    pub common_name: Option<String>,
}

/// What is certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyInfo {
    /// The `SubjectPublicKeyInfo` (RFC 5280, 4.1).
    pub der: Vec<u8>,
    /// Its kind.
    pub kind: KeyKind,
}

/// Kinds of keys, as far as etcd treats them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with so many bits.
    Rsa(usize),
    /// A key that may only make RSA-PSS signatures; Go does not load it.
    RsaPss,
    /// NIST P-224, with which etcd starts and nobody connects.
    P224,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// A curve that Go does not know, dotted.
    OtherCurve(String),
    /// Anything else, dotted.
    Other(String),
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::RsaPss => f.write_str("RSA-PSS"),
            Self::P224 => f.write_str("P-224"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::P521 => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::OtherCurve(oid) => write!(f, "elliptic curve {oid}"),
            Self::Other(oid) => write!(f, "key algorithm {oid}"),
        }
    }
}

/// What stands in a subject alternative name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names, wildcards included.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
    /// Mail addresses.
    pub emails: Vec<String>,
}

impl Names {
    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ips.is_empty() && self.uris.is_empty() && self.emails.is_empty()
    }
}

/// What the key may do, by the key usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are bits of RFC 5280, 4.2.1.3"
)]
pub struct KeyUsage {
    /// Sign in a handshake.
    pub digital_signature: bool,
    /// Encrypt a key: TLS 1.2 with RSA key exchange, which etcd does not offer.
    pub key_encipherment: bool,
    /// Sign certificates.
    pub cert_sign: bool,
    /// Sign revocation lists.
    pub crl_sign: bool,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// By a server.
    pub server_auth: bool,
    /// By a client.
    pub client_auth: bool,
    /// For anything.
    pub any: bool,
    /// What else, dotted or by name.
    pub others: Vec<String>,
}

impl ExtendedKeyUsage {
    /// Whether it allows servers to use the certificate; without any usage, it allows everything to Go.
    #[must_use]
    pub fn allows_servers(&self) -> bool {
        self.server_auth || self.any || self.is_empty()
    }

    /// Whether it allows clients to use the certificate; without any usage, it allows everything to Go.
    #[must_use]
    pub fn allows_clients(&self) -> bool {
        self.client_auth || self.any || self.is_empty()
    }

    fn is_empty(&self) -> bool {
        !self.server_auth && !self.client_auth && !self.any && self.others.is_empty()
    }
}

/// Whether it is an authority's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// `CA:TRUE`.
    pub is_authority: bool,
    /// How many intermediates may follow.
    pub path_length: Option<u32>,
}

/// The names that an authority may certify (RFC 5280, 4.2.1.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// If there is one of a kind, a name of that kind must be in one of them.
    pub permitted: Vec<Subtree>,
    /// No name may be in one of them.
    pub excluded: Vec<Subtree>,
}

/// A part of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subtree {
    /// This domain and what is below it; with a leading dot only what is below.
    Dns(String),
    /// The addresses with this prefix.
    Ip {
        /// The network's address.
        network: IpAddr,
        /// Its mask.
        mask: IpAddr,
    },
    /// URIs with a host in this domain, by the rules of host names.
    Uri(String),
    /// This mail address, or those in this domain.
    Email(String),
    /// A kind that Go does not hold names against.
    Other(String),
}

impl std::fmt::Display for Subtree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) | Self::Uri(name) | Self::Email(name) | Self::Other(name) => {
                f.write_str(name)
            }
            Self::Ip { network, mask } => {
                let ones = match mask {
                    IpAddr::V4(mask) => mask.to_bits().count_ones(),
                    IpAddr::V6(mask) => mask.to_bits().count_ones(),
                };
                write!(f, "{network}/{ones}")
            }
        }
    }
}

impl Certificate {
    /// The bytes it was read from.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number in hex, as `openssl x509 -serial` shows it, in lower case.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        let digits = hex::encode(&self.serial);
        match digits.trim_start_matches("00") {
            "" => "00".to_owned(),
            digits => digits.to_owned(),
        }
    }

    /// The SHA-256 of the whole.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let digest = digest::digest(&digest::SHA256, &self.der);
        let bytes: [u8; 32] = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Digest(bytes)
    }

    /// Whether it signs others: an authority by its basic constraints, or a root of X.509 version 1.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        match self.basic_constraints {
            Some(basic) => basic.is_authority,
            None => self.version == 1 && self.is_self_issued(),
        }
    }

    /// The hosts that it answers to.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<Host> {
        let names = self.names.dns.iter().cloned().map(Host::Name);
        let addresses = self.names.ips.iter().copied().map(Host::Address);
        names.chain(addresses).collect()
    }

    /// What it seems to be for, by its usages and names.
    #[must_use]
    pub fn role(&self) -> LikelyRole {
        let usage = self.extended_key_usage.as_ref();
        let serves = usage.is_none_or(ExtendedKeyUsage::allows_servers);
        let connects = usage.is_none_or(ExtendedKeyUsage::allows_clients);
        match (serves, connects) {
            _ if self.is_authority() => LikelyRole::Authority,
            (true, true) if self.names.is_empty() => LikelyRole::Client,
            (true, true) => LikelyRole::Member,
            (true, false) => LikelyRole::ServerOnly,
            (false, true) => LikelyRole::Client,
            (false, false) => LikelyRole::Other,
        }
    }

    /// Whether issuer and subject are the same.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer.der == self.subject.der
    }
}
