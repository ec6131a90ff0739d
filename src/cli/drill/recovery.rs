//! `etcdrx drill recovery`

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, value_parser};
use etcdrx::drill::backup::{fitting, other_version};
use etcdrx::drill::draw::{Decided, Drawn, draw};
use etcdrx::drill::engine::recover;
use etcdrx::drill::{Break, Exercise, Plan, Rehearsal, Seed, Setting, Site, rehearse};
use etcdrx::recovery::Scenario;
use etcdrx::sandbox::{Program, Search};

use super::super::Outcome;
use super::super::args::RepositoryArgs;
use super::super::context::{Context, now, open_catalog};
use super::super::failure::{Exit, Failure};
use super::{ScratchArgs, program_folders, rehearsed};

/// How many writes each client gets acknowledged before anything is broken.
const WRITES: usize = 50;
/// How long members may take to serve again, once the recovery says that they do.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where each of them has to read what a backup holds, which may be large.
const SEEDED_PATIENCE: Duration = Duration::from_mins(5);

/// `drill recovery`
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// What happens to the scratch cluster; with --runs, chance decides what is not said
    #[arg(
        long,
        value_name = "follower|leader|majority|total|nospace",
        required_unless_present = "runs"
    )]
    pub(crate) scenario: Option<Scenario>,

    /// Begin with a backup instead of an empty cluster; its keys must be there in the end, too. Implies --tls
    #[arg(long, value_name = "BACKUP|latest")]
    pub(crate) from: Option<String>,

    /// How many members it has [default: 3]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(3..=7))]
    pub(crate) members: Option<u8>,

    /// Give it certificates, on both ports
    #[arg(long)]
    pub(crate) tls: bool,

    /// How its members are broken [default: kill for leader, full for nospace, else disk-loss]
    #[arg(long = "break", value_name = "HOW")]
    pub(crate) breakage: Option<Break>,

    /// How many clients write meanwhile
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=512))]
    pub(crate) writers: u16,

    /// Rehearse so many times, each on a new cluster, and print a table
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=10_000))]
    pub(crate) runs: Option<u64>,

    /// Where chance begins: the same seed breaks the same; each further run has the next one
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Leave the scratch cluster's files, and say where: its logs, and the journal of the recovery
    #[arg(long)]
    pub(crate) keep: bool,

    #[command(flatten)]
    pub(crate) scratch: ScratchArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &RecoveryArgs) -> Outcome {
    let folders = program_folders();
    let search = Search {
        program: args.scratch.etcd.as_deref(),
        folders: &folders,
    };
    let from = context.or_stop(seed(context, args)).await??;
    let program = program(context, &search, from.as_deref()).await?;
    let mut all_ok = true;
    for number in 0..args.runs.unwrap_or(1) {
        let seed = args.seed.wrapping_add(number);
        let drawn = drawn(args, seed)?;
        let rehearsal = one(context, args, drawn, &program, from.as_ref()).await?;
        all_ok &= rehearsal.is_ok();
        let told = rehearsed::Told {
            rehearsal: &rehearsal,
            members: drawn.members,
            etcd_version: program.version(),
            from: from.as_deref(),
            seed,
        };
        match (context.screen.json, args.runs.is_some()) {
            (true, _) => context.screen.answer_json_line(&told.document()),
            (false, false) => context.screen.answer(&told.text()),
            (false, true) => {
                if number == 0 {
                    context.screen.answer(&rehearsed::heading());
                }
                context.screen.answer(&told.row());
            }
        }
    }
    Ok(match all_ok {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

/// The backup to begin with, brought here once for all runs.
async fn seed(context: &Context<'_>, args: &RecoveryArgs) -> Result<Option<Arc<Seed>>, Failure> {
    let RepositoryArgs {
        repository,
        cluster,
    } = &args.repository;
    let Some(wanted) = &args.from else {
        return match repository.is_some() || cluster.is_some() {
            true => Err(Failure::repository_without_from()),
            false => Ok(None),
        };
    };
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(wanted, &folder)?;
    let directory = args.scratch.directory();
    let seed = Seed::fetch(&folder, backup, &directory, context.screen).await?;
    context.screen.clear();
    Ok(Some(Arc::new(seed)))
}

/// The etcd that all members run: one that reads the backup, if there is one.
async fn program(
    context: &Context<'_>,
    search: &Search<'_>,
    seed: Option<&Seed>,
) -> Result<Program, Failure> {
    let Some(seed) = seed else {
        return Ok(Program::find(search, None).await?);
    };
    let program = fitting(search, seed.etcd_version()).await?;
    if let Some(note) = other_version(&program, seed.etcd_version()) {
        context.screen.note(&format!("note: {}", note.message));
    }
    Ok(program)
}

/// What is rehearsed: by the flags, and by chance where these leave something open.
fn drawn(args: &RecoveryArgs, seed: u64) -> Result<Drawn, Failure> {
    let by_chance = args.runs.is_some();
    let usual = args.scenario.filter(|_| !by_chance).map(Break::of);
    let decided = Decided {
        scenario: args.scenario,
        breakage: args.breakage.or(usual),
        members: args.members.map(usize::from).or((!by_chance).then_some(3)),
    };
    let has_tls = args.tls || args.from.is_some();
    if let Some(breakage) = args.breakage.filter(|one| one.needs_tls() && !has_tls) {
        return Err(Failure::break_needs_tls(breakage));
    }
    draw(seed, decided).ok_or_else(|| Failure::no_such_break(args.scenario, args.breakage))
}

async fn one(
    context: &Context<'_>,
    args: &RecoveryArgs,
    drawn: Drawn,
    program: &Program,
    seed: Option<&Arc<Seed>>,
) -> Result<Rehearsal, Failure> {
    let screen = context.screen;
    let plan = Plan {
        program,
        members: drawn.members,
        tls: args.tls,
        seed,
        directory: &args.scratch.directory(),
        now: now(),
    };
    let with = seed.map_or_else(String::new, |seed| format!(" with {}", seed.backup()));
    screen.note(&format!(
        "starting {} members of etcd {}{with}",
        drawn.members,
        program.version()
    ));
    let site = context.or_stop(Site::start(&plan)).await??;
    let exercise = Exercise {
        scenario: drawn.scenario,
        breakage: drawn.breakage,
        writers: usize::from(args.writers),
        writes: usize::from(args.writers) * WRITES,
        pick: drawn.pick,
        patience: seed.map_or(PATIENCE, |_| SEEDED_PATIENCE),
    };
    let setting = Setting {
        now,
        progress: screen,
        interrupt: &context.interrupt,
    };
    let engine = async |site: &Site, scenario| recover(site, scenario, &setting).await;
    let rehearsal = rehearse(&site, exercise, &engine, &setting).await;
    if args.keep && !context.interrupt.is_cancelled() {
        let kept = site.keep()?;
        screen.note(&format!("the scratch cluster lies in {}", kept.display()));
    }
    Ok(rehearsal?)
}
