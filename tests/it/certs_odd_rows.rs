//! Certificates and authorities that only `openssl` makes: old versions, broken hashes, small and rare keys, bad encodings.

use crate::certs_forge::{Authority, Forged, Openssl};
use crate::certs_rows::{FINE, Row, both, row};

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

const LEAF: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(crate) fn leafs(openssl: &Openssl) -> Vec<Row> {
    let ca = Authority::root("odd-leafs", |_| ());
    let rsa = openssl.root("odd-rsa", "-algorithm RSA", CA, "");
    let (by, trusted) = (ca.forged(), format!("{}{}", ca.pem(), rsa.cert));
    let row = |name, leaf: &Forged, reasons| row(name, leaf, &trusted, reasons);
    let of_key = |key: &str| openssl.leaf(&by, key, LEAF, "");
    let rsa_key = |bits| of_key(&format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"));
    let curve = |name| of_key(&format!("-algorithm EC -pkeyopt ec_paramgen_curve:{name}"));
    let signed = |by: &Forged, hash: &str| openssl.leaf(by, P256, LEAF, hash);
    let named = |names: &str| {
        let extensions = LEAF.replace("DNS:localhost", names);
        openssl.leaf(&by, P256, &extensions, "")
    };
    let explicit = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit";
    vec![
        row("RSA-1024", &rsa_key(1024), FINE),
        row("RSA-1023", &rsa_key(1023), both("WeakKey")).differs(),
        row("RSA-512", &rsa_key(512), both("WeakKey")).differs(),
        row("P-224", &curve("P-224"), both("UnusableKey")).differs(),
        row("secp256k1", &curve("secp256k1"), both("Unreadable")).differs(),
        row("brainpool", &curve("brainpoolP256r1"), both("Unreadable")).differs(),
        row("explicit curve", &of_key(explicit), both("Unreadable")),
        row("version 1", &openssl.leaf(&by, P256, "", ""), FINE),
        row(
            "ECDSA with SHA-1",
            &signed(&by, "-sha1"),
            both("WeakSignature"),
        )
        .differs(),
        row(
            "RSA with SHA-1",
            &signed(&rsa, "-sha1"),
            both("WeakSignature"),
        )
        .differs(),
        row("RSA with MD5", &signed(&rsa, "-md5"), both("WeakSignature")).differs(),
        row("RSA with SHA-384", &signed(&rsa, "-sha384"), FINE),
        row("RSA with SHA-512", &signed(&rsa, "-sha512"), FINE),
        row("ECDSA P-256 with SHA-512", &signed(&by, "-sha512"), FINE),
        row(
            "ECDSA with SHA-224",
            &signed(&by, "-sha224"),
            both("UnknownSignature"),
        )
        .differs(),
        row(
            "RSA-PSS signature",
            &signed(
                &rsa,
                "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32",
            ),
            FINE,
        ),
        row(
            "RSA-PSS signature with another salt",
            &signed(
                &rsa,
                "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20",
            ),
            both("UnknownSignature"),
        )
        .differs(),
        row(
            "negative serial number",
            &openssl.leaf(&by, P256, LEAF, "-set_serial -5"),
            both("Unreadable"),
        )
        .differs(),
        row(
            "name that is not ASCII",
            &named("DNS:b\u{fc}ro"),
            both("Unreadable"),
        )
        .differs(),
        row(
            "critical names",
            &openssl.leaf(
                &by,
                P256,
                &LEAF.replace("subjectAltName=", "subjectAltName=critical,"),
                "",
            ),
            FINE,
        ),
        row(
            "critical subject key identifier",
            &openssl.leaf(
                &by,
                P256,
                &format!("{LEAF}2.5.29.14=critical,DER:04:02:01:02\n"),
                "",
            ),
            both("Unreadable"),
        )
        .differs(),
        row(
            "usage without a bit",
            &openssl.leaf(
                &by,
                P256,
                &LEAF.replace(
                    "keyUsage=critical,digitalSignature",
                    "2.5.29.15=DER:03:01:00",
                ),
                "",
            ),
            FINE,
        )
        .differs(),
    ]
}

pub(crate) fn authorities(openssl: &Openssl) -> Vec<Row> {
    let of = |name: &'static str, ca: &Forged, reasons| {
        let leaf = openssl.leaf(ca, P256, LEAF, "");
        row(name, &leaf, &ca.cert, reasons)
    };
    let rsa = |name, bits: u32| {
        let key = format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}");
        openssl.root(name, &key, CA, "")
    };
    let good = Authority::root("beside", |_| ());
    let beside = |name: &'static str, extra: &Forged, reasons| {
        let trusted = format!("{}{}", good.pem(), extra.cert);
        row(name, &good.leaf(|_| ()), &trusted, reasons)
    };
    let k1 = "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1";
    let directory = "nameConstraints=critical,permitted;dirName:dn\n[dn]\nCN=x\n";
    vec![
        of("CA of RSA-1024", &rsa("rsa-1024", 1024), FINE),
        of("CA of RSA-512", &rsa("rsa-512", 512), both("WeakKey")).differs(),
        of(
            "CA self-signed with SHA-1",
            &openssl.root("sha-1", "-algorithm RSA", CA, "-sha1"),
            FINE,
        ),
        of("CA of version 1", &openssl.root("v1", P256, "", ""), FINE),
        of(
            "CA with a negative serial number",
            &openssl.root("negative", P256, CA, "-set_serial -7"),
            both("Unreadable"),
        )
        .differs(),
        of(
            "CA with names of a kind that Go does not know",
            &openssl.root("directory", P256, &format!("{CA}{directory}"), ""),
            both("UnknownCriticalExtension"),
        )
        .differs(),
        of(
            "CA with a mask with holes",
            &openssl.root(
                "holes",
                P256,
                &format!("{CA}nameConstraints=permitted;IP:127.0.0.0/255.0.255.0\n"),
                "",
            ),
            both("Unreadable"),
        )
        .differs(),
        beside(
            "an unused CA of secp256k1 beside it",
            &openssl.root("k1", k1, CA, ""),
            both("Unreadable"),
        )
        .differs(),
        beside(
            "an unused CA with a negative serial number beside it",
            &openssl.root("minus", P256, CA, "-set_serial -7"),
            both("Unreadable"),
        )
        .differs(),
    ]
}
