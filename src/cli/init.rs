//! `etcdrx init`

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use etcdrx::config::{Config, Discovered};
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
        apply(
            &mut config,
            Discovered::from_etcd_config(&read(path)?, &path.display().to_string())?,
        );
    }
    if let Some(path) = &args.from_kubeadm {
        apply(
            &mut config,
            Discovered::from_kubeadm(&read(path)?, &path.display().to_string())?,
        );
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
}

fn render(config: &Config) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
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
        assert!(!text.contains('@') || text.contains("user@"), "{text}");
    }
}
