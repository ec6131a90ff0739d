//! JSON as Go writes it, byte for byte.

/// A list of texts.
pub(super) fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", texts.join(","))
}

/// A text: what HTML or JavaScript would trip over is escaped.
pub(super) fn string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut json = String::with_capacity(quoted.len());
    for character in quoted.chars() {
        match character {
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            '\u{2028}' => json.push_str("\\u2028"),
            '\u{2029}' => json.push_str("\\u2029"),
            other => json.push(other),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_written_as_go_does_is_still_json(text: String) {
            let json: String = serde_json::from_str(&string(&text)).unwrap();
            prop_assert_eq!(json, text);
        }
    }
}
