//! The settings of etcd that fit the certificates: flags, and the same for its configuration file.

use std::path::Path;

use crate::certs::layout::Layout;
use crate::certs::profile::Kind;

/// What one member's etcd is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSettings {
    /// Command line flags, one a line.
    pub flags: Vec<String>,
    /// The same for a configuration file.
    pub yaml: String,
}

/// The settings that fit a bundle which lies in `directory` on the member's node.
///
/// `peer_name` is the common name that all peer certificates share, if they do: then nothing else from the same
/// authority can speak to members as a member.
#[must_use]
pub fn settings(layout: Layout, directory: &Path, peer_name: Option<&str>) -> MemberSettings {
    let file = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        directory.join(name).display().to_string()
    };
    let server = layout.of_member(Kind::Server, "m");
    let peer = layout.of_member(Kind::Peer, "m");
    let ca = file(&layout.bundled(Kind::Ca, "m"));
    let peer_ca = match layout.has_one_authority() {
        true => ca.clone(),
        false => file(&layout.bundled(Kind::PeerCa, "m")),
    };
    let (cert, key) = (file(&server.certificate), file(&server.key));
    let (peer_cert, peer_key) = (file(&peer.certificate), file(&peer.key));
    let mut flags = vec![
        format!("--cert-file={cert}"),
        format!("--key-file={key}"),
        format!("--trusted-ca-file={ca}"),
        "--client-cert-auth=true".to_owned(),
        format!("--peer-cert-file={peer_cert}"),
        format!("--peer-key-file={peer_key}"),
        format!("--peer-trusted-ca-file={peer_ca}"),
        "--peer-client-cert-auth=true".to_owned(),
    ];
    let mut yaml = format!(
        "client-transport-security:\n  cert-file: {cert}\n  key-file: {key}\n  trusted-ca-file: {ca}\n  client-cert-auth: true\n\
         peer-transport-security:\n  cert-file: {peer_cert}\n  key-file: {peer_key}\n  trusted-ca-file: {peer_ca}\n  client-cert-auth: true\n"
    );
    if let Some(name) = peer_name {
        flags.push(format!("--peer-cert-allowed-cn={name}"));
        // 3.4 and 3.5.1 ignore the key without a word (measured).
        yaml = format!("{yaml}  allowed-cn: [{name}]  # 3.4 and early 3.5 know the flag only\n");
    }
    MemberSettings { flags, yaml }
}
