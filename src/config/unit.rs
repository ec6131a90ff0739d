//! How a unit of systemd starts etcd: its command, its variables, and the files that it names.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Error, EtcdFlags};

/// How the text of a file is got that another file names; nothing if it cannot be read.
pub type ReadText<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl EtcdFlags {
    /// Reads a unit of systemd, and follows it: into its `EnvironmentFile=`s, and into the configuration file that its command names.
    ///
    /// What `systemctl cat` prints, drop-ins and all, is such a text too.
    ///
    /// # Errors
    /// If the configuration file is no YAML.
    pub fn from_unit(text: &str, read: ReadText<'_>) -> Result<Self, Error> {
        Unit::read(text, read).flags(read)
    }

    /// Reads a unit of systemd, with its `EnvironmentFile=`s, but not the configuration file that its command names.
    #[must_use]
    pub fn from_unit_alone(text: &str, read: ReadText<'_>) -> Self {
        Unit::read(text, read).own_flags()
    }

    /// Reads a file of variables, as a unit's `EnvironmentFile=` names it; the last one of a name counts.
    #[must_use]
    pub fn from_environment(text: &str) -> Self {
        let mut flags = Self::default();
        flags.take_variables(&variables(text));
        flags
    }
}

/// What the lines of a unit say.
#[derive(Default)]
struct Unit {
    command: String,
    variables: BTreeMap<String, String>,
    /// Those of files, which beat the others (systemd.exec(5)).
    from_files: BTreeMap<String, String>,
    /// Those that are taken out again, by their names, or with a value by that alone.
    unset: Vec<String>,
    found: EtcdFlags,
}

impl Unit {
    fn read(text: &str, read: ReadText<'_>) -> Self {
        let joined = text.replace("\\\n", " ");
        let mut unit = Self::default();
        for line in joined.lines() {
            if let Some((key, value)) = line.trim().split_once('=') {
                unit.take(key.trim(), value.trim(), read);
            }
        }
        unit
    }

    fn take(&mut self, key: &str, value: &str, read: ReadText<'_>) {
        match key {
            "ExecStart" => value.clone_into(&mut self.command),
            "ExecReload" if value.contains("HUP") => self.found.reloads.push(value.to_owned()),
            "Environment" if value.is_empty() => self.variables.clear(),
            "Environment" => {
                let words = words(value);
                let variables = words.iter().filter_map(|word| word.split_once('='));
                self.variables
                    .extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            "EnvironmentFile" if value.is_empty() => self.from_files.clear(),
            "EnvironmentFile" => self.take_file(value, read),
            "UnsetEnvironment" if value.is_empty() => self.unset.clear(),
            "UnsetEnvironment" => self.unset.extend(words(value)),
            "User" => self.found.user = Some(value.to_owned()).filter(|user| !user.is_empty()),
            "Group" | "SupplementaryGroups" => self.found.groups.extend(words(value)),
            _ => {}
        }
    }

    /// A dash before its name says that the file need not be there.
    fn take_file(&mut self, value: &str, read: ReadText<'_>) {
        let path = value.strip_prefix('-').unwrap_or(value);
        match read(Path::new(path)) {
            Some(text) => self.from_files.extend(variables(&text)),
            None if path != value => {}
            None => self.found.unread.push(path.into()),
        }
    }

    /// The flags of its command and its variables.
    fn own_flags(mut self) -> EtcdFlags {
        self.variables.append(&mut self.from_files);
        let unset = self.unset;
        self.variables.retain(|name, value| {
            !unset.contains(name) && !unset.contains(&format!("{name}={value}"))
        });
        let command = command(&self.command, &self.variables);
        let mut flags = EtcdFlags::from_words(command.iter().map(String::as_str));
        flags.take_variables(&self.variables);
        let found = self.found;
        EtcdFlags {
            reloads: found.reloads,
            unread: found.unread,
            user: found.user,
            groups: found.groups,
            ..flags
        }
    }

    fn flags(self, read: ReadText<'_>) -> Result<EtcdFlags, Error> {
        let mut own = self.own_flags();
        // Beside a configuration file, etcd looks neither at flags nor at variables.
        let Some(path) = own.get("config-file").map(str::to_owned) else {
            return Ok(own);
        };
        let Some(text) = read(Path::new(&path)) else {
            own.unread.push(path.into());
            return Ok(own);
        };
        let config = EtcdFlags::from_config(&text, &path)?;
        Ok(EtcdFlags {
            reloads: own.reloads,
            unread: own.unread,
            user: own.user,
            groups: own.groups,
            ..config
        })
    }
}

/// The words of the command, with the values of variables in it; a shell's command is looked into.
fn command(line: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = words(line);
    if let Some(at) = words.iter().position(|word| word == "-c")
        && let Some(inner) = words.get(at + 1)
    {
        words = self::words(inner);
    }
    let is_whole = |word: &String| word.strip_prefix('$').and_then(|name| variables.get(name));
    let expanded = words.iter().flat_map(|word| match is_whole(word) {
        // A variable that stands alone may hold several words (systemd.service(5)).
        Some(value) => self::words(value),
        None => vec![with_values(word, variables)],
    });
    expanded.collect()
}

fn with_values(word: &str, variables: &BTreeMap<String, String>) -> String {
    let place = |name: &str| format!("${{{name}}}");
    variables
        .iter()
        .fold(word.to_owned(), |word, (name, value)| {
            word.replace(&place(name), value)
        })
}

/// The variables of an `EnvironmentFile=`.
fn variables(text: &str) -> BTreeMap<String, String> {
    let joined = text.replace("\\\n", "");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with(['#', ';']));
    let variables = lines.filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let inner = value.strip_prefix(quote)?;
            inner.strip_suffix(quote)
        });
        Some((
            name.trim().to_owned(),
            quoted.unwrap_or(value).replace("\\\"", "\""),
        ))
    });
    variables.collect()
}

