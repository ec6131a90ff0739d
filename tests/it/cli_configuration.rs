//! What is typed, configured or set wrongly, and which of the three counts.

use std::fs;

use crate::scratch::ports;
use crate::setup::{Workplace, assert_ends, etcdrx};

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    let workplace = Workplace::new();
    let text = "[cluster]\nname = \"a\"\n\n[retention]\nkeep_dayly = 3\n";
    fs::write(workplace.path("etcdrx.toml"), text).unwrap();

    for arguments in [vec!["backup"], vec!["list"], vec!["prune", "--dry-run"]] {
        let refused = workplace.etcdrx().run(arguments);

        assert_ends(
            &refused,
            2,
            &[
                "error: etcdrx.toml, line 5: there is no key `retention.keep_dayly`; did you mean `keep_daily`?",
                "hint: nothing was done",
            ],
        );
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn a_file_that_is_not_toml_or_holds_nonsense_is_refused_with_the_place() {
    let workplace = Workplace::new();
    let cases = [
        ("[cluster\nname = \"a\"\n", "line 1"),
        ("[retention]\nkeep_last = \"many\"\n", "line 2"),
        (
            "[backup]\n\ntimeout = \"soon\"\n",
            "`soon` is not a duration",
        ),
        (
            "[backup]\ncompression_level = 40\n",
            "zstd level from 1 to 19",
        ),
        (
            "[cluster]\nname = \"../x\"\n",
            "`../x` cannot name a cluster",
        ),
    ];

    for (text, words) in cases {
        fs::write(workplace.path("etcdrx.toml"), text).unwrap();
        let refused = workplace.etcdrx().run(["list"]);

        assert_ends(&refused, 2, &["error: ", words, "hint: "]);
    }
}

#[test]
fn what_is_missing_is_named() {
    let workplace = Workplace::new();

    let no_file = workplace.etcdrx().run(["--config", "other.toml", "list"]);
    let no_repository = workplace.etcdrx().run(["list"]);
    let no_such_flag = workplace.etcdrx().run(["list", "--everything"]);
    let no_such_verb = workplace.etcdrx().run(["dump"]);
    let nothing = workplace.etcdrx().run([""; 0]);

    assert_ends(
        &no_file,
        2,
        &[
            "cannot read the configuration other.toml",
            "hint: `etcdrx init`",
        ],
    );
    assert_ends(
        &no_repository,
        2,
        &["no repository is configured", "--repository"],
    );
    assert_ends(&no_such_flag, 2, &["--everything", "Usage: etcdrx list"]);
    assert_ends(&no_such_verb, 2, &["'dump'", "Usage: etcdrx"]);
    assert_ends(&nothing, 2, &["Usage: etcdrx", "Exit codes:"]);
}

#[test]
fn a_failure_is_one_json_document_where_json_is_asked_for() {
    let workplace = Workplace::new();

    let failed = workplace.etcdrx().run(["--json", "list"]);

    assert_eq!(failed.code, 2);
    assert_eq!(failed.stdout, "");
    let error = &failed.error_json()["error"];
    assert_eq!(error["code"], "usage");
    assert_eq!(error["message"], "no repository is configured");
    assert_eq!(error["causes"], serde_json::json!([]));
    let hint = error["hints"][0].as_str().unwrap();
    assert!(hint.contains("ETCDRX_REPOSITORY_URL"), "{hint}");
    assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
}

/// Four places name an endpoint that is dead: the message tells which one was asked.
#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let workplace = Workplace::new();
    let [file, etcdctl, ours, flag] = [(); 4].map(|()| format!("http://{}", ports::free_address()));
    let settings = workplace.bare_settings();
    workplace.configure(&settings.set("cluster.endpoints", vec![file.clone()]));
    let with_etcdctl = workplace.etcdrx().env("ETCDCTL_ENDPOINTS", &etcdctl);
    let with_ours = with_etcdctl.clone().env("ETCDRX_CLUSTER_ENDPOINTS", &ours);
    let by_flag = ["backup", "--endpoints", &flag];

    let asked = [
        (workplace.etcdrx().run(["backup"]), &file),
        (with_etcdctl.run(["backup"]), &etcdctl),
        (with_ours.run(["backup"]), &ours),
        (with_ours.run(by_flag), &flag),
    ];

    for (output, endpoint) in asked {
        assert_ends(&output, 5, &[&format!("  {endpoint}: connection refused")]);
        let named = output.stderr.matches("http://").count();
        assert_eq!(named, 1, "{output:?}");
    }
}

#[test]
fn the_repository_and_the_folder_come_from_the_same_three_places() {
    let workplace = Workplace::new();
    let places = ["file", "environment", "flag"];
    for place in places {
        fs::create_dir(workplace.path(place)).unwrap();
    }
    let url = |place: &str| format!("file://{}", workplace.path(place).display());
    let settings = workplace.bare_settings();
    workplace.configure(&settings.set("repository.url", url("file")));
    let with_variable = workplace
        .etcdrx()
        .env("ETCDRX_REPOSITORY_URL", url("environment"));
    let by_flag = url("flag");
    let by_flag = ["list", "--repository", &by_flag, "--cluster", "other"];

    let looked = [
        (workplace.etcdrx().run(["list"]), "file/scratch"),
        (with_variable.run(["list"]), "environment/scratch"),
        (with_variable.run(by_flag), "flag/other"),
    ];

    for (output, folder) in looked {
        let output = output.success();
        assert!(
            output.stdout.contains("no backups in file:///"),
            "{output:?}"
        );
        assert!(output.stdout.contains(folder), "{output:?}");
    }
}

#[test]
fn a_variable_that_sets_no_key_is_refused() {
    let workplace = Workplace::new();
    workplace.configure(&workplace.bare_settings());
    let with = |name: &str, value: &str| workplace.etcdrx().env(name, value).run(["list"]);

    let misspelt = with("ETCDRX_RETENTION_KEEP_DAYLY", "3");
    let no_number = with("ETCDRX_RETENTION_KEEP_LAST", "many");

    assert_ends(
        &misspelt,
        2,
        &[
            "ETCDRX_RETENTION_KEEP_DAYLY",
            "did you mean `ETCDRX_RETENTION_KEEP_DAILY`?",
        ],
    );
    assert_ends(
        &no_number,
        2,
        &["ETCDRX_RETENTION_KEEP_LAST: `many` is not a whole number"],
    );
}

#[test]
fn the_version_and_the_help_need_no_configuration() {
    let version = etcdrx().run(["version"]).success();
    let help = etcdrx().run(["backup", "--help"]).success();

    assert_eq!(
        version.stdout.trim(),
        format!("etcdrx {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(help.stdout.contains("--no-read-back"), "{help:?}");
}
