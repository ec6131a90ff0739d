//! Every key that a configuration may hold: for typing errors, and for the environment.

/// What the text of a key's environment variable means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Taken as it is.
    Text,
    /// A list, separated by commas.
    List,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Only in the file.
    FileOnly,
}

/// A key of `etcdrx.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table that it stands in.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What its variable's text means.
    pub kind: Kind,
}

impl Key {
    /// The environment variable that sets this key.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("ETCDRX_{}_{}", self.table, self.name).to_uppercase()
    }
}

const fn key(table: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { table, name, kind }
}

/// All keys, table by table. Those of later commands are known, so that one file serves every release's habits.
pub const KEYS: &[Key] = &[
    key("cluster", "name", Kind::Text),
    key("cluster", "endpoints", Kind::List),
    key("cluster", "ca", Kind::Text),
    key("cluster", "cert", Kind::Text),
    key("cluster", "key", Kind::Text),
    key("cluster", "user", Kind::Text),
    key("cluster", "password_file", Kind::Text),
    key("repository", "name", Kind::Text),
    key("repository", "url", Kind::Text),
    key("repository", "endpoint", Kind::Text),
    key("repository", "region", Kind::Text),
    key("repository", "path_style", Kind::Flag),
    key("repository", "ca", Kind::Text),
    key("repository", "allow_http", Kind::Flag),
    key("repository", "credentials_file", Kind::Text),
    // A table of its own, with the keys of [retention].
    key("repository", "retention", Kind::FileOnly),
    key("backup", "member", Kind::Text),
    key("backup", "compression_level", Kind::Text),
    key("backup", "compression_threads", Kind::Number),
    key("backup", "timeout", Kind::Text),
    key("backup", "stall_timeout", Kind::Text),
    key("backup", "attach", Kind::List),
    key("retention", "keep_last", Kind::Number),
    key("retention", "keep_hourly", Kind::Number),
    key("retention", "keep_daily", Kind::Number),
    key("retention", "keep_weekly", Kind::Number),
    key("retention", "keep_monthly", Kind::Number),
    key("retention", "keep_yearly", Kind::Number),
    key("retention", "minimum", Kind::Number),
    key("schedule", "backup", Kind::Text),
    key("schedule", "verify", Kind::Text),
    key("schedule", "prune", Kind::Text),
    key("schedule", "drill", Kind::Text),
    key("schedule", "certificates", Kind::Text),
    key("schedule", "timezone", Kind::Text),
    key("schedule", "jitter", Kind::Text),
    key("schedule", "listen", Kind::Text),
    key("notify", "heartbeat_url", Kind::Text),
    key("notify", "webhook_url", Kind::Text),
    key("notify", "metrics_file", Kind::Text),
    key("encryption", "recipients", Kind::List),
    key("encryption", "identity_file", Kind::Text),
    key("encryption", "signing_key_file", Kind::Text),
    key("encryption", "verifying_key_file", Kind::Text),
    key("node", "name", Kind::FileOnly),
    key("node", "reach", Kind::FileOnly),
    key("node", "peer_url", Kind::FileOnly),
    key("node", "client_url", Kind::FileOnly),
    key("node", "data_dir", Kind::FileOnly),
    key("node", "wal_dir", Kind::FileOnly),
    key("node", "config_file", Kind::FileOnly),
    key("node", "environment_file", Kind::FileOnly),
    key("node", "service", Kind::FileOnly),
    key("node", "start", Kind::FileOnly),
    key("node", "stop", Kind::FileOnly),
    key("node", "status", Kind::FileOnly),
    key("node", "etcd", Kind::FileOnly),
    key("node", "ssh_config", Kind::FileOnly),
];

/// Whether there is a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.table == name)
}

/// Whether there is a key of this name in this table.
pub(super) fn is_key(table: &str, name: &str) -> bool {
    KEYS.iter()
        .any(|key| key.table == table && key.name == name)
}

/// The table that `name` most likely meant.
pub(super) fn nearest_table(name: &str) -> Option<String> {
    nearest(name, KEYS.iter().map(|key| key.table.to_owned()))
}

/// The key that `name` in `table` most likely meant; one of another table is given with its table.
pub(super) fn nearest_key(table: &str, name: &str) -> Option<String> {
    let here = KEYS.iter().filter(|key| key.table == table);
    let elsewhere = || {
        KEYS.iter()
            .find(|key| key.name == name)
            .map(|key| format!("{}.{}", key.table, key.name))
    };
    nearest(name, here.map(|key| key.name.to_owned())).or_else(elsewhere)
}

/// The variable that `name` most likely meant.
pub(super) fn nearest_variable(name: &str) -> Option<String> {
    nearest(name, KEYS.iter().map(Key::variable))
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
