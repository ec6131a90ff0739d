//! Why Go, and so etcd, refuses a certificate: in plain words, and as it stands in etcd's log.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

use super::Usage;
use crate::certs::Certificate;

/// Why a certificate is refused; the first that Go would name.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("there is no certificate")]
    NoCertificate,

    /// Go's parser refuses it; with such a file etcd does not start.
    #[error("{who} cannot be read by etcd: {problem}")]
    Unreadable {
        who: Who,
        problem: String,
        go: String,
    },

    /// Its time is still to come: it is fresh, and a clock is behind.
    #[error("{who} is not valid before {}; it is now {}", time(.from), time(.now))]
    NotYetValid {
        who: Who,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
    },

    /// Its time is over.
    #[error("{who} expired at {}", time(.at))]
    Expired {
        who: Who,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    },

    /// No trusted authority has the issuer's name, or none of those could have signed it.
    #[error("{}", unknown_authority(.who, .issuer, .hint.as_ref()))]
    UnknownAuthority {
        who: Who,
        issuer: String,
        hint: Option<Hint>,
    },

    /// It is no authority's certificate, or one that may not sign others.
    #[error("{who} may not sign certificates: {problem}")]
    MayNotSign { who: Who, problem: &'static str },

    /// The signature was made with a broken hash.
    #[error("{who} is signed with {algorithm}, which is not safe and not accepted any more")]
    WeakSignature { who: Who, algorithm: &'static str },

    /// The signature is of a kind that Go does not verify.
    #[error("{who} is signed with an algorithm that etcd does not know ({oid})")]
    UnknownSignature { who: Who, oid: String },

    /// The signature's kind is not that of the issuer's key.
    #[error("{who} is signed as if by {wanted} key, but {authority} has a key of the kind {has}")]
    SignatureOfOtherKind {
        who: Who,
        authority: Who,
        wanted: &'static str,
        has: String,
        go: &'static str,
    },

    /// The issuer has the right name and another key: authorities of one name were mixed up.
    #[error("{who} names {authority} as its issuer, but was signed with another key")]
    WrongSignature {
        who: Who,
        authority: Who,
        go: &'static str,
    },

    /// Go knows how to verify the signature, and this program does not: etcd may well accept it.
    #[error(
        "whether {authority} signed {who} cannot be told here: a key of the kind {kind} is unusual"
    )]
    NotVerifiable {
        who: Who,
        authority: Who,
        kind: String,
    },

    /// The key is too small for Go to use.
    #[error("{who} has an RSA key of {bits} bits, which is too small to be accepted")]
    WeakKey { who: Who, bits: usize },

    /// The key is of a kind that TLS in Go does not use.
    #[error("{who} has a key of the kind {kind}, with which etcd makes no connection")]
    UnusableKey { who: Who, kind: String, go: String },

    /// More intermediates are below it than it allows.
    #[error("{who} allows fewer intermediates below it than there are (path length)")]
    PathTooLong { who: Who },

    /// The extended key usage forbids it.
    #[error("{who} {} {usage}s: its extended key usage lacks {}", may_not(.who), .usage.oid_name())]
    WrongUsage { who: Who, usage: Usage },

    /// An authority's name constraints forbid a name below it.
    #[error("{who} holds a name that {authority} may not certify: {detail}")]
    NameNotAllowed {
        who: Who,
        authority: Who,
        detail: String,
    },

    /// A critical extension that Go does not know.
    #[error("{who} holds a critical extension that etcd does not know ({})", .oids.join(", "))]
    UnknownCriticalExtension { who: Who, oids: Vec<String> },

    /// There are so many authorities of the same name that Go gives up.
    #[error("there are too many authorities of the same name to find the right one")]
    TooManyCandidates,

    /// It is for other names.
    #[error("{who} is not valid for `{host}`: {problem}")]
    OtherNames {
        who: Who,
        host: String,
        problem: String,
        go: String,
    },
}

/// Why an authority of the right name was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What is wrong with it.
    pub because: Box<Refusal>,
    /// The authority, as Go names it.
    pub candidate: String,
}

/// Which certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// What it does there.
    pub role: Role,
    /// Its subject, which may be empty.
    pub subject: String,
}

