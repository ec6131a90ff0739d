//! Certificates and authorities of every kind, each with what etcd was measured to make of it (3.5.33, 3.6.14, 3.7.1).

use std::sync::OnceLock;

use etcdrx::certs::judge::Usage;
use rcgen::{
    BasicConstraints, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose as Eku, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SerialNumber, date_time_ymd,
};

use crate::certs_forge::{
    Authority, Forged, Openssl, common_name, dns, expired, key, not_yet, uri,
};
use crate::certs_odd_rows;

/// A leaf with what is sent with it, who is trusted, and what comes of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) trusted: String,
    /// The cause of the refusal when it serves; nothing if it is accepted.
    server: &'static str,
    /// The same when it is shown by a client.
    client: &'static str,
    /// Whether OpenSSL is known to say something else.
    pub(crate) openssl_differs: bool,
}

impl Row {
    pub(crate) fn expected(&self) -> [(Usage, &'static str); 2] {
        [(Usage::Server, self.server), (Usage::Client, self.client)]
    }

    /// Says that OpenSSL decides otherwise.
    pub(crate) fn differs(mut self) -> Row {
        self.openssl_differs = true;
        self
    }
}

pub(crate) fn row(
    name: &'static str,
    leaf: &Forged,
    trusted: &str,
    (server, client): (&'static str, &'static str),
) -> Row {
    Row {
        name,
        chain: leaf.cert.clone(),
        key: leaf.key.clone(),
        trusted: trusted.to_owned(),
        server,
        client,
        openssl_differs: false,
    }
}

pub(crate) const FINE: (&str, &str) = ("", "");

pub(crate) fn both(reason: &'static str) -> (&'static str, &'static str) {
    (reason, reason)
}

/// All of them, made once; a loud word if `openssl` is not there.
pub(crate) fn rows(test: &str) -> Option<&'static [Row]> {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    let openssl = Openssl::find(test)?;
    Some(ROWS.get_or_init(|| all(&openssl)))
}

