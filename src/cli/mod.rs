//! The command line: parses, configures, runs, and turns every outcome into words and an exit code.

mod args;
mod backup;
mod certs;
mod check;
mod context;
mod copy;
mod diagnose;
mod drill;
mod encryption;
mod failure;
mod fetch;
mod hints;
mod init;
mod list;
mod look;
mod node;
mod pin;
mod print;
mod prune;
mod recover;
mod restore;
mod schedule;
mod screen;
mod several;
mod show;
mod signals;
mod snapshot;
mod tell;
mod upgrade;
mod verify;
mod whereabouts;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use nix::sys::stat::{Mode, umask};
use tracing_subscriber::EnvFilter;

use self::args::{Cli, Command, Global};
use self::context::Context;
use self::failure::{Exit, Failure};
use self::screen::Screen;

/// What a command returns: how well it went.
type Outcome = Result<Exit, Failure>;

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    // Backups hold secrets: what we create is ours alone, in every directory.
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    // Fails only if it was installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let screen = Screen::new(&cli.global);
    log_to_stderr(&cli.global, screen.colour);
    // One thread moves the bytes: waking another for every message of a stream costs more than it saves. What computes
    // has threads of its own.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::no_runtime)
        .and_then(|runtime| runtime.block_on(dispatch(cli, &screen)));
    let exit = outcome.unwrap_or_else(|failure| {
        screen.failure(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

async fn dispatch(cli: Cli, screen: &Screen) -> Outcome {
    let context = Context::new(&cli.global, screen, signals::interrupt()?);
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Check(args) => context.or_interrupt(check::run(&context, &args)).await,
        Command::Backup(args) => backup::run(&context, &args).await,
        Command::List(args) => context.or_interrupt(list::run(&context, &args)).await,
        Command::Show(args) => context.or_interrupt(show::run(&context, &args)).await,
        Command::Verify(args) => context.or_interrupt(verify::run(&context, &args)).await,
        Command::Prune(args) => prune::run(&context, &args).await,
        Command::Pin(args) => context.or_interrupt(pin::pin(&context, &args)).await,
        Command::Unpin(args) => context.or_interrupt(pin::unpin(&context, &args)).await,
        Command::Copy(args) => copy::run(&context, &args).await,
        Command::Fetch(args) => context.or_interrupt(fetch::run(&context, &args)).await,
        Command::Diagnose(args) => context.or_interrupt(diagnose::run(&context, &args)).await,
        Command::Node { command } => context.or_interrupt(node::run(&context, &command)).await,
        Command::Restore(args) => context.or_interrupt(restore::run(&context, &args)).await,
        Command::Recover(args) => recover::run(&context, &args).await,
        Command::Snapshot { command } => {
            context
                .or_interrupt(snapshot::run(&context, &command))
                .await
        }
        Command::Certs { command } => context.or_interrupt(certs::run(&context, &command)).await,
        Command::Drill { command } => drill::run(&context, &command).await,
        Command::Encryption { command } => {
            context
                .or_interrupt(encryption::run(&context, &command))
                .await
        }
        Command::Schedule { command } => schedule::dispatch(&context, &command).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "etcdrx", &mut script);
            screen.answer_bytes(&script);
            Ok(Exit::Done)
        }
        Command::Man { output_dir } => man(screen, output_dir.as_deref()),
        Command::Version => {
            print::version(screen);
            Ok(Exit::Done)
        }
    }
}

fn man(screen: &Screen, output_dir: Option<&Path>) -> Outcome {
    if let Some(directory) = output_dir {
        let written = clap_mangen::generate_to(Cli::command(), directory);
        written.map_err(|source| Failure::cannot_write(directory, &source))?;
        return Ok(Exit::Done);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.expect("rendering into memory does not fail");
    screen.answer_bytes(&page);
    Ok(Exit::Done)
}

fn log_to_stderr(global: &Global, colour: bool) {
    let level = match (global.quiet || global.json, global.verbose) {
        (true, _) => "etcdrx=error",
        (false, 0) => "etcdrx=warn",
        (false, 1) => "etcdrx=debug,warn",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_env("ETCDRX_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // Fails only if a logger is there already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .without_time()
        .with_target(false)
        .with_writer(io::stderr)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