/// What a certificate does in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the one that is judged.
    Leaf,
    /// It is sent along.
    Intermediate,
    /// It stands in the file of trusted authorities.
    Authority,
}

impl Who {
    pub(super) fn new(role: Role, certificate: &Certificate) -> Self {
        Self {
            role,
            subject: certificate.subject.text.clone(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Leaf => "the certificate",
            Role::Intermediate => "the intermediate",
            Role::Authority => "the authority",
        };
        match self.subject.as_str() {
            "" => write!(f, "{role} without a subject"),
            subject => write!(f, "{role} `{subject}`"),
        }
    }
}

impl Refusal {
    /// What is at the bottom of it: where an authority of the right name was passed over, what is wrong with that one.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::UnknownAuthority {
                hint: Some(hint), ..
            } => hint.because.cause(),
            other => other,
        }
    }

    /// The core of what Go says, to be looked up in etcd's log (Go 1.26; older ones differ in details).
    #[must_use]
    pub fn go_text(&self) -> String {
        match self {
            Self::NoCertificate => "tls: client didn't provide a certificate".to_owned(),
            Self::NotYetValid { from, now, .. } => not_in_date("before", from, now),
            Self::Expired { at, now, .. } => not_in_date("after", at, now),
            Self::UnknownAuthority { hint, .. } => unknown_authority_in_go(hint.as_ref()),
            Self::MayNotSign { .. } => {
                "x509: invalid signature: parent certificate cannot sign this kind of certificate"
                    .to_owned()
            }
            Self::WeakSignature { algorithm, .. } => {
                format!("x509: cannot verify signature: insecure algorithm {algorithm}")
            }
            Self::UnknownSignature { .. } => {
                "x509: cannot verify signature: algorithm unimplemented".to_owned()
            }
            Self::SignatureOfOtherKind { wanted, go, .. } => format!(
                "x509: signature algorithm specifies {wanted} public key, but have public key of type {go}"
            ),
            Self::WrongSignature { go, .. } => (*go).to_owned(),
            Self::NotVerifiable { .. } => String::new(),
            Self::Unreadable { go, .. }
            | Self::UnusableKey { go, .. }
            | Self::OtherNames { go, .. } => go.clone(),
            Self::WeakKey { bits, .. } => format!(
                "crypto/rsa: {bits}-bit keys are insecure (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)"
            ),
            Self::PathTooLong { .. } => {
                "x509: too many intermediates for path length constraint".to_owned()
            }
            Self::WrongUsage { .. } => {
                "x509: certificate specifies an incompatible key usage".to_owned()
            }
            Self::NameNotAllowed { detail, .. } => format!(
                "x509: a root or intermediate certificate is not authorized to sign for this name: {detail}"
            ),
            Self::UnknownCriticalExtension { .. } => {
                "x509: unhandled critical extension".to_owned()
            }
            Self::TooManyCandidates => {
                "x509: signature check attempts limit reached while verifying certificate chain"
                    .to_owned()
            }
        }
    }
}

fn time(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn may_not(who: &Who) -> &'static str {
    match who.role {
        Role::Leaf => "may not be used by",
        Role::Intermediate | Role::Authority => "may not sign certificates of",
    }
}

fn unknown_authority(who: &Who, issuer: &str, hint: Option<&Hint>) -> String {
    match hint {
        Some(hint) => hint.because.to_string(),
        None if issuer.is_empty() => format!("{who} names no issuer"),
        None => format!("{who} was issued by `{issuer}`, which is not a trusted authority"),
    }
}

fn not_in_date(side: &str, limit: &DateTime<Utc>, now: &DateTime<Utc>) -> String {
    format!(
        "x509: certificate has expired or is not yet valid: current time {} is {side} {}",
        time(now),
        time(limit)
    )
}

fn unknown_authority_in_go(hint: Option<&Hint>) -> String {
    let says = "x509: certificate signed by unknown authority";
    match hint {
        None => says.to_owned(),
        Some(Hint { because, candidate }) => format!(
            "{says} (possibly because of {:?} while trying to verify candidate authority certificate {candidate:?})",
            because.go_text()
        ),
    }
}
