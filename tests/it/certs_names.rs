//! Host names and name constraints, put together at random and held against Go.

use chrono::Utc;
use etcdrx::certs::judge::{Refusal, Usage, answers_to, judge};
use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints, SanType};
use serde_json::json;

use crate::certs_forge::{Authority, dns, system_program, uri};
use crate::certs_judge::certificates;
use crate::certs_truth::{Oracle, base64};
use crate::scratch::tools::function_name;

const PATTERNS: [&str; 16] = [
    "a.example.com",
    "*.example.com",
    "*.a.example.com",
    "EXAMPLE.com",
    "example.com.",
    "*",
    "a*.example.com",
    "*.com",
    "localhost",
    "a_b",
    "-a.com",
    "a..b",
    "",
    "10.0.0.1",
    "::1",
    "x:2379",
];

const HOSTS: [&str; 18] = [
    "a.example.com",
    "A.Example.Com",
    "a.example.com.",
    "example.com",
    "b.a.example.com",
    "*.example.com",
    "localhost",
    "LOCALHOST.",
    "a_b",
    "10.0.0.1",
    "[10.0.0.1]",
    "::1",
    "[::1]",
    "::ffff:10.0.0.1",
    "a..b",
    ".",
    "x:2379",
    "fd00::1",
];

const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.1.0.1", "::1", "fd00::1"];

#[test]
fn hosts_are_matched_as_go_matches_them_word_for_word() {
    let Some(go) = system_program("go", &function_name!()) else {
        return;
    };
    let oracle = Oracle::build(&go);
    let root = Authority::root("hosts", |_| ());
    let mut cases = Vec::new();
    for _ in 0..150 {
        let leaf = root.leaf(|params| {
            params.distinguished_name = crate::certs_forge::common_name(any(&HOSTS));
            params.subject_alt_names = names(&PATTERNS);
        });
        cases.extend(HOSTS.map(|host| (leaf.cert.clone(), host)));
    }
    let questions = cases
        .iter()
        .map(|(leaf, host)| json!({"Mode": "host", "Now": Utc::now(), "Host": host, "Chain": base64(leaf)}));
    let answers = oracle.ask(questions.collect());

    for ((leaf, host), answer) in cases.iter().zip(answers) {
        let leaf = &certificates(leaf)[0];
        let ours =
            answers_to(leaf, host).map_or_else(|refusal| refusal.go_text(), |()| String::new());
        assert_eq!(ours, answer, "{host}, {:?}", leaf.names);
    }
}

#[test]
fn name_constraints_are_enforced_as_go_enforces_them() {
    let Some(go) = system_program("go", &function_name!()) else {
        return;
    };
    let oracle = Oracle::build(&go);
    let now = Utc::now();
    let cases: Vec<_> = (0..600).map(|_| constrained()).collect();
    let questions = cases.iter().map(|(chain, root)| {
        json!({"Mode": "verify", "Usage": "server", "Now": now, "Chain": base64(chain), "Trusted": base64(root)})
    });
    let answers = oracle.ask(questions.collect());

    let mut refused = 0;
    for ((chain, root), answer) in cases.iter().zip(answers) {
        let (chain, root) = (certificates(chain), certificates(root));
        let ours = judge(&chain, &root, Usage::Server, now);
        let text = ours
            .as_ref()
            .map_or_else(Refusal::go_text, |()| String::new());
        let (names, constraints) = (&chain[0].names, &root[0].name_constraints);
        assert_eq!(text, answer, "{names:?}, {constraints:?}");
        refused += usize::from(ours.is_err());
    }
    assert!(
        (100..580).contains(&refused),
        "{refused} of 600 are refused: they prove little"
    );
}

/// A leaf with random names and the root above it with random constraints.
fn constrained() -> (String, String) {
    const DOMAINS: [&str; 6] = [
        "example.com",
        ".example.com",
        "EXAMPLE.COM",
        "com",
        "a.example.com",
        "localhost",
    ];
    let subtree = || match rand::random_range(0..4) {
        0 => {
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 0, 0], any(&[8, 16, 32])))
        }
        1 => GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], any(&[0, 8, 128]))),
        _ => GeneralSubtree::DnsName(any(&DOMAINS).to_owned()),
    };
    let subtrees = |most| {
        (0..rand::random_range(0..=most))
            .map(|_| subtree())
            .collect::<Vec<_>>()
    };
    let (mut permitted, excluded) = (subtrees(3), subtrees(1));
    if permitted.is_empty() && excluded.is_empty() {
        permitted.push(subtree());
    }
    let root = Authority::root("constraints", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: excluded,
        });
    });
    let leaf = root.leaf(|params| params.subject_alt_names = names(&PATTERNS[..10]));
    (leaf.cert, root.pem())
}

fn names(patterns: &[&str]) -> Vec<SanType> {
    let name = || match rand::random_range(0..8) {
        0 | 1 => SanType::IpAddress(any(&ADDRESSES).parse().unwrap()),
        2 => uri(any(&[
            "https://a.example.com:80/x",
            "spiffe://10.0.0.1/x",
            "urn:x",
        ])),
        _ => dns(any(patterns)),
    };
    (0..rand::random_range(0..4)).map(|_| name()).collect()
}

fn any<T: Copy>(all: &[T]) -> T {
    all[rand::random_range(0..all.len())]
}
