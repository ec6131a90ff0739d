//! Files of one flag a line: variables of a unit, and the command of a pod.

use super::FORCE;

/// Sets variables in a file of them; those that are missing are appended.
pub(super) fn edit_variables(text: &str, values: &[(&str, &str)], without_force: bool) -> String {
    let mut edited = String::with_capacity(text.len());
    let mut missing: Vec<&(&str, &str)> = values.iter().collect();
    for line in text.split_inclusive('\n') {
        let name = line.trim_start().split_once('=').map(|(name, _)| name);
        let known = name.and_then(|name| values.iter().find(|(flag, _)| variable(flag) == name));
        if let Some(wanted) = known {
            let value = line.split_once('=').map_or("", |(_, value)| value.trim());
            let quote = value.chars().next().filter(|sign| "\"'".contains(*sign));
            edited.push_str(&of_variable(wanted, quote));
            missing.retain(|other| *other != wanted);
        } else if !(without_force && name == Some(&variable(FORCE))) {
            edited.push_str(line);
        }
    }
    if !missing.is_empty() && !edited.is_empty() && !edited.ends_with('\n') {
        edited.push('\n');
    }
    for wanted in missing {
        edited.push_str(&of_variable(wanted, Some('"')));
    }
    edited
}

/// The variable that stands for a flag.
pub(super) fn variable(flag: &str) -> String {
    format!("ETCD_{}", flag.replace('-', "_").to_ascii_uppercase())
}

fn of_variable((flag, value): &(&str, &str), quote: Option<char>) -> String {
    let quote = quote.map(String::from).unwrap_or_default();
    format!("{}={quote}{value}{quote}\n", variable(flag))
}

/// Sets flags in the command of a pod, one item of a list for each; those that are missing follow the last of them.
pub(super) fn edit_manifest(text: &str, values: &[(&str, &str)], without_force: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut missing: Vec<&(&str, &str)> = values.iter().collect();
    // Where the last flag stands, and what stands before its name.
    let mut last = None;
    for line in text.split_inclusive('\n') {
        let Some(item) = Item::of(line) else {
            lines.push(line.to_owned());
            continue;
        };
        let known = values.iter().find(|(flag, _)| *flag == item.flag);
        if let Some(wanted) = known {
            lines.push(item.with(wanted.0, wanted.1));
            missing.retain(|other| *other != wanted);
        } else if without_force && item.flag == FORCE {
            continue;
        } else {
            lines.push(line.to_owned());
        }
        last = Some((lines.len(), item));
    }
    if let Some((at, item)) = last {
        let added = missing.iter().map(|(flag, value)| item.with(flag, value));
        let added: Vec<String> = added.collect();
        if !lines[at - 1].ends_with('\n') {
            lines[at - 1].push('\n');
        }
        lines.splice(at..at, added);
    }
    lines.concat()
}

/// A line such as `    - --name=value`.
struct Item<'a> {
    /// Everything before the dashes of the flag: spaces, the dash of the list, a quote.
    before: &'a str,
    quote: &'a str,
    flag: &'a str,
    /// What follows the value: a comment.
    after: &'a str,
}

impl<'a> Item<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let indent = line.len() - line.trim_start().len();
        let rest = line[indent..].strip_prefix('-')?;
        let word = rest.trim_start();
        let before = &line[..line.len() - word.len()];
        let quote = match word.chars().next()? {
            '"' => "\"",
            '\'' => "'",
            _ => "",
        };
        let word = word[quote.len()..].strip_prefix("--")?;
        let end = word.find(['=', '"', '\'', ' ', '\r', '\n']);
        let flag = &word[..end.unwrap_or(word.len())];
        let comment = word.find(" #").map(|at| word[at..].trim_end());
        Some(Self {
            before,
            quote,
            flag,
            after: comment.unwrap_or_default(),
        })
    }

    fn with(&self, flag: &str, value: &str) -> String {
        let Self { before, quote, .. } = self;
        let after = if flag == self.flag { self.after } else { "" };
        format!("{before}{quote}--{flag}={value}{quote}{after}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [(&str, &str); 2] = [
        ("initial-cluster", "m1=http://a:2380"),
        ("initial-cluster-state", "existing"),
    ];

    #[test]
    fn variables_keep_their_place_and_their_quotes() {
        let text = "# etcd\nETCD_NAME=m1\nETCD_INITIAL_CLUSTER='old'\nETCD_FORCE_NEW_CLUSTER=true\nOTHER=1";
        let expected = "# etcd\nETCD_NAME=m1\nETCD_INITIAL_CLUSTER='m1=http://a:2380'\nOTHER=1\n\
            ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n";
        assert_eq!(edit_variables(text, &VALUES, true), expected);
    }

    #[test]
    fn a_pod_keeps_everything_else() {
        let text = "\
spec:
  containers:
  - command:
    - etcd
    - --force-new-cluster
    - \"--initial-cluster=old\"  # the members
    - --name=m1
    image: etcd
";
        let expected = "\
spec:
  containers:
  - command:
    - etcd
    - \"--initial-cluster=m1=http://a:2380\" # the members
    - --name=m1
    - --initial-cluster-state=existing
    image: etcd
";
        assert_eq!(edit_manifest(text, &VALUES, true), expected);
    }
}
