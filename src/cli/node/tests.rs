//! An action and the words for it are one and the same.

use clap::Parser;
use etcdrx::config::{Service, Settings};
use etcdrx::id::Digest;
use etcdrx::node::{Action, Directories, NewCluster};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::cli::args::{Cli, Command};

/// What may stand in a configuration, and so in an action: also what looks like a flag, is empty, or means something to a shell.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9/.=:,_-]{1,12}",
        1 => "-{1,2}[a-z=]{0,6}",
        1 => "[ \"'$*é#]{0,6}",
    ]
}

fn path() -> impl Strategy<Value = std::path::PathBuf> {
    word().prop_map(|word| format!("/{word}").into())
}

fn directories() -> impl Strategy<Value = Directories> {
    (path(), option::of(path())).prop_map(|(data_dir, wal_dir)| Directories { data_dir, wal_dir })
}

fn unit() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9@.-]{0,8}"
}

fn service() -> impl Strategy<Value = Service> {
    let words = || vec(word(), 1..4);
    prop_oneof![
        unit().prop_map(|unit| Service::Systemd { unit }),
        path().prop_map(|manifest| Service::StaticPod { manifest }),
        (words(), words(), words()).prop_map(|(start, stop, status)| Service::Command {
            start,
            stop,
            status
        }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    prop_oneof![
        path().prop_map(|path| Settings::ConfigFile { path }),
        path().prop_map(|path| Settings::EnvironmentFile { path }),
        unit().prop_map(|unit| Settings::Unit { unit }),
        path().prop_map(|path| Settings::Manifest { path }),
    ]
}

fn of_the_service() -> impl Strategy<Value = Action> {
    let inspect = (
        directories(),
        option::of(service()),
        option::of(settings()),
        any::<bool>(),
    );
    let stop = (service(), directories(), any::<bool>(), word());
    let configure = (settings(), word(), word(), option::of(word()), word());
    prop_oneof![
        inspect.prop_map(|(directories, service, settings, quick)| Action::Inspect {
            directories,
            service,
            settings,
            quick
        }),
        stop.prop_map(|(service, directories, kill, run)| Action::Stop {
            service,
            directories,
            kill,
            run
        }),
        (service(), word()).prop_map(|(service, run)| Action::Start { service, run }),
        (path(), any::<[u8; 32]>()).prop_map(|(path, bytes)| Action::Receive {
            path,
            sha256: Digest(bytes)
        }),
        path().prop_map(|path| Action::Send { path }),
        configure.prop_map(
            |(settings, initial_cluster, state, token, run)| Action::Configure {
                settings,
                initial_cluster,
                state,
                token,
                run
            }
        ),
        (vec(word(), 1..5), word()).prop_map(|(command, run)| Action::Command { command, run }),
    ]
}

fn on_data() -> impl Strategy<Value = Action> {
    let cluster = (word(), word(), word()).prop_map(|(initial_cluster, token, name)| NewCluster {
        initial_cluster,
        token,
        name,
    });
    let flags = (any::<bool>(), option::of(any::<i64>()), any::<bool>());
    let stage = (path(), directories(), cluster, flags, word());
    prop_oneof![
        stage.prop_map(
            |(snapshot, directories, cluster, flags, run)| Action::Stage {
                snapshot,
                unproven: flags.0,
                directories,
                cluster,
                bump_revision: flags.1,
                clear_alarms: flags.2,
                run
            }
        ),
        (directories(), word())
            .prop_map(|(directories, run)| Action::SetAside { directories, run }),
        (directories(), word()).prop_map(|(directories, run)| Action::Place { directories, run }),
        (directories(), word()).prop_map(|(directories, run)| Action::PutBack { directories, run }),
        (directories(), word()).prop_map(|(directories, run)| Action::Unstage { directories, run }),
        (directories(), option::of(path()), path(), word()).prop_map(
            |(directories, etcd, output, run)| Action::Salvage {
                directories,
                etcd,
                output,
                run
            }
        ),
        (directories(), option::of(path()), word()).prop_map(|(directories, etcd, run)| {
            Action::ForceNewCluster {
                directories,
                etcd,
                run,
            }
        }),
        (directories(), path(), word()).prop_map(|(directories, output, run)| {
            Action::CopyDatabase {
                directories,
                output,
                run,
            }
        }),
    ]
}

/// What the command line makes of the words of an action.
fn parsed(words: &[String]) -> Result<Action, String> {
    let words = ["etcdrx"]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    match cli.command {
        Command::Node { command } => Action::try_from(&command),
        other => Err(format!("{other:?}")),
    }
}

proptest! {
    #[test]
    fn what_etcdrx_sends_is_what_a_person_would_type(action in prop_oneof![of_the_service(), on_data()]) {
        let words = action.words();
        prop_assert_eq!(parsed(&words), Ok(action), "{:?}", words);
    }
}
