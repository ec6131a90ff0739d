//! Whether etcd accepts a certificate, by the rules of the Go that etcd is built with (1.26: etcd 3.5.33, 3.6.14, 3.7.1).
//!
//! The libraries of other programs are no judges of that: they accept authorities that Go refuses, and refuse leaves that Go accepts.

mod names;
mod refusal;
mod signature;
mod trust;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Name};

use super::Certificate;
use super::certificate::KeyKind;

pub use names::{SourceVerdict, answers_to, may_come_from};
pub use refusal::{Hint, Refusal, Role, Who};
pub use trust::{TrustFile, TrustOutcome, TrustProblem, read_trust};

/// As many signatures does Go look at before it gives up on a chain.
const MOST_SIGNATURES: usize = 100;

/// The largest RSA key that TLS in Go takes from the other side, in bits.
const MOST_RSA_BITS: usize = 8192;

/// The smallest RSA key that Go uses (since 1.24), in bits.
const LEAST_RSA_BITS: usize = 1024;

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Usage {
    /// By a server, to who connects to it.
    #[serde(rename = "serverAuth")]
    Server,
    /// By a client, to who asks for its certificate.
    #[serde(rename = "clientAuth")]
    Client,
}

impl Usage {
    /// The name of the extended key usage (RFC 5280, 4.2.1.12).
    #[must_use]
    pub fn oid_name(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// Whether who trusts the certificates `trusted` accepts `chain`: the leaf, and the intermediates that are sent with it.
///
/// Any path to a trusted certificate is enough. The host name is not looked at ([`answers_to`]), nor where a peer comes from
/// ([`may_come_from`]); revocation and certificate policies are not either. Signatures by P-224 keys, and by RSA keys over 8192
/// bits (with some hashes under 2048), are not verified, and refused as such ([`Refusal::NotVerifiable`]).
///
/// # Errors
/// With the reason that Go gives.
pub fn judge(
    chain: &[Certificate],
    trusted: &[Certificate],
    usage: Usage,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::NoCertificate)?;
    ensure_readable(Role::Authority, trusted)?;
    ensure_readable(Role::Leaf, std::slice::from_ref(leaf))?;
    ensure_readable(Role::Intermediate, intermediates)?;
    for (role, certificate) in roles(chain) {
        ensure_not_too_large(role, certificate, usage)?;
    }
    let mut search = Search {
        trusted,
        intermediates,
        now,
        signatures: 0,
    };
    let paths = search.paths(leaf)?;
    choose(&paths, usage)?;
    ensure_usable(leaf, usage)
}

/// A way from the leaf to a trusted certificate.
type Path<'a> = Vec<(Role, &'a Certificate)>;

fn roles(chain: &[Certificate]) -> impl Iterator<Item = (Role, &Certificate)> {
    let roles = std::iter::once(Role::Leaf).chain(std::iter::repeat(Role::Intermediate));
    roles.zip(chain)
}

/// The search for paths, in the order in which Go makes it: that decides which reason is given if none is good.
struct Search<'a> {
    trusted: &'a [Certificate],
    intermediates: &'a [Certificate],
    now: DateTime<Utc>,
    signatures: usize,
}

