//! etcd's configuration file, edited line by line, so that comments and order stay.

use std::fmt::Write as _;

use super::FORCE;

/// Sets keys at the top of a document; those that are missing are appended.
pub(super) fn edit(text: &str, values: &[(&str, &str)], without_force: bool) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut edited = String::with_capacity(text.len());
    let mut missing: Vec<&(&str, &str)> = values.iter().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let end = at + 1 + continuation(&lines[at + 1..]);
        let known = key_of(line).and_then(|key| values.iter().find(|(name, _)| *name == key));
        if let Some(wanted) = known {
            edited.push_str(&with_value(line, wanted.1));
            // A comment within a value of several lines is nobody's to remove.
            let comments = lines[at + 1..end].iter();
            edited.extend(
                comments
                    .filter(|line| line.trim_start().starts_with('#'))
                    .copied(),
            );
            missing.retain(|other| *other != wanted);
        } else if !(without_force && key_of(line) == Some(FORCE)) {
            edited.extend(lines[at..end].iter().copied());
        }
        at = end;
    }
    if !missing.is_empty() && !edited.is_empty() && !edited.ends_with('\n') {
        edited.push('\n');
    }
    for (key, value) in missing {
        let _ = writeln!(edited, "{key}: {}", quoted(value, None));
    }
    edited
}

/// How many lines belong to the key before them.
fn continuation(lines: &[&str]) -> usize {
    let indented = |line: &&str| line.starts_with([' ', '\t']) && !line.trim().is_empty();
    let mut length = 0;
    for (count, line) in lines.iter().enumerate() {
        if indented(line) {
            length = count + 1;
        } else if !line.trim().is_empty() {
            break;
        }
    }
    length
}

/// The key that begins in the first column of a line.
fn key_of(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let begins = rest.is_empty() || rest.starts_with(char::is_whitespace);
    let key = key.trim_end();
    let bare = key.trim_matches(['"', '\'']);
    let odd = key.is_empty() || key.starts_with(['#', ' ', '\t', '-', '{', '[']);
    (begins && !odd).then_some(bare)
}

/// The line with another value; its key, its comment and its kind of quotes stay.
fn with_value(line: &str, value: &str) -> String {
    let (key, rest) = line.split_once(':').unwrap_or((line, ""));
    let body = rest.trim_end_matches(['\r', '\n']);
    let ending = &rest[body.len()..];
    let begin = body.trim_start();
    let (quote, comment) = match begin.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let after = begin[1..].find(quote).map(|end| &begin[end + 2..]);
            (Some(quote), comment_in(after.unwrap_or_default()))
        }
        _ => (None, comment_in(body)),
    };
    let ending = if ending.is_empty() { "\n" } else { ending };
    format!("{key}: {}{comment}{ending}", quoted(value, quote))
}

/// What follows a value and is a comment, with the space before it.
fn comment_in(text: &str) -> &str {
    let begins = |at: &usize| *at > 0 && text[..*at].ends_with([' ', '\t']);
    let mut signs = text.match_indices('#').map(|(at, _)| at);
    let Some(at) = signs.find(begins) else {
        return "";
    };
    &text[text[..at].trim_end().len()..]
}

/// A value in the quotes that it had; without any only where nothing but a text can be read.
fn quoted(value: &str, quote: Option<char>) -> String {
    let begins = value.starts_with(|sign: char| sign.is_ascii_alphabetic());
    let plain = |sign: char| sign.is_ascii_alphanumeric() || ".-_=/,:".contains(sign);
    let is_text = value.contains('=') || value.len() > 5 || ["new"].contains(&value);
    match quote {
        Some(quote) => format!("{quote}{value}{quote}"),
        None if begins && is_text && value.chars().all(plain) && !value.ends_with(':') => {
            value.to_owned()
        }
        None => format!("'{value}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [(&str, &str); 3] = [
        ("initial-cluster", "m1=http://a:2380,m2=http://b:2380"),
        ("initial-cluster-state", "existing"),
        ("initial-cluster-token", "t-1"),
    ];

    #[test]
    fn comments_order_quotes_and_other_keys_stay() {
        let text = "\
# The members.
name: m1   # who we are
\"initial-cluster\": \"m1=http://old:2380\"   # all of them
initial-cluster-state: 'new'
peer-transport-security:
  initial-cluster: not ours
initial-cluster-token:
  # never twice
  old-token
log-level: info";
        let expected = "\
# The members.
name: m1   # who we are
\"initial-cluster\": \"m1=http://a:2380,m2=http://b:2380\"   # all of them
initial-cluster-state: 'existing'
peer-transport-security:
  initial-cluster: not ours
initial-cluster-token: 't-1'
  # never twice
log-level: info";
        assert_eq!(edit(text, &VALUES, false), expected);
    }

    #[test]
    fn what_is_missing_is_appended_and_what_is_dangerous_goes() {
        let text = "name: m1\nforce-new-cluster: true # once only\ndata-dir: /d";
        let expected = "name: m1\ndata-dir: /d\n\
            initial-cluster: m1=http://a:2380,m2=http://b:2380\n\
            initial-cluster-state: existing\ninitial-cluster-token: 't-1'\n";
        assert_eq!(edit(text, &VALUES, true), expected);
    }
}
