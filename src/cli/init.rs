//! `etcdrx init`

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path};

use etcdrx::config::{Config, Discovered, Node, Reach, ServiceKind};
use serde_json::json;

use super::Outcome;
use super::args::InitArgs;
use super::context::Context;
use super::failure::{Exit, Failure};

/// The configuration as it is written, with a place for what is known.
const TEMPLATE: &str = include_str!("etcdrx.toml.template");

pub(super) fn run(context: &Context<'_>, args: &InitArgs) -> Outcome {
    let mut config = context.configure_without_file(&args.etcd, &args.repository)?;
    if let Some(path) = &args.from_etcd_config {
        let path = absolute(path)?;
        apply(
            &mut config,
            Discovered::from_etcd_config(&read(&path)?, &path)?,
        );
    }
    if let Some(path) = &args.from_kubeadm {
        let path = absolute(path)?;
        apply(&mut config, Discovered::from_kubeadm(&read(&path)?, &path)?);
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&args.output);
    let written = match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::file_exists(&args.output));
        }
        file => file.and_then(|mut file| file.write_all(render(&config).as_bytes())),
    };
    written.map_err(|source| Failure::cannot_write(&args.output, &source))?;
    match context.screen.json {
        true => context.screen.answer_json(&json!({"file": args.output})),
        false => context.screen.answer(&format!(
            "{} is written; look it through, then run `etcdrx check`",
            args.output.display()
        )),
    }
    Ok(Exit::Done)
}

/// A node's settings are looked for from anywhere.
fn absolute(path: &Path) -> Result<path::PathBuf, Failure> {
    path::absolute(path).map_err(|source| Failure::cannot_read(path, &source))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::cannot_read(path, &source))
}

/// What was found beats what was configured elsewhere; what was not found changes nothing.
fn apply(config: &mut Config, found: Discovered) {
    let cluster = &mut config.cluster;
    cluster.endpoints = found.endpoints;
    cluster.ca = found.ca.or(cluster.ca.take());
    if let (Some(cert), Some(key)) = (found.cert, found.key) {
        (cluster.cert, cluster.key) = (Some(cert), Some(key));
    }
    config.nodes = found.nodes;
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The tables of the members; without any, one to be filled in.
fn nodes(nodes: &[Node]) -> String {
    if !nodes.is_empty() {
        let tables: Vec<String> = nodes.iter().map(table).collect();
        return tables.join("\n\n");
    }
    let example = Node {
        name: "etcd-1".to_owned(),
        peer_url: Some("https://10.0.0.10:2380".to_owned()),
        client_url: Some("https://10.0.0.10:2379".to_owned()),
        data_dir: Some("/var/lib/etcd".into()),
        config_file: Some("/etc/etcd/etcd.conf.yml".into()),
        ..Node::default()
    };
    let commented = table(&example);
    let lines = commented.lines();
    let lines = lines.map(|line| format!("# {}", line.trim_start_matches("# ")));
    lines.collect::<Vec<_>>().join("\n")
}

fn table(node: &Node) -> String {
    let mut lines = vec!["[[node]]".to_owned()];
    let mut say = |key: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{key} = {}", quoted(&value))));
    };
    let shown = |path: &Option<path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    say("name", Some(node.name.clone()));
    match node.reach {
        // By hand, until somebody says how to get there.
        Reach::Manual => say("# reach", Some("ssh://root@HOST".to_owned())),
        _ => say("reach", Some(node.reach.to_string())),
    }
    say("peer_url", node.peer_url.clone());
    say("client_url", node.client_url.clone());
    say("data_dir", shown(&node.data_dir));
    say("wal_dir", shown(&node.wal_dir));
    say("config_file", shown(&node.config_file));
    match &node.service {
        Some(ServiceKind::StaticPod(manifest)) => {
            say(
                "service",
                Some(format!("static-pod:{}", manifest.display())),
            );
        }
        _ => say("# service", Some("systemd:etcd.service".to_owned())),
    }
    lines.join("\n")
}

fn render(config: &Config) -> String {
    let path = |key: &str, path: Option<&std::path::PathBuf>, example: &str| match path {
        Some(path) => format!("{key} = {}", quoted(&path.display().to_string())),
        None => format!("# {key} = {}", quoted(example)),
    };
    let cluster = &config.cluster;
    let name = if cluster.name.is_empty() {
        "default"
    } else {
        &cluster.name
    };
    let endpoints: Vec<String> = cluster.endpoints.iter().map(|e| quoted(e)).collect();
    let url = match config.repository().url.as_str() {
        "" => format!("# url = {}", quoted("s3://etcd-backups/clusters")),
        url => format!("url = {}", quoted(url)),
    };
    TEMPLATE
        .replace("@name@", &quoted(name))
        .replace("@endpoints@", &endpoints.join(", "))
        .replace(
            "@user@",
            &match &cluster.user {
                Some(user) => format!("user = {}", quoted(user)),
                None => format!("# user = {}", quoted("root")),
            },
        )
        .replace(
            "@ca@",
            &path("ca", cluster.ca.as_ref(), "/etc/etcd/pki/ca.crt"),
        )
        .replace(
            "@cert@",
            &path("cert", cluster.cert.as_ref(), "/etc/etcd/pki/backup.crt"),
        )
        .replace(
            "@key@",
            &path("key", cluster.key.as_ref(), "/etc/etcd/pki/backup.key"),
        )
        .replace("@url@", &url)
        .replace("@nodes@", &nodes(&config.nodes))
}

#[cfg(test)]
mod tests {
    use etcdrx::config::Layers;

    use super::*;

    #[test]
    fn what_init_writes_is_a_valid_configuration() {
        let empty = Layers::default().finish().unwrap();
        let text = render(&empty);
        let read = Layers::default()
            .file(&text, "etcdrx.toml")
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(read.cluster.name, "default");
        assert_eq!(read.retention.keep_last, 12);
        assert!(!text.contains("@nodes@"), "{text}");
        assert!(read.nodes.is_empty());
    }

    #[test]
    fn the_nodes_that_were_found_are_in_the_configuration() {
        let found = "\
name: etcd-1
data-dir: /var/lib/etcd
advertise-client-urls: https://10.0.0.10:2379
initial-advertise-peer-urls: https://10.0.0.10:2380
initial-cluster: etcd-1=https://10.0.0.10:2380,etcd-2=https://10.0.0.11:2380
";
        let found = Discovered::from_etcd_config(found, Path::new("/etc/etcd/etcd.yml")).unwrap();
        let mut config = Layers::default().finish().unwrap();
        apply(&mut config, found.clone());
        let text = render(&config);
        let read = Layers::default().file(&text, "etcdrx.toml").unwrap();
        assert_eq!(read.finish().unwrap().nodes, found.nodes);
    }
}
