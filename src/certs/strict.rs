//! What Go's parser (1.26) refuses and X.509 allows: etcd does not start with such a certificate in any of its files.
//!
//! Each reason comes in words for people, and as Go says it.

use std::net::IpAddr;

use x509_parser::asn1_rs::{Any, Class, Oid, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension, X509Extension};
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::certificate::{Constraints, Subtree};

/// A reason in plain words, and in Go's.
type Reason = (String, String);

const RSA: &str = "1.2.840.113549.1.1.1";
const ELLIPTIC_CURVE: &str = "1.2.840.10045.2.1";

/// The elliptic curves that Go has: P-224, P-256, P-384 and P-521.
const CURVES: [&str; 4] = [
    "1.3.132.0.33",
    "1.2.840.10045.3.1.7",
    "1.3.132.0.34",
    "1.3.132.0.35",
];

/// What is refused outside of the extensions, in the order in which Go finds it.
pub(super) fn around_extensions(certificate: &X509Certificate<'_>) -> Vec<Reason> {
    let tbs = &certificate.tbs_certificate;
    let mut reasons = Vec::new();
    if tbs.version.0 > 2 {
        reasons.push(reason("its version is unknown", "x509: invalid version"));
    }
    if tbs.raw_serial().first().is_some_and(|byte| *byte > 0x7f) {
        reasons.push(reason(
            "its serial number is negative",
            "x509: negative serial number",
        ));
    }
    if tbs.signature != certificate.signature_algorithm {
        reasons.push(reason(
            "it names two algorithms for one signature",
            "x509: inner and outer signature algorithm identifiers don't match",
        ));
    }
    reasons.extend(of_distinguished_name(&tbs.issuer, "issuer"));
    reasons.extend(of_distinguished_name(&tbs.subject, "subject"));
    reasons.extend(of_key(&tbs.subject_pki));
    reasons
}

/// What is refused in an extension, its content aside.
pub(super) fn of_extension(extension: &X509Extension<'_>) -> Option<Reason> {
    let name = match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(_) => "subject key identifier",
        ParsedExtension::AuthorityKeyIdentifier(_) => "authority key identifier",
        ParsedExtension::AuthorityInfoAccess(_) => "authority info access",
        ParsedExtension::NameConstraints(constraints) => return of_constraints(constraints),
        _ => return None,
    };
    extension.critical.then(|| {
        (
            format!("its {name} is marked as critical"),
            format!("x509: {name} incorrectly marked critical"),
        )
    })
}

/// What is refused in a subject alternative name.
pub(super) fn of_name(name: &GeneralName<'_>) -> Option<Reason> {
    let kind = match name {
        GeneralName::DNSName(name) if !name.is_ascii() => "dNSName",
        GeneralName::RFC822Name(name) if !name.is_ascii() => "rfc822Name",
        GeneralName::URI(uri) if !uri.is_ascii() => "uniformResourceIdentifier",
        GeneralName::URI(uri) => {
            let problem = url_problem(uri)?;
            return Some((
                format!("`{uri}` in it is no URI"),
                format!("x509: cannot parse URI {uri:?}: {problem}"),
            ));
        }
        GeneralName::IPAddress(bytes) if ip(bytes).is_none() => {
            let length = bytes.len();
            return Some((
                format!("an address in it has {length} bytes"),
                format!("x509: cannot parse IP address of length {length}"),
            ));
        }
        GeneralName::Invalid(tag, _) => match tag.0 {
            1 => "rfc822Name",
            2 => "dNSName",
            6 => "uniformResourceIdentifier",
            _ => return None,
        },
        _ => return None,
    };
    Some((
        format!("a name in it (of the kind {kind}) is not plain ASCII"),
        format!("x509: SAN {kind} is malformed"),
    ))
}

/// An address of a certificate: 4 or 16 bytes.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The constraints, and whether Go knows all their kinds.
pub(super) fn name_constraints(constraints: &NameConstraints<'_>) -> (Constraints, bool) {
    let subtrees = |trees: Option<&Vec<x509_parser::extensions::GeneralSubtree<'_>>>| {
        let trees = trees.into_iter().flatten();
        trees.map(|tree| subtree(&tree.base)).collect()
    };
    let constraints = Constraints {
        permitted: subtrees(constraints.permitted_subtrees.as_ref()),
        excluded: subtrees(constraints.excluded_subtrees.as_ref()),
    };
    let all = constraints.permitted.iter().chain(&constraints.excluded);
    let all_known = !all
        .into_iter()
        .any(|tree| matches!(tree, Subtree::Other(_)));
    (constraints, all_known)
}

