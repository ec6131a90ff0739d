//! The directory of certificates, and how things are done in it, as flags say it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use etcdrx::certs::key::KeyType;
use etcdrx::certs::layout::Layout;
use etcdrx::certs::profile::{Kind, Profile, parse_validity};
use etcdrx::pki::{Generated, Made, Setting};
use serde_json::{Value, json};

use super::super::context::{Context, now};
use super::super::failure::Failure;

/// The directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct DirectoryArgs {
    /// The directory of the certificates
    #[arg(long, value_name = "DIR", default_value = "pki")]
    pub(crate) out: PathBuf,

    /// How files are named
    #[arg(long, value_name = "LAYOUT", default_value = "etcdrx")]
    pub(crate) layout: LayoutArg,

    /// One authority for clients and members; then every client's certificate could speak to members as a member
    #[arg(long)]
    pub(crate) single_ca: bool,

    /// The kind of every new key
    #[arg(long, value_name = "TYPE", value_parser = key_type)]
    pub(crate) key_type: Option<KeyType>,

    /// How long members' and clients' certificates are valid, such as 1y, 90d or 43800h; never longer than their authority
    #[arg(long, value_name = "DURATION", value_parser = parse_validity)]
    pub(crate) validity: Option<Duration>,

    /// How long a new authority is valid
    #[arg(long, value_name = "DURATION", value_parser = parse_validity)]
    pub(crate) ca_validity: Option<Duration>,

    /// A directory of profiles (ca.toml, server.toml, ...) that replace the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(crate) profiles: Option<PathBuf>,

    /// Replace certificates that are not what would be made; copies of them are kept
    #[arg(long)]
    pub(crate) force: bool,
}

/// How files are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArg {
    /// MEMBER/server.crt, MEMBER/peer.crt, clients/NAME.crt
    Etcdrx,
    /// As below /etc/kubernetes/pki, with one authority
    Kubeadm,
    /// MEMBER/server.pem, MEMBER/server-key.pem
    Cfssl,
}

fn key_type(name: &str) -> Result<KeyType, String> {
    let known = KeyType::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| {
        let names = KeyType::ALL.map(KeyType::name);
        format!("expected one of {}", names.join(", "))
    })
}

/// A profile of each kind.
pub(super) struct Profiles(Vec<Profile>);

impl Profiles {
    pub(super) fn of(&self, kind: Kind) -> Profile {
        let found = self.0.iter().find(|profile| profile.kind == kind);
        found.expect("every kind has a profile").clone()
    }
}

impl DirectoryArgs {
    pub(super) fn layout(&self) -> Layout {
        match self.layout {
            LayoutArg::Etcdrx => Layout::Etcdrx,
            LayoutArg::Kubeadm => Layout::Kubeadm,
            LayoutArg::Cfssl => Layout::Cfssl,
        }
    }

    /// The built-in profiles, a site's own where there is one, and what flags say.
    pub(super) fn profiles(&self, context: &Context<'_>) -> Result<Profiles, Failure> {
        if let Some(caveat) = self.key_type.and_then(KeyType::caveat) {
            context.screen.warn(caveat);
        }
        let profiles = Kind::ALL.into_iter().map(|kind| {
            let mut profile = match &self.profiles {
                Some(directory) => from_directory(directory, kind)?,
                None => Profile::embedded(kind),
            };
            let validity = match kind.is_authority() {
                true => self.ca_validity,
                false => self.validity,
            };
            profile.validity = validity.unwrap_or(profile.validity);
            profile.key_type = self.key_type.unwrap_or(profile.key_type);
            if self.layout() == Layout::Kubeadm && kind == Kind::Peer {
                "{name}".clone_into(&mut profile.common_name);
            }
            Ok(profile)
        });
        Ok(Profiles(profiles.collect::<Result<_, Failure>>()?))
    }

    pub(super) fn setting<'a>(&'a self, profiles: &'a dyn Fn(Kind) -> Profile) -> Setting<'a> {
        Setting {
            root: &self.out,
            layout: self.layout(),
            profiles,
            single_authority: self.single_ca || self.layout().has_one_authority(),
            replace: self.force,
            now: now(),
        }
    }
}

fn from_directory(directory: &Path, kind: Kind) -> Result<Profile, Failure> {
    let path = directory.join(format!("{kind}.toml"));
    if !path.exists() && directory.is_dir() {
        return Ok(Profile::embedded(kind));
    }
    let text = fs::read_to_string(&path).map_err(|error| Failure::cannot_read(&path, &error))?;
    Ok(Profile::parse(kind, &text)?)
}

/// What was made, as JSON.
pub(super) fn document(generated: &Generated) -> Value {
    let certificates: Vec<Value> = generated.certificates.iter().map(describe).collect();
    json!({"certificates": certificates, "replaced": generated.replaced})
}

fn describe(made: &Made) -> Value {
    let certificate = &made.certificate;
    let names: Vec<String> = certificate
        .hosts()
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "path": made.path,
        "kind": made.kind.name(),
        "new": made.is_new,
        "subject": certificate.subject.text,
        "issuer": certificate.issuer.text,
        "serial": certificate.serial_hex(),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "names": names,
        "sha256": certificate.fingerprint().to_string(),
    })
}

/// What was made, a line each, and what is to be known of it.
pub(super) fn lines(out: &Path, generated: &Generated) -> Vec<String> {
    let made = &generated.certificates;
    let new = made.iter().filter(|made| made.is_new).count();
    let mut lines: Vec<String> = made.iter().map(line).collect();
    let out = out.display();
    lines.push(match new {
        0 => format!(
            "\nall {} certificates in {out} were there and right: nothing was changed",
            made.len()
        ),
        new => format!("\n{new} of {} certificates in {out} are new", made.len()),
    });
    if let Some(replaced) = &generated.replaced {
        lines.push(format!("what was replaced lies in {}", replaced.display()));
    }
    if made
        .iter()
        .any(|made| made.is_new && made.kind.is_authority())
    {
        lines.push(format!(
            "keep {out}/private off the members: who holds it can make certificates"
        ));
    }
    lines
}

fn line(made: &Made) -> String {
    let state = match made.is_new {
        true => "new ",
        false => "kept",
    };
    let until = made.certificate.not_after.format("%Y-%m-%d");
    let names: Vec<String> = made
        .certificate
        .hosts()
        .iter()
        .map(ToString::to_string)
        .collect();
    let path = made.path.display().to_string();
    let line = format!("{state}  {path:<28} until {until}  {}", names.join(" "));
    line.trim_end().to_owned()
}
