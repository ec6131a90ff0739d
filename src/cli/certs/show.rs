//! `etcdrx certs show`

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args;
use etcdrx::certs::Certificate;
use etcdrx::etcd::probe::{Port, look};
use etcdrx::handshakes::PATIENCE;
use serde_json::{Value, json};

use super::chain;
use crate::cli::Outcome;
use crate::cli::context::{Context, now};
use crate::cli::failure::{Exit, Failure};

/// `certs show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Files with certificates in PEM, or running ports as HOST:PORT
    #[arg(required = true, value_name = "FILE|HOST:PORT")]
    sources: Vec<String>,
}

/// What one source holds.
pub(super) struct Shown {
    source: String,
    pub(super) certificates: Vec<Certificate>,
    /// The authorities that a port's process trusts; `None` for a file, and for a port that asks for no certificate.
    trusted: Option<Vec<String>>,
}

pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> Outcome {
    let mut all = Vec::new();
    for source in &args.sources {
        all.push(match is_port(source) {
            true => of_port(source).await?,
            false => of_file(source)?,
        });
    }
    let now = now();
    if context.screen.json {
        let shown = all.iter().flat_map(|shown| {
            let certificates = shown.certificates.iter();
            certificates.map(|one| as_json(shown, one, now))
        });
        let document = json!({"certificates": shown.collect::<Vec<_>>()});
        context.screen.answer_json(&document);
        return Ok(Exit::Done);
    }
    let mut paragraphs = Vec::new();
    for shown in &all {
        let certificates = shown.certificates.iter();
        paragraphs.extend(certificates.map(|one| as_text(&shown.source, one, now)));
        if let Some(trusted) = &shown.trusted {
            paragraphs.push(format!(
                "{} trusts {}",
                shown.source,
                match trusted.is_empty() {
                    true => "nobody".to_owned(),
                    false => trusted.join(" and "),
                }
            ));
        }
    }
    context.screen.answer(&paragraphs.join("\n\n"));
    Ok(Exit::Done)
}

/// Whether a source is a port: what is no file and ends in a number, or is a URL.
fn is_port(source: &str) -> bool {
    let ends_in_port = source
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    !Path::new(source).exists() && (source.contains("://") || ends_in_port)
}

fn of_file(source: &str) -> Result<Shown, Failure> {
    let path = Path::new(source);
    let certificates = chain(path)?;
    match certificates.is_empty() {
        true => Err(Failure::no_certificate(path)),
        false => Ok(Shown {
            source: source.to_owned(),
            certificates,
            trusted: None,
        }),
    }
}

pub(super) async fn of_port(source: &str) -> Result<Shown, Failure> {
    let seen = match look(source, Port::Client, PATIENCE).await {
        Ok(seen) => seen,
        // A peer port speaks another protocol below TLS, and may say so before it shows anything.
        Err(error) => look(source, Port::Peer, PATIENCE)
            .await
            .map_err(|_| error)?,
    };
    let trusted = seen.trusted.map(|names| {
        let names = names.into_iter();
        names.map(|name| format!("`{}`", name.text)).collect()
    });
    Ok(Shown {
        source: source.to_owned(),
        certificates: seen.served,
        trusted,
    })
}

fn as_text(source: &str, certificate: &Certificate, now: DateTime<Utc>) -> String {
    let names = names(certificate);
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let days = (certificate.not_after - now).num_days();
    let left = match days {
        ..0 => "EXPIRED".to_owned(),
        days => format!("{days} days left"),
    };
    let mut lines = vec![
        format!("file         {source}"),
        format!("role         {}", certificate.role().words()),
        format!("subject      {}", certificate.subject.text),
        format!("issuer       {}", certificate.issuer.text),
        format!("names        {names}"),
        format!("usages       {}", usages(certificate).join(", ")),
        format!(
            "valid        {} to {} ({left})",
            certificate.not_before.format("%Y-%m-%d %H:%M"),
            certificate.not_after.format("%Y-%m-%d %H:%M UTC")
        ),
        format!("key          {}", certificate.key.kind),
        format!("serial       {}", certificate.serial_hex()),
        format!("fingerprint  {}", certificate.fingerprint()),
    ];
    for problem in &certificate.unreadable_for_go {
        lines.push(format!(
            "REFUSED      etcd does not start with it: {problem}"
        ));
    }
    lines.join("\n")
}

fn as_json(shown: &Shown, certificate: &Certificate, now: DateTime<Utc>) -> Value {
    json!({
        "file": shown.source,
        "trusted": shown.trusted,
        "role": certificate.role().name(),
        "subject": certificate.subject.text,
        "issuer": certificate.issuer.text,
        "names": names(certificate),
        "usages": usages(certificate),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "days_left": (certificate.not_after - now).num_days(),
        "key": certificate.key.kind.to_string(),
        "serial": certificate.serial_hex(),
        "fingerprint": certificate.fingerprint().to_string(),
        "unreadable": certificate.unreadable_for_go,
    })
}

fn names(certificate: &Certificate) -> Vec<String> {
    let names = &certificate.names;
    let ips = names.ips.iter().map(ToString::to_string);
    let others = names.uris.iter().chain(&names.emails).cloned();
    names.dns.iter().cloned().chain(ips).chain(others).collect()
}

fn usages(certificate: &Certificate) -> Vec<String> {
    let mut usages = Vec::new();
    if let Some(usage) = certificate.key_usage {
        let bits = [
            (usage.digital_signature, "digitalSignature"),
            (usage.key_encipherment, "keyEncipherment"),
            (usage.cert_sign, "keyCertSign"),
            (usage.crl_sign, "cRLSign"),
        ];
        let set = bits.iter().filter(|(is_set, _)| *is_set);
        usages.extend(set.map(|(_, name)| (*name).to_owned()));
    }
    match &certificate.extended_key_usage {
        None => usages.push("any (no extended key usage)".to_owned()),
        Some(stated) => {
            let named = [
                (stated.server_auth, "serverAuth"),
                (stated.client_auth, "clientAuth"),
                (stated.any, "anyExtendedKeyUsage"),
            ];
            let set = named.iter().filter(|(is_set, _)| *is_set);
            usages.extend(set.map(|(_, name)| (*name).to_owned()));
            usages.extend(stated.others.iter().cloned());
        }
    }
    usages
}