fn subtree(base: &GeneralName<'_>) -> Subtree {
    match base {
        GeneralName::DNSName(name) => Subtree::Dns((*name).to_owned()),
        GeneralName::URI(name) => Subtree::Uri((*name).to_owned()),
        GeneralName::RFC822Name(name) => Subtree::Email((*name).to_owned()),
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

fn of_constraints(constraints: &NameConstraints<'_>) -> Option<Reason> {
    let permitted = constraints.permitted_subtrees.iter().flatten();
    let mut all = permitted.chain(constraints.excluded_subtrees.iter().flatten());
    let Some(first) = all.next() else {
        return Some(reason(
            "its name constraints are empty",
            "x509: empty name constraints extension",
        ));
    };
    std::iter::once(first)
        .chain(all)
        .find_map(|tree| of_constraint(&tree.base))
}

fn of_constraint(base: &GeneralName<'_>) -> Option<Reason> {
    let (kind, name) = match base {
        GeneralName::IPAddress(bytes) => return of_network(bytes),
        GeneralName::Invalid(tag, _) if matches!(tag.0, 1 | 2 | 6) => {
            return Some(reason(
                "a name in its name constraints is not plain ASCII",
                "x509: invalid constraint value",
            ));
        }
        GeneralName::DNSName(name) => ("dnsName", *name),
        GeneralName::URI(name) => ("URI", *name),
        GeneralName::RFC822Name(name) if !name.contains('@') => ("rfc822Name", *name),
        _ => return None,
    };
    let is_address = kind == "URI" && name.parse::<IpAddr>().is_ok();
    let domain = name.strip_prefix('.').unwrap_or(name);
    (is_address || !name.is_empty() && !is_domain(domain)).then(|| {
        (
            format!("its name constraint `{name}` is no domain"),
            format!("x509: failed to parse {kind} constraint {name:?}"),
        )
    })
}

/// An address and a mask, whose ones come before its zeros.
fn of_network(bytes: &[u8]) -> Option<Reason> {
    let (_, mask) = bytes.split_at(bytes.len() / 2);
    let bits = match ip(mask) {
        Some(IpAddr::V4(mask)) if bytes.len() == 8 => u128::from(mask.to_bits()) << 96,
        Some(IpAddr::V6(mask)) if bytes.len() == 32 => mask.to_bits(),
        _ => {
            let length = bytes.len();
            return Some((
                format!("a network in its name constraints has {length} bytes"),
                format!("x509: IP constraint contained value of length {length}"),
            ));
        }
    };
    (bits.leading_ones() != bits.count_ones()).then(|| {
        let mask = hex::encode(mask);
        (
            format!("the mask {mask} in its name constraints has holes"),
            format!("x509: IP constraint contained invalid mask {mask}"),
        )
    })
}

fn of_distinguished_name(name: &X509Name<'_>, which: &str) -> Option<Reason> {
    let problem = name.iter_attributes().find_map(|attribute| {
        let (value, bytes) = (attribute.attr_value(), attribute.attr_value().data);
        match value.tag() {
            Tag::PrintableString if !bytes.iter().all(|byte| is_printable(*byte)) => {
                Some("invalid PrintableString".to_owned())
            }
            Tag::Utf8String if std::str::from_utf8(bytes).is_err() => {
                Some("invalid UTF-8 string".to_owned())
            }
            Tag::Ia5String if !bytes.is_ascii() => Some("invalid IA5String".to_owned()),
            Tag::NumericString if !bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b' ')) => {
                Some("invalid NumericString".to_owned())
            }
            Tag::BmpString if !is_basic_plane(bytes) => Some("invalid BMPString".to_owned()),
            Tag::PrintableString
            | Tag::Utf8String
            | Tag::Ia5String
            | Tag::NumericString
            | Tag::BmpString
            | Tag::T61String => None,
            other => Some(format!("unsupported string type: {}", other.0)),
        }
    })?;
    Some((
        format!("its {which} holds a text in an encoding that etcd refuses"),
        format!("x509: invalid RDNSequence: invalid attribute value: {problem}"),
    ))
}

/// The characters of a `PrintableString`, and the two more that Go lets pass.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(&byte)
}

