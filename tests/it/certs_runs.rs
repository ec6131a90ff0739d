//! `etcdrx certs gen` killed, and run several times at once.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::certs_generate::{CLUSTER, files, generate, names};
use crate::setup::Workplace;

#[test]
fn a_killed_run_is_finished_by_the_next_one() {
    for delay in (0..20).map(|n| Duration::from_millis(n * 4)) {
        let workplace = Workplace::new();
        let arguments = ["certs", "gen", "--cluster", CLUSTER];
        let mut run = workplace.etcdrx().spawn(arguments);
        thread::sleep(delay);
        run.signal(Signal::SIGKILL);
        run.wait(Duration::from_secs(5));

        generate(&workplace, &[]).success();

        let names = names(&files(&workplace));
        let kept: Vec<_> = names.iter().filter(|name| !name.contains(".tmp")).collect();
        assert_eq!(kept.len(), 22, "{names:?}");
    }
}

#[test]
fn two_runs_at_once_never_mix_their_authorities() {
    for _ in 0..5 {
        let workplace = Workplace::new();
        let arguments = ["certs", "gen", "--cluster", CLUSTER];
        let runs = [0; 4].map(|_| workplace.etcdrx().spawn(arguments));

        let outputs = runs.map(|run| run.wait(Duration::from_secs(20)));

        assert!(outputs.iter().any(|output| output.code == 0), "{outputs:?}");
        assert!(
            outputs.iter().all(|output| [0, 4].contains(&output.code)),
            "{outputs:?}"
        );
        generate(&workplace, &[]).success();
    }
}
