//! What stands in the middle of a text: hosts, members' ids, times.

use std::sync::LazyLock;

use regex::Regex;
use url::Url;

/// The entries of a list as 3.4 prints it: `IPAddresses ["10.0.0.3" "10.0.0.4"]`.
pub(super) fn listed<'a>(text: &'a str, before: &str) -> impl Iterator<Item = String> + 'a {
    let list = text
        .split_once(before)
        .and_then(|(_, list)| list.split_once(']'));
    let quoted = list
        .map_or("", |(list, _)| list)
        .split('"')
        .skip(1)
        .step_by(2);
    quoted.map(|name| printable(name, 100))
}

/// The host of a URL, or of an address with or without a port; nothing for a Unix socket.
pub(super) fn host(address: &str) -> Option<String> {
    let address = address.trim();
    if address.contains("://") {
        let url = Url::parse(address).ok()?;
        return Some(url.host_str()?.trim_matches(['[', ']']).to_owned());
    }
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match address.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => address,
    };
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty() && host != "@").then(|| printable(host, 100))
}

/// The other side, where a plain text names it.
pub(super) fn remote_in(text: &str) -> Option<String> {
    static REMOTE: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = concat!(
            r#"rejected connection from "([^"]+)""#,
            r#"|failed to connect to \{(?:Addr: ")?([^ ",}]+)"#,
            r#"|Get "?https?://([^/"]+)"#,
            r"|(?:failed to dial|health check for peer) ([0-9a-f]{8,16})",
            r"|member ([0-9a-f]{8,16})",
            r"|write tcp [^ >]+->([^ ]+): write",
        );
        Regex::new(pattern).expect("the pattern is part of the program")
    });
    let captures = REMOTE.captures(text)?;
    let found = captures.iter().skip(1).flatten().next()?;
    host(found.as_str())
}

/// The first time in a text, in one of the forms of etcd, Go, systemd and klog.
pub(super) fn time_in(text: &str) -> Option<String> {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = concat!(
            r"(?:[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ]|[A-Z][a-z]{2} [ 0-3][0-9] |[IWEF][0-9]{4} )",
            r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?",
        );
        Regex::new(pattern).expect("the pattern is part of the program")
    });
    // A time further on is one that the message is about.
    let found = TIME.find(text).filter(|found| found.start() < 20)?;
    Some(found.as_str().to_owned())
}

/// A member's id and its host, where 3.4 tells both in its own form.
pub(super) fn member_in(text: &str) -> Option<(String, String)> {
    let (_, after) = text.split_once("peerURL(")?;
    let (url, after) = after.split_once(") of member ")?;
    let id = after.split(' ').next()?;
    Some((printable(id, 16), host(url)?))
}

/// Without the backslashes that quoting within quotes left behind.
pub(super) fn unescaped(text: &str) -> String {
    text.replace('\\', "")
}

/// A text from outside as it may be shown: without control characters, and of bounded length.
pub(super) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_ports_and_nothing_else() {
        let cases = [
            ("10.0.0.1:2379", Some("10.0.0.1")),
            ("[fe80::1%eth0]:2379", Some("fe80::1%eth0")),
            ("::1", Some("::1")),
            ("https://m1.example:2379/version", Some("m1.example")),
            ("https://[::1]:2379", Some("::1")),
            ("8211f1d0f64f3269", Some("8211f1d0f64f3269")),
            ("@", None),
            ("", None),
        ];
        for (address, expected) in cases {
            assert_eq!(host(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn what_is_shown_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\r\n", 100), "a [31mb  ");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
