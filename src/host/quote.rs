//! Words as a shell takes them.

/// One word for the shell of whoever types or receives it: everything that a POSIX shell would read otherwise is in single quotes.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./:=,@+".contains(sign);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_reads_well_where_nothing_must_be_quoted() {
        assert_eq!(
            quoted("m1=http://10.0.0.1:2380,m2"),
            "m1=http://10.0.0.1:2380,m2"
        );
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_gives_every_word_back(word in "[^\\x00\\r\\n]{0,40}") {
            let line = format!("printf %s {}", quoted(&word));
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