fn all(openssl: &Openssl) -> Vec<Row> {
    let mut rows = leaf_rows();
    rows.extend(name_rows());
    rows.extend(certs_odd_rows::leafs(openssl));
    rows.extend(authority_rows());
    rows.extend(path_rows());
    rows.extend(constraint_rows());
    rows.extend(certs_odd_rows::authorities(openssl));
    rows
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn leaf_rows() -> Vec<Row> {
    let ca = Authority::root("leafs", |_| ());
    let trusted = ca.pem();
    let usage = |usages: &[Eku]| {
        let usages = usages.to_vec();
        ca.leaf(|params| params.extended_key_usages = usages)
    };
    let row = |name, leaf: &Forged, reasons| row(name, leaf, &trusted, reasons);
    let other = Eku::Other(vec![1, 2, 3, 4]);
    vec![
        row("good", &ca.leaf(|_| ()), FINE),
        row("no extended key usage", &usage(&[]), FINE),
        row(
            "no basic constraints, no key identifiers",
            &ca.leaf(|params| {
                params.is_ca = IsCa::NoCa;
                params.use_authority_key_identifier_extension = false;
            }),
            FINE,
        ),
        row(
            "empty subject",
            &ca.leaf(|params| params.distinguished_name = common_name("")),
            FINE,
        ),
        row(
            "serverAuth only",
            &usage(&[Eku::ServerAuth]),
            ("", "WrongUsage"),
        ),
        row(
            "clientAuth only",
            &usage(&[Eku::ClientAuth]),
            ("WrongUsage", ""),
        ),
        row(
            "codeSigning only",
            &usage(&[Eku::CodeSigning]),
            both("WrongUsage"),
        ),
        row("any usage", &usage(&[Eku::Any]), FINE).differs(),
        row(
            "unknown usage beside the two",
            &usage(&[Eku::ServerAuth, other.clone(), Eku::ClientAuth]),
            FINE,
        ),
        row("unknown usage only", &usage(&[other]), both("WrongUsage")),
        row("expired", &ca.leaf(expired), both("Expired")),
        row("not yet valid", &ca.leaf(not_yet), both("NotYetValid")),
        row(
            "ends after 2050",
            &ca.leaf(|params| params.not_after = date_time_ymd(2060, 1, 1)),
            FINE,
        ),
        row(
            "no key usage",
            &ca.leaf(|params| params.key_usages = vec![]),
            FINE,
        ),
        row(
            "key usage keyCertSign only",
            &ca.leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
            FINE,
        )
        .differs(),
        row(
            "key usage keyEncipherment only",
            &ca.leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            FINE,
        )
        .differs(),
        row(
            "P-384",
            &ca.leaf_with(&rcgen::PKCS_ECDSA_P384_SHA384, |_| ()),
            FINE,
        ),
        row(
            "P-521",
            &ca.leaf_with(&rcgen::PKCS_ECDSA_P521_SHA512, |_| ()),
            FINE,
        ),
        row("Ed25519", &ca.leaf_with(&rcgen::PKCS_ED25519, |_| ()), FINE),
        row(
            "RSA-2048",
            &ca.leaf_with(&rcgen::PKCS_RSA_SHA256, |_| ()),
            FINE,
        ),
        row(
            "CA:TRUE",
            &ca.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            FINE,
        )
        .differs(),
        row(
            "unknown critical extension",
            &ca.leaf(|params| params.custom_extensions = vec![critical()]),
            both("UnknownCriticalExtension"),
        ),
        row(
            "serial number 0",
            &ca.leaf(|params| params.serial_number = Some(SerialNumber::from(0))),
            FINE,
        ),
        row(
            "serial number of 24 bytes",
            &ca.leaf(|params| params.serial_number = Some(SerialNumber::from(vec![7; 24]))),
            FINE,
        ),
    ]
}

fn critical() -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// The names of a subject alternative name, as far as they matter to a parser.
fn name_rows() -> Vec<Row> {
    let ca = Authority::root("names", |_| ());
    let trusted = ca.pem();
    let with = |name: rcgen::SanType| {
        ca.leaf(|params| {
            params.subject_alt_names.push(name);
        })
    };
    let row = |name, leaf: &Forged, reasons| row(name, leaf, &trusted, reasons);
    vec![
        row(
            "no names",
            &ca.leaf(|params| params.subject_alt_names = vec![]),
            FINE,
        ),
        row("name with a port", &with(dns("localhost:2379")), FINE),
        row("name with a scheme", &with(dns("https://localhost")), FINE),
        row("name with an underscore", &with(dns("a_b")), FINE),
        row("empty name", &with(dns("")), FINE),
        row("SPIFFE", &with(uri("spiffe://cluster.local/ns/x")), FINE),
        row("a relative URI", &with(uri("path/of/it")), FINE),
        row(
            "a URI without a scheme",
            &with(uri(":foo")),
            both("Unreadable"),
        )
        .differs(),
        row(
            "a URI with a blank in its host",
            &with(uri("http://a b/")),
            both("Unreadable"),
        )
        .differs(),
        row(
            "a URI with a port that is none",
            &with(uri("http://a:b/")),
            both("Unreadable"),
        )
        .differs(),
    ]
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn authority_rows() -> Vec<Row> {
    let of = |name: &'static str, change: fn(&mut rcgen::CertificateParams), reasons| {
        let ca = Authority::root(name, change);
        row(name, &ca.leaf(|_| ()), &ca.pem(), reasons)
    };
    let of_key = |name: &'static str, algorithm| {
        let ca = Authority::root_with(name, key(algorithm), |_| ());
        row(name, &ca.leaf(|_| ()), &ca.pem(), FINE)
    };
    vec![
        of(
            "CA without keyCertSign",
            |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
            both("MayNotSign"),
        ),
        of(
            "CA without key usage",
            |params| params.key_usages = vec![],
            FINE,
        ),
        of(
            "CA without basic constraints",
            |params| params.is_ca = IsCa::NoCa,
            both("MayNotSign"),
        )
        .differs(),
        of(
            "CA with CA:FALSE",
            |params| params.is_ca = IsCa::ExplicitNoCa,
            both("MayNotSign"),
        ),
        of("CA expired", expired, both("Expired")),
        of("CA not yet valid", not_yet, both("NotYetValid")),
        of(
            "CA for servers only",
            |params| params.extended_key_usages = vec![Eku::ServerAuth],
            ("", "WrongUsage"),
        ),
        of(
            "CA for clients only",
            |params| params.extended_key_usages = vec![Eku::ClientAuth],
            ("WrongUsage", ""),
        ),
        of(
            "CA for both",
            |params| params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth],
            FINE,
        ),
        of(
            "CA for any usage",
            |params| params.extended_key_usages = vec![Eku::Any],
            FINE,
        )
        .differs(),
        of(
            "CA with path length 0",
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            FINE,
        ),
        of(
            "CA with an unknown critical extension",
            |params| params.custom_extensions = vec![critical()],
            both("UnknownCriticalExtension"),
        ),
        of(
            "CA without a subject",
            |params| params.distinguished_name = common_name(""),
            FINE,
        )
        .differs(),
        of_key("CA of Ed25519", &rcgen::PKCS_ED25519),
        of_key("CA of P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        of_key("CA of P-521", &rcgen::PKCS_ECDSA_P521_SHA512),
        of_key("CA of RSA", &rcgen::PKCS_RSA_SHA256),
    ]
}

