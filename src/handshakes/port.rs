//! What is wrong with one port.

use std::path::Path;

use chrono::{DateTime, Utc};
use url::Url;

use super::{Listeners, View};
use crate::certs::Certificate;
use crate::certs::certificate::Name;
use crate::certs::judge::{self, Usage};
use crate::etcd::probe::{Gateway, Port, Reception, Seen, compare};
use crate::etcd::{Diagnosis, Error};
use crate::manifest::Finding;
use crate::progress::told;

/// Everything that is held against a port by what itself shows and does.
pub(super) fn judge(view: &View, listeners: &Listeners, now: DateTime<Utc>) -> Vec<Finding> {
    let seen = match &view.seen {
        Ok(seen) => seen,
        Err(error) => return vec![unseen(view, error)],
    };
    let drift = listeners.authorities.as_ref();
    let findings = [
        doorless(view, seen),
        unacceptable(view, seen, listeners, now),
        drift.and_then(|(path, file)| restart_needed(view, seen, path, file)),
        not_on_disk(view, seen, listeners),
        view.reception
            .as_ref()
            .and_then(|result| refused(view, result)),
        view.gateway
            .as_ref()
            .and_then(|result| dead_gateway(view, result)),
        view.links
            .as_ref()
            .and_then(|result| mute(view, "metrics-unread", result)),
    ];
    findings.into_iter().flatten().collect()
}

/// A certificate that whoever connects, or whoever is connected to, refuses.
fn unacceptable(
    view: &View,
    seen: &Seen,
    listeners: &Listeners,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let (path, trusted) = listeners.authorities.as_ref()?;
    let usages: &[Usage] = match view.port {
        Port::Client => &[Usage::Server],
        Port::Peer => &[Usage::Server, Usage::Client],
    };
    let mut verdicts = usages
        .iter()
        .map(|usage| judge::judge(&seen.served, trusted, *usage, now))
        .chain(host(&view.endpoint).map(|host| judge::answers_to(&seen.served[0], &host)));
    let refusal = verdicts.find_map(Result::err)?;
    let (endpoint, path) = (&view.endpoint, path.display());
    Some(Finding::error(
        "served-refused",
        format!(
            "{endpoint} shows a certificate that is refused by whoever trusts {path}: {refusal}; put a new certificate and key in place, which takes no restart"
        ),
    ))
}

fn host(endpoint: &str) -> Option<String> {
    let endpoint = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false => format!("https://{endpoint}"),
    };
    let url = Url::parse(&endpoint).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

/// Why there was nothing to see.
fn unseen(view: &View, error: &Error) -> Finding {
    let endpoint = &view.endpoint;
    match error {
        Error::Unreachable {
            diagnosis: Diagnosis::Hung,
            ..
        } => Finding::error(
            "silent-tls",
            format!(
                "{endpoint} takes connections and never answers in TLS: an etcd that has seen no quorum since its start does so; start the other members, and do not look for the fault in certificates"
            ),
        ),
        Error::Unreachable {
            diagnosis: Diagnosis::NotTls,
            ..
        } => Finding::error(
            "not-tls",
            format!(
                "{endpoint} does not speak TLS: whoever reaches it is let in, and everything is readable on the way; an http:// URL in etcd's flags beside its certificates does this; make it https:// and restart the member"
            ),
        ),
        Error::Unreachable {
            diagnosis: Diagnosis::TheyRefuse { .. },
            ..
        } => Finding::error("no-handshake", told(error)),
        _ => Finding::error("endpoint-unreachable", told(error)),
    }
}

/// Lets everybody in, or nobody.
fn doorless(view: &View, seen: &Seen) -> Option<Finding> {
    let endpoint = &view.endpoint;
    let flag = view.port.trust_flag();
    match &seen.trusted {
        None => Some(Finding::error(
            "no-client-certificates",
            format!(
                "{endpoint} asks nobody for a certificate: whoever reaches it is let in; set {flag} (--auto-tls without certificates drops it without a word) and restart the member"
            ),
        )),
        Some(names) if names.is_empty() => Some(Finding::error(
            "trusts-nobody",
            format!(
                "{endpoint} asks for certificates and names no authority: the file of {flag} held none in PEM when etcd started (empty, DER, a byte order mark, or two certificates glued without a newline), or there is no such flag and the system's authorities count; mend the file and restart the member"
            ),
        )),
        Some(_) => None,
    }
}

