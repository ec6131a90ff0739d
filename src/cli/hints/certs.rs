//! The part of the table that is about certificates.

use etcdrx::certs::{authority, key, members, profile, signing_request};
use etcdrx::pki;

use super::super::failure::Exit;

pub(super) fn members_exit(error: &members::Error) -> (Exit, &'static str) {
    let hint = match error {
        members::Error::NoMembers => {
            "name them: --cluster m1=10.0.0.1,m2=10.0.0.2, or --from-config FILE, or [[node]] tables or endpoints in etcdrx.toml"
        }
        members::Error::NotAMember { .. }
        | members::Error::BadName { .. }
        | members::Error::NotAHost { .. } => "nothing was written",
        members::Error::SharedHost { .. } => {
            "nothing was written; members tell each other apart by their addresses"
        }
    };
    (Exit::Usage, hint)
}

pub(super) fn profile_exit(error: &profile::Error) -> (Exit, &'static str) {
    let hint = match error {
        profile::Error::Unreadable { .. } => {
            "nothing was written; the built-in profiles in certs/ show every key"
        }
        profile::Error::RefusedByEtcd { .. } => "nothing was written; correct the profile",
        profile::Error::NoDuration { .. } => "nothing was written",
    };
    (Exit::Usage, hint)
}

const ONE_AUTHORITY: &str = "nothing was written; make certificates in the layout `etcdrx` or `cfssl`, and name them in the flags of the members";

pub(super) fn pki_exit(error: &pki::Error) -> (Exit, &'static str) {
    match error {
        pki::Error::Read { .. } => (Exit::Usage, "check the path and who may read it"),
        pki::Error::Write { .. } => (
            Exit::Failed,
            "what was written so far is whole; the same command again makes the rest",
        ),
        pki::Error::Busy { .. } => (Exit::Refused, "nothing was written; wait until it is done"),
        pki::Error::AppearedMeanwhile { .. } => (
            Exit::Refused,
            "another run is at work in this directory; when it is done, the same command again makes the rest",
        ),
        pki::Error::NoCertificate { .. } | pki::Error::BadCertificate { .. } => (
            Exit::Usage,
            "nothing was written; move the file away, or name another directory",
        ),
        pki::Error::BadKey { source, .. } => (Exit::Usage, key_hint(source)),
        pki::Error::NoAuthorityKey { .. } => (
            Exit::Usage,
            "nothing was written; bring the key for as long as certificates are made",
        ),
        pki::Error::NotThere { .. } => (Exit::Usage, "nothing was written; check the path"),
        pki::Error::NoAuthority { .. } => (
            Exit::Usage,
            "`etcdrx certs init` makes one, `etcdrx certs import` takes one that is there",
        ),
        pki::Error::NobodyOfThatName { .. } => (
            Exit::Usage,
            "nothing was written; members and clients are called as their directories and files are",
        ),
        pki::Error::IssuedElsewhere { .. } => (
            Exit::Refused,
            "nothing was written; `etcdrx certs import` takes its authority, or `etcdrx certs gen --force` makes it anew",
        ),
        pki::Error::NotBegun { .. } => (
            Exit::Refused,
            "nothing was written; `etcdrx certs rotate-ca begin` begins one",
        ),
        pki::Error::OneAuthority { .. } => (Exit::Refused, ONE_AUTHORITY),
        pki::Error::HasBegun { .. } => (
            Exit::Refused,
            "nothing was written; `etcdrx certs rotate-ca status` tells how far it is",
        ),
        pki::Error::StillOfOld { .. } => (
            Exit::Refused,
            "nothing was written; `etcdrx certs rotate-ca reissue` replaces them",
        ),
        pki::Error::RevocationList { .. } => (
            Exit::Refused,
            "nothing was written; etcd reads one list, in DER, and `etcdrx certs revoke` adds to one that is there",
        ),
        pki::Error::Request { source } | pki::Error::BadRequest { source, .. } => {
            request_exit(source)
        }
        pki::Error::Issue { source } => authority_exit(source),
        pki::Error::WouldReplace { .. } => (
            Exit::Refused,
            "nothing was written; name another directory with --out, or replace it with --force (a copy is kept)",
        ),
    }
}

fn key_hint(error: &key::Error) -> &'static str {
    match error {
        key::Error::Encrypted => {
            "nothing was written; `openssl pkey -in FILE -out PLAIN` takes the passphrase off"
        }
        key::Error::NoKey | key::Error::Unusable { .. } => {
            "nothing was written; a key is RSA, ECDSA on a NIST curve or Ed25519, in PEM"
        }
        key::Error::Generate { .. } => "",
    }
}

pub(super) fn authority_exit(error: &authority::Error) -> (Exit, &'static str) {
    match error {
        authority::Error::Key { source } => (Exit::Failed, key_hint(source)),
        authority::Error::Encode { .. } => (Exit::Failed, "nothing was written"),
        authority::Error::Authority { .. } => (
            Exit::Refused,
            "nothing was written; use another authority, begin a new one with `etcdrx certs gen --out`, or, if yours has ended and its key is here, make it anew with `etcdrx certs rotate-ca begin --same-key`",
        ),
        authority::Error::Profile { .. } => {
            (Exit::Usage, "nothing was written; correct the profile")
        }
        authority::Error::NotVouchedFor { .. } => (
            Exit::Refused,
            "nothing was written: etcd, or its clients, would refuse it",
        ),
    }
}

fn request_exit(error: &signing_request::Error) -> (Exit, &'static str) {
    let hint = match error {
        signing_request::Error::NoRequest => {
            "`etcdrx certs csr` or `openssl req -new` makes one; nothing was written"
        }
        signing_request::Error::Damaged { .. } | signing_request::Error::BadSignature => {
            "make a new request where the key is; nothing was written"
        }
        signing_request::Error::Encode { .. } => "nothing was written",
    };
    (Exit::Usage, hint)
}