impl<'a> Search<'a> {
    /// All paths whose signatures, dates and authorities are good.
    fn paths(&mut self, leaf: &'a Certificate) -> Result<Vec<Path<'a>>, Refusal> {
        let path = vec![(Role::Leaf, leaf)];
        self.ensure_fit(Role::Leaf, leaf, &[])?;
        // What is trusted itself needs no signature.
        if self.trusted.iter().any(|one| one.der == leaf.der) {
            return Ok(vec![path]);
        }
        let mut found = Vec::new();
        self.grow(&path, &mut found)?;
        Ok(found)
    }

    /// Adds all good ways on from the end of `path` to `found`.
    fn grow(&mut self, path: &Path<'a>, found: &mut Vec<Path<'a>>) -> Result<(), Refusal> {
        let (role, child) = *path.last().expect("a path begins with the leaf");
        let known = found.len();
        let mut hint: Option<Hint> = None;
        let mut last = Ok(());
        for (parent_role, parent) in self.candidates(child) {
            self.signatures += 1;
            if self.signatures > MOST_SIGNATURES {
                last = Err(Refusal::TooManyCandidates);
                break;
            }
            if !is_loaded(&parent.key.kind) || repeats(parent, path) {
                continue;
            }
            let parent_who = Who::new(parent_role, parent);
            let signed = signature::check((Who::new(role, child), child), (parent_who, parent));
            if let Err(refusal) = signed {
                hint.get_or_insert_with(|| passed_over(parent, refusal));
                continue;
            }
            last = self.ensure_fit(parent_role, parent, path);
            if let Err(refusal) = &last {
                hint.get_or_insert_with(|| passed_over(parent, refusal.clone()));
                continue;
            }
            let longer = [path.as_slice(), &[(parent_role, parent)]].concat();
            match parent_role {
                Role::Authority => found.push(longer),
                Role::Intermediate | Role::Leaf => last = self.grow(&longer, found),
            }
            if last == Err(Refusal::TooManyCandidates) {
                break;
            }
        }
        if found.len() > known {
            return Ok(());
        }
        last?;
        Err(Refusal::UnknownAuthority {
            who: Who::new(role, child),
            issuer: child.issuer.text.clone(),
            hint,
        })
    }

    /// Who may have issued it by name: trusted ones first, and those first whose key identifier agrees.
    fn candidates(&self, child: &Certificate) -> Vec<(Role, &'a Certificate)> {
        let parents = |role, pool: &'a [Certificate]| {
            let parents = pool
                .iter()
                .filter(|one| one.subject.der == child.issuer.der);
            let mut parents: Vec<_> = parents.map(|parent| (role, parent)).collect();
            parents.sort_by_key(|(_, parent)| unlikelihood(child, parent));
            parents
        };
        let mut candidates = parents(Role::Authority, self.trusted);
        candidates.extend(parents(Role::Intermediate, self.intermediates));
        candidates
    }

    /// Whether a certificate may stand at the end of `path`, its signature aside.
    fn ensure_fit(
        &self,
        role: Role,
        certificate: &Certificate,
        path: &[(Role, &Certificate)],
    ) -> Result<(), Refusal> {
        let who = || Who::new(role, certificate);
        if !certificate.unknown_critical.is_empty() {
            let oids = certificate.unknown_critical.clone();
            return Err(Refusal::UnknownCriticalExtension { who: who(), oids });
        }
        let (from, at, now) = (certificate.not_before, certificate.not_after, self.now);
        if now < from {
            let who = who();
            return Err(Refusal::NotYetValid { who, from, now });
        }
        if now > at {
            let who = who();
            return Err(Refusal::Expired { who, at, now });
        }
        let basic = certificate.basic_constraints;
        if role == Role::Intermediate && !basic.is_some_and(|basic| basic.is_authority) {
            let problem = "it is not marked as an authority";
            let who = who();
            return Err(Refusal::MayNotSign { who, problem });
        }
        let between = path.len().saturating_sub(1);
        let most = basic.and_then(|basic| basic.path_length);
        match most.and_then(|most| usize::try_from(most).ok()) {
            Some(most) if between > most => Err(Refusal::PathTooLong { who: who() }),
            _ => Ok(()),
        }
    }
}

/// How unlikely the key identifiers make it that `parent` signed `child`.
fn unlikelihood(child: &Certificate, parent: &Certificate) -> u8 {
    let wanted = child.authority_key_id.as_deref().unwrap_or_default();
    let has = parent.subject_key_id.as_deref().unwrap_or_default();
    match (wanted, has) {
        (wanted, has) if wanted == has => 0,
        ([], _) | (_, []) => 1,
        _ => 2,
    }
}

/// Whether the same authority is already in the path; cross-signed ones would go round for ever.
fn repeats(candidate: &Certificate, path: &[(Role, &Certificate)]) -> bool {
    path.iter().any(|(_, one)| {
        one.subject.der == candidate.subject.der
            && one.key.der == candidate.key.der
            && one.names == candidate.names
    })
}

/// Whether Go has a type for such a key; an authority without one is as good as absent.
fn is_loaded(kind: &KeyKind) -> bool {
    !matches!(kind, KeyKind::RsaPss | KeyKind::Other(_))
}

