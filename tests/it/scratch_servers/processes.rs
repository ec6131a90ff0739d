//! Processes, ports and programs.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scratch::{Etcdrx, Server, ports, process, program};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_port_is_given_once() {
    let threads: Vec<_> = (0..8)
        .map(|_| thread::spawn(|| (0..50).map(|_| ports::free_port()).collect::<Vec<_>>()))
        .collect();

    let ports: Vec<u16> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();

    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 400);
}

#[test]
fn a_server_that_dies_at_its_start_shows_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = Server::start("sh", shell("echo no such flag >&2; exit 2"), &log);

    let address = ports::free_address();
    let panic = catch_unwind(AssertUnwindSafe(|| server.wait_for_port(address, LIMIT)));

    let panic = panic.unwrap_err();
    let words = panic.downcast_ref::<String>().unwrap();
    assert!(
        words.contains("no such flag") && words.contains("exit status: 2"),
        "{words}"
    );
}

#[test]
fn a_stopped_server_ends_by_itself_and_a_dropped_one_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");

    let polite = Server::start(
        "sh",
        shell("trap 'exit 7' TERM; echo pid=$$; while :; do sleep 0.05; done"),
        &log,
    );
    wait_for_number(&polite, "pid=");
    let status = polite.stop().expect("it stops");
    let server = Server::start("sh", shell("sleep 1000 & echo child=$!; wait"), &log);
    let child = wait_for_number(&server, "child=");
    drop(server);

    assert_eq!(process::exit_code(status), 7);
    assert!(ends(child), "the child still runs");
}

#[test]
fn servers_die_with_the_process_that_started_them() {
    if process::find_program("setpriv").is_none() {
        crate::scratch::tools::skip("servers_die_with_the_process", "setpriv");
        return;
    }
    let test_binary = std::env::current_exe().unwrap();
    let mut command = process::command(&test_binary);
    command.args(["--ignored", "--exact", "--nocapture"]);
    command.arg("scratch_servers::processes::a_server_that_waits_to_be_orphaned");
    let mut parent = program::start(command);
    parent.wait_for("orphan=", LIMIT);
    let orphan = loop {
        if let Some(orphan) = number_after(&parent.stdout(), "orphan=") {
            break orphan;
        }
    };

    parent.signal(Signal::SIGKILL);
    let output = parent.wait(LIMIT);

    assert_eq!(output.code, 128 + 9);
    assert!(
        ends(orphan),
        "the server outlives the process that started it"
    );
}

#[test]
#[ignore = "run by servers_die_with_the_process_that_started_them, which kills it"]
fn a_server_that_waits_to_be_orphaned() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = Server::start("sh", shell("echo pid=$$; exec sleep 1000"), &log);
    // Not before it runs: setpriv may not have got to its work yet.
    wait_for_number(&server, "pid=");
    // Two lines: the number is whole once the second is there.
    println!("orphan={}\n", server.pid());
    server.wait(LIMIT);
}

#[test]
fn a_program_runs_in_a_clean_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program = Etcdrx::new("/bin/sh")
        .directory(folder.path())
        .env("SAID", "yes");

    let output = program.run(["-c", "env; pwd; cat; echo trouble >&2; exit 3"]);

    let names = output
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='));
    let names: BTreeSet<&str> = names.map(|(name, _)| name).collect();
    let allowed = [
        "HOME", "PATH", "PWD", "SAID", "SHLVL", "TMPDIR", "OLDPWD", "_",
    ];
    let allowed = allowed
        .into_iter()
        .chain(["RUST_BACKTRACE", "LLVM_PROFILE_FILE"]);
    assert!(names.is_subset(&allowed.collect()), "{names:?}");
    assert!(output.stdout.contains(&folder.path().display().to_string()));
    assert_eq!((output.code, output.stderr.as_str()), (3, "trouble\n"));
}

#[test]
fn a_program_in_the_background_takes_signals_and_is_bounded() {
    let program = Etcdrx::new("/bin/sh").limit(Duration::from_millis(300));

    let mut running = program.spawn([
        "-c",
        // Not INT: whoever starts the tests in the background of a shell lets them ignore that, and no shell can trap it then.
        "trap 'echo bye; kill $!; exit 130' TERM; sleep 1000 & echo up; wait",
    ]);
    running.wait_for("up", LIMIT);
    running.signal(Signal::SIGTERM);
    let output = running.wait(LIMIT);
    let hanging = catch_unwind(AssertUnwindSafe(|| {
        program.run(["-c", "echo stuck; sleep 1000"])
    }));

    assert_eq!((output.code, output.stdout.as_str()), (130, "up\nbye\n"));
    let panic = hanging.unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("stuck"));
}

#[test]
fn json_is_read_from_stdout_and_from_the_end_of_stderr() {
    let program = Etcdrx::new("/bin/sh");

    let one = program.run([
        "-c",
        r#"echo '{"a":1}'; echo warn >&2; echo '{"error":{}}' >&2"#,
    ]);
    let lines = program.run(["-c", r#"echo '{"n":1}'; echo '{"n":2}'"#]);

    assert_eq!(one.json()["a"], 1);
    assert!(one.error_json()["error"].is_object());
    assert_eq!(lines.json_lines()[1]["n"], 2);
}

fn shell(script: &str) -> std::process::Command {
    let mut command = process::command(Path::new("/bin/sh"));
    command.args(["-c", script]);
    command
}

fn wait_for_number(server: &Server, word: &str) -> i32 {
    loop {
        if let Some(number) = number_after(&server.log(), word) {
            return number;
        }
        server.assert_running();
        thread::sleep(Duration::from_millis(5));
    }
}

fn number_after(text: &str, word: &str) -> Option<i32> {
    let (number, _) = text.split_once(word)?.1.split_once('\n')?;
    number.trim().parse().ok()
}

fn ends(pid: i32) -> bool {
    let runs = || kill(Pid::from_raw(pid), None).is_ok() && !is_zombie(pid);
    (0..400).any(|_| {
        thread::sleep(Duration::from_millis(5));
        !runs()
    })
}

/// Nobody may wait for an orphan where this runs as process 1 of a container.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