/// Whether it is UCS-2, without surrogates and what is no character.
fn is_basic_plane(bytes: &[u8]) -> bool {
    let point = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
    bytes.len().is_multiple_of(2)
        && !bytes
            .chunks_exact(2)
            .any(|pair| matches!(point(pair), 0xfffe | 0xffff | 0xfdd0..=0xfdef | 0xd800..=0xdfff))
}

fn of_key(key: &SubjectPublicKeyInfo<'_>) -> Option<Reason> {
    let parameters = key.algorithm.parameters.as_ref();
    match key.algorithm.algorithm.to_id_string().as_str() {
        RSA if !parameters.is_some_and(is_null) => Some(reason(
            "its RSA key lacks the parameter NULL",
            "x509: RSA key missing NULL parameters",
        )),
        ELLIPTIC_CURVE => match parameters.and_then(named_curve) {
            None => Some(reason(
                "its key describes a curve of its own",
                "x509: invalid ECDSA parameters",
            )),
            Some(curve) if !CURVES.contains(&curve.to_id_string().as_str()) => Some((
                format!("its key is on the elliptic curve {curve}, which etcd does not know"),
                "x509: unsupported elliptic curve".to_owned(),
            )),
            Some(_) => None,
        },
        _ => None,
    }
}

fn is_null(parameters: &Any<'_>) -> bool {
    parameters.tag() == Tag::Null && parameters.class() == Class::Universal
}

/// The object identifier of a curve that has one.
pub(super) fn named_curve<'a>(parameters: &'a Any<'_>) -> Option<Oid<'a>> {
    // The library would read any other value as an identifier, too.
    let is_named = parameters.tag() == Tag::Oid;
    is_named.then(|| parameters.as_oid().ok()).flatten()
}

/// Why Go's `net/url` would not take it, roughly in its words.
fn url_problem(text: &str) -> Option<String> {
    let rest = text.split_once('#').map_or(text, |(before, _)| before);
    match syntax_problem(rest) {
        Some("invalid domain") => Some("invalid domain".to_owned()),
        Some(problem) => Some(format!("parse {rest:?}: {problem}")),
        None => None,
    }
}

fn syntax_problem(rest: &str) -> Option<&'static str> {
    if rest.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Some("net/url: invalid control character in URL");
    }
    let Some((scheme, rest)) = scheme(rest) else {
        return Some("missing protocol scheme");
    };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    if !rest.starts_with('/') {
        let segment = rest.split('/').next().unwrap_or_default();
        let is_colon_lost = scheme.is_empty() && segment.contains(':');
        return match is_colon_lost {
            true => Some("first path segment in URL cannot contain colon"),
            false if scheme.is_empty() && !is_escaped(rest) => Some("invalid URL escape"),
            false => None,
        };
    }
    let has_authority = rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///"));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) if has_authority => after.split_at(after.find('/').unwrap_or(after.len())),
        _ => ("", rest),
    };
    match authority_problem(authority) {
        None if !is_escaped(path) => Some("invalid URL escape"),
        problem => problem,
    }
}

/// The scheme, if there is one, and what follows; nothing for a colon without a scheme before it.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|sign: char| !sign.is_ascii_alphanumeric() && !"+-.".contains(sign));
    match end {
        Some(0) if text.starts_with(':') => None,
        Some(end) if text[end..].starts_with(':') => {
            match text.starts_with(|sign: char| sign.is_ascii_alphabetic()) {
                true => Some((&text[..end], &text[end + 1..])),
                false => Some(("", text)),
            }
        }
        _ => Some(("", text)),
    }
}

fn authority_problem(authority: &str) -> Option<&'static str> {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            None => return Some("missing ']' in host"),
            Some((address, _)) if address.parse::<std::net::Ipv6Addr>().is_err() => {
                return Some("invalid host");
            }
            Some((_, port)) => ("", port),
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || port.len() == 1 && digits == port {
        return Some("invalid port");
    }
    let forbidden = |sign: char| " \\^`{}|%".contains(sign);
    if name.contains(forbidden) {
        return Some("invalid character");
    }
    (!host.is_empty() && !is_domain(host)).then_some("invalid domain")
}

/// Whether every percent sign begins an escape.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

/// No blank, nothing beyond ASCII, and no empty label.
fn is_domain(name: &str) -> bool {
    name.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|byte| (33..=126).contains(&byte)))
}

fn reason(words: &str, go: &str) -> Reason {
    (words.to_owned(), go.to_owned())
}
