//! `etcdrx certs show`

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use etcdrx::certs::Certificate;
use serde_json::{Value, json};

use super::chain;
use crate::cli::Outcome;
use crate::cli::context::{Context, now};
use crate::cli::failure::{Exit, Failure};

/// `certs show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Files with certificates in PEM
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[expect(clippy::unused_async, reason = "as the other commands")]
pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> Outcome {
    let mut certificates = Vec::new();
    for path in &args.files {
        let found = chain(path)?;
        if found.is_empty() {
            return Err(Failure::no_certificate(path));
        }
        certificates.extend(found.into_iter().map(|certificate| (path, certificate)));
    }
    let now = now();
    if context.screen.json {
        let all = certificates
            .iter()
            .map(|(path, one)| as_json(path, one, now));
        let document = json!({"certificates": all.collect::<Vec<_>>()});
        context.screen.answer_json(&document);
    } else {
        let all = certificates
            .iter()
            .map(|(path, one)| as_text(path, one, now));
        context.screen.answer(&all.collect::<Vec<_>>().join("\n\n"));
    }
    Ok(Exit::Done)
}

fn as_text(path: &Path, certificate: &Certificate, now: DateTime<Utc>) -> String {
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
        format!("file         {}", path.display()),
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

fn as_json(path: &Path, certificate: &Certificate, now: DateTime<Utc>) -> Value {
    json!({
        "file": path,
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
