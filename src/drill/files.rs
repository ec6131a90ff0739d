//! The files of a scratch cluster: configurations, certificates, scripts.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::site::{Error, SiteMember, initial_cluster};
use crate::certs::Host;
use crate::certs::layout::Layout;
use crate::certs::members::Member as Named;
use crate::certs::profile::Kind;
use crate::pki;
use crate::sandbox::{Minor, Program};

/// The user whose certificate etcdrx shows.
const USER: &str = "root";

/// How much may be written: small enough to be used up in a moment, where that is rehearsed.
const QUOTA_BYTES: u64 = 64 << 20;

/// What the members' configuration files say.
pub(super) struct EtcdConfig<'a> {
    pub(super) members: &'a [SiteMember],
    pub(super) token: &'a str,
    pub(super) pki: Option<&'a Path>,
    pub(super) program: &'a Program,
    /// How large the database is that they begin with.
    pub(super) seed_bytes: u64,
}

/// Writes a new file, and the directory that it is in.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let written = || {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    written().map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// The certificates of all members and of `root`, as `etcdrx certs gen` makes them.
pub(super) fn make_certificates(
    directory: &Path,
    members: &[SiteMember],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let names = |source| Error::Names { source };
    let mut named = Vec::new();
    for member in members {
        let mut one = Named::new(&member.name).map_err(names)?;
        one.add(member.peer_url.parse::<Host>().map_err(names)?);
        named.push(one);
    }
    pki::generate(
        &pki::Setting::of(directory, now),
        &named,
        &[USER.to_owned()],
    )
    .map(drop)
    .map_err(|source| Error::Certificates { source })
}

impl EtcdConfig<'_> {
    /// A member's configuration file, with what etcd does by itself where nothing is said.
    pub(super) fn of(&self, member: &SiteMember) -> String {
        let mut text = format!(
            "name: {}\n\
             data-dir: {}\n\
             listen-client-urls: {client}\n\
             advertise-client-urls: {client}\n\
             listen-peer-urls: {peer}\n\
             initial-advertise-peer-urls: {peer}\n\
             initial-cluster: {}\n\
             initial-cluster-state: new\n\
             initial-cluster-token: {}\n\
             quota-backend-bytes: {}\n",
            member.name,
            member.data_dir().display(),
            initial_cluster(self.members),
            self.token,
            self.seed_bytes + QUOTA_BYTES,
            client = member.client_url,
            peer = member.peer_url,
        );
        text.push_str(match self.program.minor() < Minor(3, 5) {
            true => "logger: zap\n",
            // A process that is killed loses nothing by it, and a machine that dies takes the drill with it.
            false => "unsafe-no-fsync: true\n",
        });
        if let Some(pki) = self.pki {
            let settings = pki::settings(Layout::Etcdrx, &pki.join(&member.name), None);
            text.push_str(&settings.yaml);
        }
        text
    }
}

/// The `etcdrx.toml` of the scratch cluster, with which every command of etcdrx works on it.
pub(super) fn etcdrx_config(
    root: &Path,
    members: &[SiteMember],
    pki: Option<&Path>,
    program: &Path,
) -> String {
    let endpoints: Vec<&str> = members.iter().map(|m| m.client_url.as_str()).collect();
    let mut text = format!("[cluster]\nname = \"drill\"\nendpoints = {endpoints:?}\n");
    let mut set = |key: &str, path: &Path| {
        writeln!(text, "{key} = {:?}", path.display().to_string())
            .expect("writing to a string does not fail");
    };
    if let Some(pki) = pki {
        let client = Layout::Etcdrx.of_client(USER);
        set(
            "ca",
            &pki.join(Layout::Etcdrx.authority(Kind::Ca).certificate),
        );
        set("cert", &pki.join(client.certificate));
        set("key", &pki.join(client.key));
    }
    let repository = format!("file://{}", root.join("repository").display());
    write!(text, "\n[repository]\nurl = {repository:?}\n")
        .expect("writing to a string does not fail");
    for member in members {
        let file = |name: &str| member.directory.join(name).display().to_string();
        write!(
            text,
            "\n[[node]]\n\
             name = {:?}\n\
             reach = \"local\"\n\
             peer_url = {:?}\n\
             client_url = {:?}\n\
             data_dir = {:?}\n\
             config_file = {:?}\n\
             service = \"command\"\n\
             start = [{:?}, \"{{config}}\"]\n\
             stop = [{:?}]\n\
             status = [{:?}]\n\
             etcd = {:?}\n",
            member.name,
            member.peer_url,
            member.client_url,
            file("data"),
            file("etcd.yml"),
            file("start"),
            file("stop"),
            file("status"),
            program.display().to_string(),
        )
        .expect("writing to a string does not fail");
    }
    text
}
