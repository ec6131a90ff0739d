//! `etcdrx snapshot keys`, `get` and `extract`

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use etcdrx::backend::{KubernetesObject, Select, State, Store, revision_of, state_at};
use etcdrx::id::Revision;
use etcdrx::partial::Partial;
use etcdrx::source::Source;
use serde_json::{Map, Value, json};

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::{SelectArgs, SourceArgs, open};

/// `snapshot keys`
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`
    pub(crate) source: String,

    /// The keys as they were at this revision [default: the newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) rev: Option<i64>,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) from: SourceArgs,
}

/// `snapshot get`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct GetArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`
    pub(crate) source: String,

    /// The key; with --prefix, what keys begin with
    pub(crate) key: String,

    /// Every key that begins with KEY
    #[arg(long)]
    pub(crate) prefix: bool,

    /// As it was at this revision [default: the newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) rev: Option<i64>,

    /// Print the keys without their values
    #[arg(long, conflicts_with_all = ["raw", "base64"])]
    pub(crate) keys_only: bool,

    /// Print the value alone, byte for byte
    #[arg(long, conflicts_with = "base64")]
    pub(crate) raw: bool,

    /// Print keys and values in base64
    #[arg(long)]
    pub(crate) base64: bool,

    #[command(flatten)]
    pub(crate) from: SourceArgs,
}

/// `snapshot extract`
#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`
    pub(crate) source: String,

    /// File to write; `-` for stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// As they were at this revision [default: the newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) rev: Option<i64>,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) from: SourceArgs,
}

/// The keys that were asked for, with the store that holds their values.
struct Found {
    source: Source,
    store: Store<std::fs::File>,
    revision: Revision,
    states: Vec<(Vec<u8>, State)>,
}

async fn find(
    context: &Context<'_>,
    wanted: &str,
    from: &SourceArgs,
    rev: Option<i64>,
    select: &Select,
) -> Result<Found, Failure> {
    let source = open(context, wanted, from).await?;
    let store = source.store()?;
    let asked = rev.filter(|revision| *revision != 0).map(Revision);
    let revision = revision_of(&store, asked).map_err(|error| source.told(error))?;
    let states = state_at(&store, revision, select).map_err(|error| source.told(error))?;
    Ok(Found {
        source,
        store,
        revision,
        states: states.into_iter().collect(),
    })
}

impl Found {
    fn value(&self, state: &State) -> Result<Vec<u8>, Failure> {
        let value = self.store.value_at(state.place);
        Ok(value.map_err(|error| self.source.told(error))?)
    }
}

pub(super) async fn list(context: &Context<'_>, args: &KeysArgs) -> Outcome {
    let select = args.select.select();
    let found = find(context, &args.source, &args.from, args.rev, &select).await?;
    if context.screen.json {
        let keys: Vec<Value> = found
            .states
            .iter()
            .map(|(key, state)| Value::Object(key_json(key, state)))
            .collect();
        let answer = json!({"revision": found.revision, "keys": keys});
        context.screen.answer_json(&answer);
        return Ok(Exit::Done);
    }
    answer_lines(&found.states, |out, (key, _)| {
        out.write_all(key).and_then(|()| out.write_all(b"\n"))
    });
    Ok(Exit::Done)
}

pub(super) async fn get(context: &Context<'_>, args: &GetArgs) -> Outcome {
    let key = args.key.clone().into_bytes();
    let select = match args.prefix {
        true => Select::Prefix(key),
        false => Select::Key(key),
    };
    let found = find(context, &args.source, &args.from, args.rev, &select).await?;
    if context.screen.json {
        let mut keys = Vec::new();
        for (key, state) in &found.states {
            let mut json = key_json(key, state);
            if !args.keys_only {
                put_value(&mut json, &found.value(state)?);
            }
            keys.push(Value::Object(json));
        }
        let answer = json!({"revision": found.revision, "keys": keys});
        context.screen.answer_json(&answer);
    } else {
        let mut out = BufWriter::new(io::stdout().lock());
        for (key, state) in &found.states {
            let shown = match args.keys_only {
                true => [key.as_slice(), b"\n"].concat(),
                false => shown(args, key, &found.value(state)?),
            };
            // A reader that went away is no failure of ours.
            let _ = out.write_all(&shown);
        }
        let _ = out.flush();
    }
    match found.states.is_empty() {
        true => Err(Failure::no_such_key(&args.key, found.revision)),
        false => Ok(Exit::Done),
    }
}