fn passed_over(candidate: &Certificate, because: Refusal) -> Hint {
    let subject = &candidate.subject;
    let named = subject.common_name.clone().filter(|name| !name.is_empty());
    Hint {
        because: Box::new(because),
        candidate: named
            .or_else(|| organization(&subject.der))
            .unwrap_or_else(|| format!("serial:{}", decimal(&candidate.serial))),
    }
}

fn organization(subject: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(subject).ok()?;
    let organization = name.iter_organization().next()?;
    organization.as_str().ok().map(str::to_owned)
}

/// A serial number as Go writes it; in hex, if it is too long for that.
fn decimal(serial: &[u8]) -> String {
    let start = serial.iter().position(|byte| *byte != 0);
    let digits = &serial[start.unwrap_or(serial.len())..];
    match digits.len() {
        0..=16 => {
            let number = digits
                .iter()
                .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
            number.to_string()
        }
        _ => hex::encode(digits),
    }
}

/// One good path is enough. If there is none, Go prefers to speak of names.
fn choose(paths: &[Path<'_>], usage: Usage) -> Result<(), Refusal> {
    let mut refusals = Vec::new();
    for path in paths {
        match ensure_usage(path, usage).and_then(|()| names::ensure_allowed(path)) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusals.push(refusal),
        }
    }
    let of_names = |refusal: &Refusal| matches!(refusal, Refusal::NameNotAllowed { .. });
    let preferred = refusals.iter().position(of_names).unwrap_or(0);
    Err(refusals.swap_remove(preferred))
}

/// Whoever states usages in a path must state this one: an authority's usages narrow those of what is below it.
fn ensure_usage(path: &[(Role, &Certificate)], usage: Usage) -> Result<(), Refusal> {
    let against = path.iter().find(|(_, certificate)| {
        let stated = certificate.extended_key_usage.as_ref();
        stated.is_some_and(|stated| match usage {
            Usage::Server => !stated.allows_servers(),
            Usage::Client => !stated.allows_clients(),
        })
    });
    against.map_or(Ok(()), |(role, certificate)| {
        Err(Refusal::WrongUsage {
            who: Who::new(*role, certificate),
            usage,
        })
    })
}

fn ensure_readable(role: Role, certificates: &[Certificate]) -> Result<(), Refusal> {
    let bad = certificates
        .iter()
        .find(|one| !one.unreadable_for_go.is_empty());
    bad.map_or(Ok(()), |bad| {
        Err(Refusal::Unreadable {
            who: Who::new(role, bad),
            problem: bad.unreadable_for_go.join("; "),
            go: bad.go_refusal.clone().unwrap_or_default(),
        })
    })
}

fn ensure_not_too_large(
    role: Role,
    certificate: &Certificate,
    usage: Usage,
) -> Result<(), Refusal> {
    match certificate.key.kind {
        KeyKind::Rsa(bits) if bits > MOST_RSA_BITS => Err(Refusal::UnusableKey {
            who: Who::new(role, certificate),
            kind: certificate.key.kind.to_string(),
            go: format!(
                "tls: {usage} sent certificate containing RSA key larger than {MOST_RSA_BITS} bits"
            ),
        }),
        _ => Ok(()),
    }
}

/// Whether the leaf's own key can make the signatures of a handshake.
fn ensure_usable(leaf: &Certificate, usage: Usage) -> Result<(), Refusal> {
    let who = Who::new(Role::Leaf, leaf);
    let go = match (&leaf.key.kind, usage) {
        (KeyKind::Rsa(bits), _) if *bits < LEAST_RSA_BITS => {
            return Err(Refusal::WeakKey { who, bits: *bits });
        }
        (KeyKind::P224, _) => "tls: unsupported certificate curve (P-224)".to_owned(),
        (KeyKind::RsaPss | KeyKind::OtherCurve(_) | KeyKind::Other(_), Usage::Client) => {
            "tls: client certificate contains an unsupported public key of type <nil>".to_owned()
        }
        (KeyKind::RsaPss | KeyKind::OtherCurve(_) | KeyKind::Other(_), Usage::Server) => {
            "tls: failed to parse private key".to_owned()
        }
        _ => return Ok(()),
    };
    let kind = leaf.key.kind.to_string();
    Err(Refusal::UnusableKey { who, kind, go })
}
