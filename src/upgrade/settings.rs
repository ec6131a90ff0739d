//! How a member is started: every flag, variable and key, with the place where it stands.

use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::config::{EtcdFlags, etcd_keys};

/// How a setting is given, which decides what etcd does with one that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// On the command line: etcd exits.
    Flag,
    /// As a variable: etcd warns.
    Variable,
    /// As a key of the configuration file: etcd says nothing.
    Key,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where it was found.
    pub line: Option<usize>,
}

/// A flag, variable or key, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name of the flag; of a key as it is written, behind its section.
    pub name: String,
    /// Its value.
    pub value: String,
    /// How it is given.
    pub form: Form,
    /// Where it stands.
    pub place: Place,
}

/// How one member is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What it is called, or else the file that says how it is started.
    pub member: String,
    /// What etcd is given, without what it does not look at beside a configuration file.
    pub settings: Vec<Setting>,
    /// The same, for what asks for flags.
    pub flags: EtcdFlags,
}

/// A file that says how a member is started.
struct Text {
    path: PathBuf,
    text: String,
}

impl Setting {
    /// Whether it turns nothing on.
    #[must_use]
    pub fn is_off(&self) -> bool {
        const OFF: [&str; 9] = ["", "0", "0s", "false", "f", "F", "False", "FALSE", "off"];
        OFF.contains(&self.value.as_str())
    }

    /// As it would be typed.
    #[must_use]
    pub fn written(&self) -> String {
        match self.form {
            Form::Flag => format!("--{}", self.name),
            Form::Variable => variable(&self.name),
            Form::Key => format!("`{}`", self.name),
        }
    }
}

impl Settings {
    /// Reads a member's configuration file, unit of systemd, file of variables or pod manifest, whichever it is, and the files that it
    /// names: a unit its drop-ins and files of variables, a command line the configuration file.
    ///
    /// # Errors
    /// If a file cannot be read, or is none of these.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let first = read(path)?;
        let mut texts = Vec::new();
        let (mut settings, flags) = if is_unit(&first) {
            texts = with_drop_ins(first)?;
            of_unit(&mut texts)?
        } else if is_manifest(&first) {
            of_manifest(&first)?
        } else if is_variables(&first) {
            let settings = of_variables(&first);
            let flags = flags_of(&settings);
            (settings, flags)
        } else {
            return of_config(&first);
        };
        drop(texts);
        let Some(config) = flags.get("config-file").map(PathBuf::from) else {
            return Ok(Self::named(path, settings, flags));
        };
        // Beside a configuration file etcd looks at nothing else, but a flag that it does not know ends it all the same.
        let mut of_file = of_config(&read(&config)?)?;
        settings.retain(|setting| setting.form == Form::Flag);
        settings.append(&mut of_file.settings);
        Ok(Self {
            settings,
            ..of_file
        })
    }

    /// The value of a setting that etcd looks at, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.flags.get(name)
    }

    /// The setting of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Setting> {
        let of_name = |setting: &&Setting| setting.name == name;
        self.settings.iter().rev().find(of_name)
    }

    fn named(path: &Path, settings: Vec<Setting>, flags: EtcdFlags) -> Self {
        let name = flags.get("name").map(str::to_owned);
        Self {
            member: name.unwrap_or_else(|| path.display().to_string()),
            settings,
            flags,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// The variable of a flag.
fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn read(path: &Path) -> Result<Text, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Text {
        path: path.to_owned(),
        text,
    })
}

fn is_unit(text: &Text) -> bool {
    text.text.lines().any(|line| line.trim() == "[Service]")
}

fn is_manifest(text: &Text) -> bool {
    let words = ["kind: Pod", "\"kind\": \"Pod\"", "\"kind\":\"Pod\""];
    words.iter().any(|word| text.text.contains(word))
}

fn is_variables(text: &Text) -> bool {
    text.text.lines().any(|line| assignment(line).is_some())
}

/// A line of a file of variables that sets one of etcd's: the flag, and its value.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim().trim_start_matches("export ").trim_start();
    let (name, value) = line.strip_prefix("ETCD_")?.split_once('=')?;
    let is_name = name
        .bytes()
        .all(|sign| sign.is_ascii_alphanumeric() || sign == b'_');
    let value = value.trim().trim_matches(['"', '\'']);
    let name = name.to_ascii_lowercase().replace('_', "-");
    is_name.then(|| (name, value.to_owned()))
}

fn of_config(file: &Text) -> Result<Settings, Error> {
    let wrong = |source| Error::Settings {
        path: file.path.clone(),
        source: Box::new(source),
    };
    let origin = file.path.to_string_lossy();
    let flags = EtcdFlags::from_config(&file.text, &origin).map_err(wrong)?;
    let keys = etcd_keys(&file.text, &origin).map_err(wrong)?;
    let settings = keys.into_iter().map(|(name, value)| Setting {
        place: place(std::slice::from_ref(file), Form::Key, &name),
        form: Form::Key,
        name,
        value,
    });
    Ok(Settings::named(&file.path, settings.collect(), flags))
}

fn as_variable(file: &Text, line: usize, name: String, value: String) -> Setting {
    Setting {
        name,
        value,
        form: Form::Variable,
        place: Place {
            file: file.path.clone(),
            line: Some(line),
        },
    }
}

fn of_variables(file: &Text) -> Vec<Setting> {
    let lines = (1..).zip(file.text.lines());
    let settings = lines.filter_map(|(line, text)| {
        let (name, value) = assignment(text)?;
        Some(as_variable(file, line, name, value))
    });
    settings.collect()
}

