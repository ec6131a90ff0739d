use std::path::PathBuf;

use chrono::TimeDelta;

use super::*;
use crate::id::{ClusterId, MemberId, Revision};
use crate::recovery::plan::PlannedMember;
use crate::recovery::scenario::Scenario;
use crate::recovery::specimen::now;

/// What somebody would name a key, a member or a file who wants to be more than text.
const HOSTILE: &str = "</li></style><script>alert(1)</script><img src='http://evil/' onerror=\"x\">&amp;\u{0}\u{1b}[31m\u{202e}";

/// A recovery of which every text is `text`.
fn recovered(text: &str) -> Recovered {
    let texts = || vec![text.to_owned(), text.to_owned()];
    let moment = |second: i64, elapsed_ms: u64| Moment {
        at: now() + TimeDelta::seconds(second),
        title: text.to_owned(),
        elapsed_ms,
        evidence: texts(),
    };
    let invariant = |ok| Invariant {
        code: text.to_owned(),
        title: text.to_owned(),
        ok,
        evidence: texts(),
    };
    Recovered {
        scenario: Scenario::Majority,
        run: text.to_owned(),
        elapsed_ms: 63_000,
        cluster_id_before: Some(ClusterId(0xc1)),
        cluster_id: Some(ClusterId(0xc2)),
        members: vec![PlannedMember {
            name: text.to_owned(),
            peer_urls: texts(),
            id: Some(MemberId(7)),
        }],
        revision_before: Some(Revision(7)),
        revision_after: Some(Revision(1_000_007)),
        snapshot_revision: Some(Revision(7)),
        lost_revisions: Some(0),
        lost: text.to_owned(),
        source: Some(text.to_owned()),
        invariants: vec![
            invariant(Some(true)),
            invariant(None),
            invariant(Some(true)),
        ],
        timeline: vec![moment(1, 1_000), moment(1, 0), moment(60, 59_000)],
        set_aside: texts(),
        next: texts(),
        directory: PathBuf::from(text),
    }
}

#[test]
fn whatever_a_cluster_says_is_text_and_makes_no_element() {
    let (plain, hostile) = (recovered("plain"), recovered(HOSTILE));

    let page = hostile.html(Some(HOSTILE));

    // The same elements, to the last one, as where nobody means any harm.
    assert_eq!(elements(&page), elements(&plain.html(Some("plain"))));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("&amp;amp;\\u{0}\\u{1b}[31m\\u{202e}"));
    assert!(page.chars().all(|sign| sign == '\n' || !sign.is_control()));
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = recovered("plain").html(None);

    for way_out in [
        "http:",
        "https:",
        "//",
        "url(",
        "@import",
        "src=",
        "href=",
        "<script",
        "<link",
        "javascript:",
    ] {
        assert!(!page.contains(way_out), "{way_out}");
    }
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
}

#[test]
fn the_verdict_is_what_the_checks_and_the_end_say() {
    let mut recovered = recovered("plain");
    assert!(recovered.html(None).contains("mark good\">recovered<"));
    assert!(
        recovered
            .html(Some("disk full"))
            .contains("mark bad\">not finished<")
    );

    recovered.invariants[2].ok = Some(false);
    let page = recovered.html(None);

    assert!(page.contains("mark bad\">recovered, but not all is well<"));
    let first = page.find("does not hold<").unwrap();
    assert!(
        first < page.find("holds</span>").unwrap(),
        "what is wrong comes first"
    );
}

#[test]
fn bars_stay_on_the_time_line() {
    let page = recovered("plain").html(None);
    let bars: Vec<(i64, i64)> = page.split("<rect x=\"").skip(1).map(bar).collect();

    assert_eq!(bars, [(0, 16), (16, 4), (16, 983)]);

    let mut nothing = recovered("plain");
    nothing.timeline.clear();
    assert!(nothing.html(None).contains("<p>Nothing.</p>"));
}

fn bar(text: &str) -> (i64, i64) {
    let mut numbers = text
        .split('"')
        .step_by(2)
        .map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The names of all elements, in order.
fn elements(page: &str) -> Vec<&str> {
    let after = page.split('<').skip(1);
    after
        .map(|text| text.split([' ', '>', '\n']).next().unwrap())
        .collect()
}