fn restart_needed(view: &View, seen: &Seen, path: &Path, file: &[Certificate]) -> Option<Finding> {
    let drift = compare(seen, file);
    // A pool of nothing is a finding of its own.
    if drift.is_empty() || seen.trusted.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    let mut differences = Vec::new();
    if !drift.only_in_file.is_empty() {
        let names = listed(&drift.only_in_file);
        differences.push(format!("does not trust {names} yet, which the file holds"));
    }
    if !drift.only_in_memory.is_empty() {
        let names = listed(&drift.only_in_memory);
        differences.push(format!(
            "still trusts {names}, which the file does not hold"
        ));
    }
    Some(Finding::error(
        "restart-needed",
        format!(
            "{} {}: {} is not what this etcd read when it started, and it never reads it again; if that is the file of its {}, restart this member, one at a time",
            view.endpoint,
            differences.join(", and "),
            path.display(),
            view.port.trust_flag()
        ),
    ))
}

fn listed(names: &[Name]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.text))
        .collect();
    names.join(", ")
}

/// A certificate that none of the files holds is served by an old file, another path or another process.
fn not_on_disk(view: &View, seen: &Seen, listeners: &Listeners) -> Option<Finding> {
    let served = &seen.served[0];
    let known = &listeners.on_disk;
    if known.is_empty() || known.iter().any(|(_, file)| file.der() == served.der()) {
        return None;
    }
    let namesake = known
        .iter()
        .find(|(_, file)| file.subject.der == served.subject.der && file.names == served.names);
    let instead = match namesake {
        Some((path, file)) => format!(
            "{} holds serial {} of the same name",
            path.display(),
            file.serial_hex()
        ),
        None => "none of the given files has its name".to_owned(),
    };
    Some(Finding::warning(
        "served-not-on-disk",
        format!(
            "{} shows the certificate `{}` with serial {}, which is in none of the given files: {instead}; etcd reads its certificate at every handshake, so the member has another file: look at its --{}cert-file",
            view.endpoint,
            served.subject.text,
            served.serial_hex(),
            match view.port {
                Port::Client => "",
                Port::Peer => "peer-",
            }
        ),
    ))
}

fn refused(view: &View, result: &Result<Reception, Error>) -> Option<Finding> {
    let endpoint = &view.endpoint;
    match result {
        Ok(Reception::Accepted) => None,
        Ok(Reception::Refused { alert, likely }) => Some(Finding::error(
            "refused",
            format!("{endpoint} refuses our certificate (alert {alert}): {likely}"),
        )),
        Ok(Reception::ClosedAfterHandshake) => Some(Finding::error(
            "refused-after-handshake",
            match view.port {
                Port::Client => format!(
                    "{endpoint} finishes the handshake and closes without a word: our certificate is on its revocation list, or that list cannot be read (--client-crl-file: one list, in DER); etcd's log has the reason"
                ),
                Port::Peer => format!(
                    "{endpoint} finishes the handshake and closes without a word: the certificate holds addresses or names, and the address that this connection came from is none of them, or it is on the revocation list; from a machine that is no member the first proves nothing: ask from the member that the certificate belongs to, and issue it with every source address of that member"
                ),
            },
        )),
        Err(_) => mute(view, "no-answer", result),
    }
}

fn dead_gateway(view: &View, result: &Result<Gateway, Error>) -> Option<Finding> {
    match result {
        Ok(Gateway::Answers | Gateway::RefusesNames | Gateway::Off) => None,
        Ok(Gateway::Dead { message }) => Some(Finding::error(
            "gateway-dead",
            format!(
                "{}: the HTTP/JSON gateway (/v3/...) does not reach its own etcd, though gRPC works (etcd says: {message}): it shows the server's certificate as a client, which must allow clientAuth beside serverAuth, be in date and come from an authority in --trusted-ca-file; reissue it so (no restart), or give --client-cert-file and --client-key-file (3.5 and later); --client-cert-allowed-hostname kills the gateway, too",
                view.endpoint
            ),
        )),
        Err(_) => mute(view, "gateway-unread", result),
    }
}

/// The port let us in and then did not answer.
fn mute<T>(view: &View, code: &str, result: &Result<T, Error>) -> Option<Finding> {
    let error = result.as_ref().err()?;
    let text = told(error);
    let message = match text.contains(&view.endpoint) {
        true => text,
        false => format!("{}: {text}", view.endpoint),
    };
    Some(Finding::warning(code, message))
}