/// Which way leads from the leaf to who is trusted.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn path_rows() -> Vec<Row> {
    let root = Authority::root("paths", |_| ());
    let middle = root.below("paths-middle", |_| ());
    let leaf = middle.leaf(|_| ());
    let sent = |leaf: &Forged, more: &[String]| Forged {
        cert: format!("{}{}", leaf.cert, more.concat()),
        key: leaf.key.clone(),
    };
    let with_middle = sent(&leaf, &[middle.pem()]);
    let narrow = Authority::root("narrow", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let below_narrow = narrow.below("below-narrow", |_| ());
    let old = root.below("paths-expired", expired);
    let no_sign = root.below("paths-no-sign", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let for_servers = root.below("paths-servers", |params| {
        params.extended_key_usages = vec![Eku::ServerAuth];
    });
    let twin = Authority::root("paths", |_| ());
    let expired_extra = Authority::root("extra", expired);
    let own = Authority::root("own", |params| {
        params.subject_alt_names = vec![dns("localhost")];
    });
    let below = |authority: &Authority| sent(&authority.leaf(|_| ()), &[authority.pem()]);
    let direct = root.leaf(|_| ());
    vec![
        row(
            "intermediate not sent",
            &leaf,
            &root.pem(),
            both("UnknownAuthority"),
        ),
        row("intermediate sent", &with_middle, &root.pem(), FINE),
        row(
            "root sent, too",
            &sent(&leaf, &[middle.pem(), root.pem()]),
            &root.pem(),
            FINE,
        ),
        row(
            "only the intermediate is trusted",
            &leaf,
            &middle.pem(),
            FINE,
        )
        .differs(),
        row(
            "intermediate and root are trusted",
            &leaf,
            &format!("{}{}", root.pem(), middle.pem()),
            FINE,
        ),
        row(
            "path too long",
            &below(&below_narrow),
            &narrow.pem(),
            both("PathTooLong"),
        ),
        row(
            "intermediate expired",
            &below(&old),
            &root.pem(),
            both("Expired"),
        ),
        row(
            "intermediate may not sign",
            &below(&no_sign),
            &root.pem(),
            both("MayNotSign"),
        ),
        row(
            "intermediate for servers only",
            &below(&for_servers),
            &root.pem(),
            ("", "WrongUsage"),
        ),
        row(
            "another authority",
            &direct,
            &narrow.pem(),
            both("UnknownAuthority"),
        ),
        row("nobody is trusted", &direct, "", both("UnknownAuthority")),
        row(
            "another authority of the same name",
            &direct,
            &twin.pem(),
            both("WrongSignature"),
        ),
        row(
            "two authorities of the same name",
            &direct,
            &format!("{}{}", twin.pem(), root.pem()),
            FINE,
        ),
        row(
            "the same authority twice",
            &direct,
            &format!("{}{}", root.pem(), root.pem()),
            FINE,
        ),
        row(
            "an expired authority beside it",
            &direct,
            &format!("{}{}", expired_extra.pem(), root.pem()),
            FINE,
        ),
        row("trusted itself", &own.forged(), &own.pem(), FINE).differs(),
        row(
            "signed itself",
            &own.forged(),
            &root.pem(),
            both("UnknownAuthority"),
        ),
        cross_signed(),
        around_in_a_circle(),
    ]
}

/// An authority that an expired root and a good one signed: the good way is found.
fn cross_signed() -> Row {
    let old = Authority::root("cross-old", expired);
    let new = Authority::root("cross-new", |_| ());
    let middle = old.below("cross-middle", |_| ());
    let again = signed_again(&middle, &new, "cross-middle");
    let leaf = middle.leaf(|_| ());
    let chain = Forged {
        cert: format!("{}{}{again}", leaf.cert, middle.pem()),
        key: leaf.key,
    };
    let trusted = format!("{}{}", old.pem(), new.pem());
    row("cross-signed", &chain, &trusted, FINE).differs()
}

/// Two authorities that signed each other, and nobody else did.
fn around_in_a_circle() -> Row {
    let (one, two) = (
        Authority::root("one", |_| ()),
        Authority::root("two", |_| ()),
    );
    let one_by_two = signed_again(&one, &two, "one");
    let two_by_one = signed_again(&two, &one, "two");
    let leaf = one.leaf(|_| ());
    let chain = Forged {
        cert: format!("{}{one_by_two}{two_by_one}", leaf.cert),
        key: leaf.key,
    };
    let trusted = Authority::root("three", |_| ()).pem();
    row("a circle", &chain, &trusted, both("UnknownAuthority"))
}

fn signed_again(authority: &Authority, by: &Authority, name: &str) -> String {
    let params = Authority::params(name);
    let certificate = params.signed_by(authority.0.key(), &by.0);
    certificate.unwrap().pem()
}

fn constraint_rows() -> Vec<Row> {
    let of = |name: &'static str, permitted: Vec<GeneralSubtree>, excluded, reasons| {
        let ca = Authority::root(name, |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: permitted,
                excluded_subtrees: excluded,
            });
        });
        row(name, &ca.leaf(|_| ()), &ca.pem(), reasons)
    };
    let domain = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let network =
        |a, b, prefix| GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([a, b, 0, 0], prefix));
    let refused = both("NameNotAllowed");
    vec![
        of(
            "permitted names",
            vec![domain("localhost"), network(127, 0, 8)],
            vec![],
            FINE,
        ),
        of(
            "permitted names only",
            vec![domain("localhost")],
            vec![],
            FINE,
        ),
        of(
            "other permitted names",
            vec![domain("example.com")],
            vec![],
            refused,
        ),
        of(
            "names below only",
            vec![domain(".localhost")],
            vec![],
            refused,
        )
        .differs(),
        of(
            "other permitted addresses",
            vec![network(10, 0, 8)],
            vec![],
            refused,
        ),
        of("excluded name", vec![], vec![domain("localhost")], refused),
        of(
            "excluded addresses",
            vec![],
            vec![network(127, 0, 8)],
            refused,
        ),
        of(
            "other excluded addresses",
            vec![],
            vec![network(10, 0, 8)],
            FINE,
        ),
    ]
}
