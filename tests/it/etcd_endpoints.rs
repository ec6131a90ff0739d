//! Endpoints that are dead, hang, or are called by the wrong scheme.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::scratch::{Cluster, Proxy, ports, tools};
use crate::setup::{Workplace, assert_ends, codes};

/// Three seconds for a probe, three for a look at why, and what a busy machine needs.
const SOME_SECONDS: Duration = Duration::from_secs(15);

#[tokio::test]
async fn one_endpoint_that_answers_is_enough() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    let workplace = Workplace::of(&cluster);
    let dead = format!("http://{}", ports::free_address());
    let mut endpoints = vec![dead.clone()];
    endpoints.extend(cluster.endpoints());
    let endpoints = endpoints.join(",");

    let with_a_dead_one = workplace
        .etcdrx()
        .run(["backup", "--json", "--endpoints", &endpoints]);
    let in_words = workplace
        .etcdrx()
        .run(["backup", "--endpoints", &endpoints]);

    let manifest = with_a_dead_one.success().json();
    assert_eq!(codes(&manifest), ["member-unreachable"]);
    assert_eq!(manifest["findings"][0]["severity"], "warning");
    let told = format!("warning: {dead}: connection refused: nothing listens there");
    assert_ends(&in_words, 0, &[&told]);

    // A member that hangs costs some seconds, also where it is asked first.
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let hanging = cluster.members[follower].client_url();
    let started = Instant::now();
    cluster.members[follower].pause();
    let with_a_hanging_one = workplace.etcdrx().run(["backup"]);
    cluster.members[follower].resume();

    assert!(started.elapsed() < SOME_SECONDS, "{:?}", started.elapsed());
    assert_ends(&with_a_hanging_one, 0, &[hanging, "says nothing"]);
    workplace.assert_holds_only_whole_backups(3);
}

#[tokio::test]
async fn without_any_answer_each_endpoint_gets_a_sentence() {
    let workplace = Workplace::new();
    // Connections wait in the listener's queue, and nobody takes them out.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let frozen = frozen.local_addr().unwrap();
    let without_server = Proxy::to(ports::free_address());
    let dead = format!("http://{}", ports::free_address());
    let endpoints = vec![
        dead.clone(),
        format!("http://{frozen}"),
        format!("https://{frozen}"),
        without_server.url("http"),
        without_server.url("https"),
    ];
    let settings = workplace.bare_settings();
    workplace.configure(&settings.set("cluster.endpoints", endpoints));

    let started = Instant::now();
    let output = workplace.etcdrx().run(["backup"]);

    assert!(started.elapsed() < SOME_SECONDS, "{:?}", started.elapsed());
    let hangs = "it accepts connections and says nothing: the process hangs";
    let closes = "it closes every connection at once: a proxy with no etcd behind it";
    assert_ends(
        &output,
        5,
        &[
            "none of the cluster's endpoints answers",
            &format!("{dead}: connection refused: nothing listens there"),
            &format!("http://{frozen}: {hangs}"),
            &format!("https://{frozen}: {hangs}"),
            &format!("{}: {closes}", without_server.url("http")),
            &format!("{}: {closes}", without_server.url("https")),
            "hint: are these the right endpoints, and is etcd running there?",
        ],
    );
    assert_eq!(workplace.stored(), [""; 0], "nothing is left");
}

#[tokio::test]
async fn a_wrong_scheme_is_called_by_its_name() {
    let plain = Cluster::of(&tools::newest_etcd()).start().await;
    let secure = Cluster::of(&tools::newest_etcd()).tls().start().await;
    let to_plain = Workplace::of(&plain);
    let to_secure = Workplace::of(&secure);
    let https = plain.endpoints()[0].replace("http:", "https:");
    let http = secure.endpoints()[0].replace("https:", "http:");

    let tls_to_plain = to_plain.etcdrx().run(["backup", "--endpoints", &https]);
    let plain_to_tls = to_secure.etcdrx().run(["backup", "--endpoints", &http]);
    // Without a scheme the TLS files decide.
    let bare = secure.endpoints()[0].replace("https://", "");
    let guessed = to_secure.etcdrx().run(["backup", "--endpoints", &bare]);
    let nonsense = to_plain
        .etcdrx()
        .run(["backup", "--endpoints", "etcd://10.0.0.1:2379"]);

    assert_ends(
        &tls_to_plain,
        5,
        &[&https, "does not speak TLS: use http://", "hint:"],
    );
    assert_ends(&plain_to_tls, 5, &[&http, "speaks TLS: use https://"]);
    assert_ends(&guessed, 0, &[]);
    assert_ends(&nonsense, 2, &["the scheme must be http or https"]);
}
