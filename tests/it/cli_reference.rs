//! `docs/cli.md` is what the program says of itself.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::scratch::Etcdrx;

const INTRODUCTION: &str = "\
# Command line

Everything that `etcdrx --help` and `etcdrx COMMAND --help` print, and nothing else. The page is made from the program and held
by a test: after a change, `ETCDRX_UPDATE=1 cargo test cli_reference` writes it anew. What the commands are for and how they go
together is in the [guide](guide.md); what they print with `--json` is in [json.md](json.md).

Every command also takes the global options of the first section; they are left out below.
";

/// Where the options begin that every command has.
const GLOBAL: &str = "\nGlobal options:\n";

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let said = reference();
    if std::env::var_os("ETCDRX_UPDATE").is_some() {
        fs::write(&path, said).unwrap();
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let first = said.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        written == said,
        "docs/cli.md is not what the program says: run `ETCDRX_UPDATE=1 cargo test cli_reference`\n\
         the first difference, program and page: {first:#?}"
    );
}

fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let whole = help(&[]);
    section(&mut page, "etcdrx", &whole);
    describe_below(&mut page, &[], &whole);
    page
}

/// Describes the commands that `help` lists, and those below them.
fn describe_below(page: &mut String, above: &[&str], help_above: &str) {
    for command in commands(help_above) {
        let path = [above, &[command]].concat();
        let text = help(&path);
        let (own, global) = text
            .split_once(GLOBAL)
            .expect("every command has the global options");
        assert!(
            help(&[]).contains(global.trim_end()),
            "the global options of {path:?} are others than those of etcdrx"
        );
        section(page, &format!("etcdrx {}", path.join(" ")), own);
        describe_below(page, &path, own);
    }
}

fn section(page: &mut String, title: &str, text: &str) {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    write!(page, "\n## {title}\n\n```text\n{}\n```\n", lines.join("\n")).unwrap();
}

/// The long help, at a width that no terminal decides, in an environment that shows no values.
fn help(command: &[&str]) -> String {
    let etcdrx = Etcdrx::new(env!("CARGO_BIN_EXE_etcdrx")).env("COLUMNS", "100");
    let arguments = command.iter().chain(&["--help"]);
    etcdrx.run(arguments).success().stdout
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}