fn flags_of(settings: &[Setting]) -> EtcdFlags {
    let pairs = settings
        .iter()
        .map(|one| (one.name.clone(), one.value.clone()));
    EtcdFlags {
        values: pairs.collect(),
        ..EtcdFlags::default()
    }
}

/// A unit and its drop-ins, in the order in which systemd reads them.
fn with_drop_ins(unit: Text) -> Result<Vec<Text>, Error> {
    let mut folder = unit.path.clone().into_os_string();
    folder.push(".d");
    // Most units have none.
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = found.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "conf"))
        .collect();
    paths.sort();
    let mut texts = vec![unit];
    for path in paths {
        texts.push(read(&path)?);
    }
    Ok(texts)
}

fn of_unit(texts: &mut Vec<Text>) -> Result<(Vec<Setting>, EtcdFlags), Error> {
    let whole: String = texts.iter().map(|one| one.text.clone() + "\n").collect();
    let mut flags = EtcdFlags::from_unit_alone(&whole, &|_| None);
    let mut settings = of_command_line(texts, &flags);
    for line in whole.lines() {
        let Some(path) = line.trim().strip_prefix("EnvironmentFile=") else {
            continue;
        };
        // Behind a dash it may be missing.
        let (path, optional) = match path.trim().strip_prefix('-') {
            Some(path) => (Path::new(path), true),
            None => (Path::new(path.trim()), false),
        };
        if optional && !path.exists() {
            continue;
        }
        let file = read(path)?;
        for setting in of_variables(&file) {
            // A flag beats its variable.
            let is_flag = settings
                .iter()
                .any(|one| one.name == setting.name && one.form == Form::Flag);
            if !is_flag {
                flags
                    .values
                    .insert(setting.name.clone(), setting.value.clone());
                settings.push(setting);
            }
        }
        texts.push(file);
    }
    Ok((settings, flags))
}

fn of_manifest(file: &Text) -> Result<(Vec<Setting>, EtcdFlags), Error> {
    let flags = EtcdFlags::from_manifest(&file.text, &file.path.to_string_lossy());
    let mut flags = flags.map_err(|source| Error::Settings {
        path: file.path.clone(),
        source: Box::new(source),
    })?;
    let mut settings = of_command_line(std::slice::from_ref(file), &flags);
    for setting in variables_of_manifest(file) {
        // A flag beats its variable.
        let name = setting.name.clone();
        if let Entry::Vacant(place) = flags.values.entry(name) {
            place.insert(setting.value.clone());
            settings.push(setting);
        }
    }
    Ok((settings, flags))
}

/// The variables that a manifest sets to a value of its own: two lines each, as everybody writes them.
fn variables_of_manifest(file: &Text) -> Vec<Setting> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let pairs = (1..).zip(lines.windows(2));
    let settings = pairs.filter_map(|(line, pair)| {
        let name = pair[0].trim_start_matches("- ").strip_prefix("name:")?;
        let value = pair[1].strip_prefix("value:")?.trim();
        let (name, value) = assignment(&format!("{}={value}", name.trim()))?;
        Some(as_variable(file, line, name, value))
    });
    settings.collect()
}

/// The flags of a unit or a manifest; what is found only as a variable is one.
fn of_command_line(texts: &[Text], flags: &EtcdFlags) -> Vec<Setting> {
    let settings = flags.values.iter().map(|(name, value)| {
        let flag = place(texts, Form::Flag, name);
        let variable = place(texts, Form::Variable, name);
        let is_variable = flag.line.is_none() && variable.line.is_some();
        Setting {
            name: name.clone(),
            value: value.clone(),
            form: if is_variable {
                Form::Variable
            } else {
                Form::Flag
            },
            place: if is_variable { variable } else { flag },
        }
    });
    settings.collect()
}

/// Where a name stands last; the first file if nowhere.
fn place(texts: &[Text], form: Form, name: &str) -> Place {
    let found = texts.iter().rev().find_map(|one| {
        let lines: Vec<&str> = one.text.lines().collect();
        let line = lines.iter().rposition(|line| stands_in(line, form, name))?;
        Some(Place {
            file: one.path.clone(),
            line: Some(line + 1),
        })
    });
    found.unwrap_or_else(|| Place {
        file: texts
            .first()
            .map(|one| one.path.clone())
            .unwrap_or_default(),
        line: None,
    })
}

fn stands_in(line: &str, form: Form, name: &str) -> bool {
    let word = match form {
        Form::Flag => format!("-{name}"),
        Form::Variable => variable(name),
        Form::Key => name.rsplit('.').next().unwrap_or(name).to_owned(),
    };
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == '-';
    let is_comment = line.trim_start().starts_with(['#', ';']);
    let is_nested = name.contains('.');
    !is_comment
        && line.match_indices(&word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let ends = !after.starts_with(is_word);
            match form {
                Form::Flag => ends && !before.trim_end_matches('-').ends_with(is_word),
                Form::Variable => ends && !before.ends_with(is_word),
                Form::Key => {
                    let begins = before.trim().trim_matches(['"', '\'', '{']).is_empty();
                    let is_key = after
                        .trim_start_matches(['"', '\''])
                        .trim_start()
                        .starts_with(':');
                    ends && begins && is_key && before.starts_with(' ') == is_nested
                }
            }
        })
}
