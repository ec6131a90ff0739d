//! Which texts are peer URLs to etcd, and stay the same bytes when etcd prints them again.
//!
//! Ids are hashed over the URLs as etcd prints them, so what Go would rewrite (upper-case schemes, escapes, odd characters) is
//! refused here instead of being normalised.

/// Says why `url` is not a peer URL that etcd takes as it stands.
pub(super) fn fault(url: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("it does not begin with http://, https://, unix:// or unixs://");
    };
    match scheme {
        "http" | "https" => host_and_port_fault(rest),
        "unix" | "unixs" => socket_fault(rest),
        _ => Some("its scheme is not http, https, unix or unixs, in lower case"),
    }
}

fn host_and_port_fault(authority: &str) -> Option<&'static str> {
    if authority.contains('/') {
        return Some("it must end after the port: a path is not allowed, not even a single slash");
    }
    if authority.contains(['?', '#', '@']) {
        return Some("it holds more than host and port");
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        return match bracketed.split_once(']') {
            Some((address, port)) if is_ipv6(address) => match port.strip_prefix(':') {
                Some(port) => port_fault(port),
                None => Some("it names no port"),
            },
            _ => Some("the text in brackets is not an IPv6 address"),
        };
    }
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Some("it names no port");
    };
    if host.contains(':') {
        return Some("an IPv6 address must stand in brackets");
    }
    match host {
        "" => Some("it names no host"),
        host if !host.chars().all(is_plain) => Some("its host holds a character that no name has"),
        _ => port_fault(port),
    }
}

/// The address, with or without a zone, that etcd prints as `%25` and the zone's name.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = match text.split_once("%25") {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let has_zone = zone.is_none_or(|zone| !zone.is_empty() && zone.chars().all(is_plain));
    has_zone && address.parse::<std::net::Ipv6Addr>().is_ok()
}

fn port_fault(port: &str) -> Option<&'static str> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if is_number => None,
        _ => Some("its port is not a number from 1 to 65535"),
    }
}

/// A socket is named by a path, or by what looks like a host with or without a port.
fn socket_fault(rest: &str) -> Option<&'static str> {
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    if rest.is_empty() {
        return Some("it names no socket");
    }
    if !name.chars().all(is_plain) || !path.chars().all(|c| c == '/' || is_plain(c)) {
        return Some("its path holds a character that etcd would write differently");
    }
    port.and_then(port_fault)
}

/// What Go's URLs never escape.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_addresses_and_sockets_are_peer_urls() {
        for url in [
            "http://10.0.0.1:2380",
            "https://etcd-1.example_net:2380",
            "http://LOCALHOST:1",
            "http://[::1]:2380",
            "http://[fe80::1%25eth0]:02380",
            "unix://m0.sock",
            "unix://localhost:2380",
            "unixs:///run/etcd/m0.sock",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
    }

    #[test]
    fn what_etcd_refuses_or_rewrites_is_refused() {
        for (url, why) in [
            ("", "does not begin with"),
            ("10.0.0.1:2380", "does not begin with"),
            ("tcp://10.0.0.1:2380", "scheme"),
            ("HTTP://10.0.0.1:2380", "scheme"),
            ("http://10.0.0.1", "no port"),
            ("http://[::1]", "no port"),
            ("http://10.0.0.1:", "port is not a number"),
            ("http://10.0.0.1:+80", "port is not a number"),
            ("http://10.0.0.1:65536", "port is not a number"),
            ("http://10.0.0.1:0", "port is not a number"),
            ("http://10.0.0.1:2380/", "path"),
            ("http://10.0.0.1:2380/x", "path"),
            ("http://10.0.0.1:2380?x", "more than host"),
            ("http://me@10.0.0.1:2380", "more than host"),
            ("http://:2380", "no host"),
            ("http://::1:2380", "brackets"),
            ("http://[::g]:2380", "not an IPv6"),
            ("http://[::1%25]:2380", "not an IPv6"),
            ("http://a b:2380", "character"),
            ("http://\u{e4}:2380", "character"),
            ("unix://localhost:m0.sock", "port is not a number"),
            ("unix://", "no socket"),
            ("unix:///a b", "character"),
        ] {
            let fault = fault(url).unwrap_or_else(|| panic!("{url} passes"));
            assert!(fault.contains(why), "{url}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text: String) {
            let _ = fault(&text);
            let _ = fault(&format!("http://{text}"));
            let _ = fault(&format!("unix://{text}"));
        }
    }
}