/// Words between blanks; quotes hold together what is between them, and are taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        match (sign, quote) {
            ('\\', Some('"') | None) => word.get_or_insert_default().extend(signs.next()),
            (_, Some(open)) if sign == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (_, None) if sign.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_unit_is_too_odd(text in "(?s).{0,60}", key in "(ExecStart|Environment|EnvironmentFile|User)=") {
            let unit = format!("{key}{text}\nExecStart=etcd ${{A}} $B {text}");
            let read = |_: &Path| Some(text.clone());
            let _ = EtcdFlags::from_unit(&unit, &read);
        }
    }

    fn nothing(_: &Path) -> Option<String> {
        None
    }

    #[test]
    fn a_unit_tells_flags_variables_and_a_deadly_reload() {
        let text = "\
[Service]
User=etcd
Environment=\"ETCD_CERT_FILE=/a.crt\" ETCD_NAME=m1
ExecStart=/usr/bin/etcd --name m2 \\
  --client-cert-auth --key-file='/a.key'
ExecReload=/bin/kill -HUP $MAINPID
";
        let flags = EtcdFlags::from_unit(text, &nothing).unwrap();

        assert_eq!(flags.get("name"), Some("m2"));
        assert_eq!(flags.get("cert-file"), Some("/a.crt"));
        assert_eq!(flags.get("key-file"), Some("/a.key"));
        assert!(flags.is_on("client-cert-auth"));
        assert_eq!(flags.reloads, ["/bin/kill -HUP $MAINPID"]);
        assert_eq!(flags.user.as_deref(), Some("etcd"));
    }

    #[test]
    fn the_files_of_variables_are_followed_and_beat_the_unit() {
        let text = "\
Environment=ETCD_NAME=unit
EnvironmentFile=-/etc/etcd/etcd.env
EnvironmentFile=-/nowhere/optional
EnvironmentFile=/nowhere/needed
ExecStart=/bin/bash -c \"GOMAXPROCS=$(nproc) /usr/bin/etcd --data-dir=\\\"${DIR}\\\" --cert-file ${PKI}/a.crt $MORE\"
";
        let file = "# etcd\nETCD_NAME=\"file\"\nDIR=/var/lib/etcd\nPKI=/pki\nMORE='--client-cert-auth --key-file=/b.key'\n";
        let read = |path: &Path| (path == Path::new("/etc/etcd/etcd.env")).then(|| file.to_owned());

        let flags = EtcdFlags::from_unit(text, &read).unwrap();

        assert_eq!(flags.get("name"), Some("file"));
        assert_eq!(flags.get("data-dir"), Some("/var/lib/etcd"));
        assert_eq!(flags.get("cert-file"), Some("/pki/a.crt"));
        assert!(flags.is_on("client-cert-auth"));
        assert_eq!(flags.get("key-file"), Some("/b.key"));
        assert_eq!(flags.unread, [Path::new("/nowhere/needed")]);
        assert!(flags.variables.contains("name") && !flags.variables.contains("data-dir"));
    }

    #[test]
    fn the_configuration_file_that_a_unit_names_is_what_counts() {
        let text =
            "User=etcd\nExecStart=etcd --config-file=/etc/etcd.yml --cert-file=/unheard.crt\n";
        let read = |_: &Path| Some("client-transport-security:\n  cert-file: /a.crt\n".to_owned());

        let flags = EtcdFlags::from_unit(text, &read).unwrap();

        assert_eq!(flags.get("cert-file"), Some("/a.crt"));
        assert!(flags.is_config_file);
        assert_eq!(flags.user.as_deref(), Some("etcd"));
        assert!(EtcdFlags::from_unit(text, &|_| Some("[".to_owned())).is_err());
    }
}