/// A key and its value as `etcdctl get` prints them; of a Kubernetes object in protobuf, what it is.
fn shown(args: &GetArgs, key: &[u8], value: &[u8]) -> Vec<u8> {
    if args.raw {
        return value.to_vec();
    }
    if args.base64 {
        let lines = [BASE64_STANDARD.encode(key), BASE64_STANDARD.encode(value)];
        return format!("{}\n{}\n", lines[0], lines[1]).into_bytes();
    }
    let value = match KubernetesObject::recognise(value) {
        Some(object) => {
            let KubernetesObject {
                api_version,
                kind,
                namespace,
                name,
            } = object;
            let bytes = value.len();
            format!("{api_version} {kind} {namespace}/{name}, {bytes} bytes of protobuf (--raw writes them)")
                .into_bytes()
        }
        None => value.to_vec(),
    };
    [key, b"\n", &value, b"\n"].concat()
}

pub(super) async fn extract(context: &Context<'_>, args: &ExtractArgs) -> Outcome {
    let select = args.select.select();
    let found = find(context, &args.source, &args.from, args.rev, &select).await?;
    let line = |(key, state): &(Vec<u8>, State)| -> Result<String, Failure> {
        let mut json = key_json(key, state);
        json.remove("value_bytes");
        put_value(&mut json, &found.value(state)?);
        Ok(format!("{}\n", Value::Object(json)))
    };
    if args.output == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        for item in &found.states {
            let _ = out.write_all(line(item)?.as_bytes());
        }
        let _ = out.flush();
        return Ok(Exit::Done);
    }
    let path = &args.output;
    if path.symlink_metadata().is_ok() {
        return Err(Failure::file_exists(path));
    }
    let failed = |source: io::Error| Failure::cannot_write(path, &source);
    let mut partial = Partial::create(path).map_err(failed)?;
    let mut out = BufWriter::new(partial.file());
    for item in &found.states {
        out.write_all(line(item)?.as_bytes()).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    partial.publish().map_err(failed)?;
    context.screen.note(&format!(
        "{} keys of revision {} are in {}",
        found.states.len(),
        found.revision,
        path.display()
    ));
    Ok(Exit::Done)
}

fn answer_lines<T>(items: &[T], write: impl Fn(&mut dyn Write, &T) -> io::Result<()>) {
    let mut out = BufWriter::new(io::stdout().lock());
    for item in items {
        if write(&mut out, item).is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// A key and what is known of it, without its value.
pub(super) fn key_json(key: &[u8], state: &State) -> Map<String, Value> {
    let mut json = Map::new();
    put_text(&mut json, "key", key);
    json.insert("create_revision".to_owned(), json!(state.create_revision));
    json.insert("mod_revision".to_owned(), json!(state.mod_revision));
    json.insert("version".to_owned(), json!(state.version));
    // As etcdctl prints lease ids; absent where there is none.
    if state.lease != 0 {
        json.insert("lease".to_owned(), json!(format!("{:x}", state.lease)));
    }
    json.insert("value_bytes".to_owned(), json!(state.value_bytes));
    json
}

fn put_value(json: &mut Map<String, Value>, value: &[u8]) {
    if let Some(object) = KubernetesObject::recognise(value) {
        json.insert("kubernetes".to_owned(), json!(object));
    }
    put_text(json, "value", value);
}

/// Text as it is; anything else in base64, under a name that says so.
fn put_text(json: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => json.insert(name.to_owned(), json!(text)),
        Err(_) => json.insert(
            format!("{name}_base64"),
            json!(BASE64_STANDARD.encode(bytes)),
        ),
    };
}
