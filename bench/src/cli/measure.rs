//! `run` and `ceilings`: from options to files.

use anyhow::{Context as _, ensure};

use super::args::{CeilingArgs, RunArgs};
use crate::bare::Bare;
use crate::ceilings::{Bench, Ceiling, CeilingRound};
use crate::compare;
use crate::display::Display;
use crate::drive::Driver;
use crate::environment::Environment;
use crate::http::Target;
use crate::outcome::CeilingOutcome;
use crate::peer::Peer;
use crate::report;
use crate::run::Runner;
use crate::scenario::{self, Scenario};
use crate::server::Setup;
use crate::settings::Settings;
use crate::world::{World, WorldSize};

/// Measures scenarios and leaves their files. `false` when a check failed.
pub async fn run(args: RunArgs) -> anyhow::Result<bool> {
    let scenarios = scenario::find(&args.scenario)?;
    let (settings, setups) = (args.settings(), args.setups()?);
    ensure!(
        args.pid.is_empty() || args.pid.len() == args.target.len(),
        "--pid must be given once for each target"
    );
    ensure!(
        args.target.len().max(setups.len()) <= 2,
        "at most two servers take turns"
    );
    std::fs::create_dir_all(&args.out).with_context(|| format!("{} can't be made", args.out.display()))?;
    raise_files();
    let display = Display::new(args.json);
    let runner = Runner {
        environment: Environment::read(RunArgs::flags(), args.labels(&setups)),
        program: std::env::current_exe().context("this program can't be found")?,
        out: &args.out,
        display: &display,
        settings,
    };
    if runner.environment.debug_build {
        display.say("this is a debug build: its checks count, its figures do not");
    }
    let mut passed = true;
    for scenario in scenarios {
        passed &= one(&args, &setups, &runner, scenario).await?;
    }
    display.end();
    let file = report::write(&args.out)?;
    display.result(
        &format!("report: {}", file.display()),
        &serde_json::json!({"event": "report", "file": file}),
    );
    Ok(passed)
}

/// Measures one scenario and says how it went.
async fn one(args: &RunArgs, setups: &[Setup], runner: &Runner<'_>, scenario: &dyn Scenario) -> anyhow::Result<bool> {
    let (name, display) = (scenario.name(), runner.display);
    let peers = peers(args, setups, &runner.settings, display)?;
    let outcome = runner.run(scenario, peers).await;
    let outcome = outcome.with_context(|| format!("{name} could not be run"))?;
    let file = args.out.join(format!("{name}.json"));
    outcome.write(&file)?;
    let event = serde_json::json!({"event": "result", "scenario": name, "passed": outcome.passed, "file": file});
    display.result(&report::text(&outcome), &event);
    if outcome.peers.len() == 2 {
        let comparison = compare::targets(&outcome);
        display.result(&comparison.table(), &serde_json::to_value(&comparison)?);
    }
    Ok(outcome.passed)
}

fn peers(args: &RunArgs, setups: &[Setup], settings: &Settings, display: &Display) -> anyhow::Result<Vec<Peer>> {
    let names = ["A", "B"];
    let several = args.target.len().max(setups.len()) > 1;
    let name_of = |at: usize| {
        if several {
            names[at % 2].to_owned()
        } else {
            "target".to_owned()
        }
    };
    let mut peers = Vec::new();
    for (at, url) in args.target.iter().enumerate() {
        let pid = args.pid.get(at).copied();
        peers.push(Peer::running(
            name_of(at),
            Target::parse(url)?,
            pid,
            args.seed,
            &args.out,
        ));
    }
    for (at, setup) in setups.iter().enumerate() {
        let size = settings.world.unwrap_or(WorldSize::Tiny);
        display.say(&format!("world {} for {}", size.name(), setup.store()));
        let world = World::prepare(setup, size, args.seed, &args.out)?;
        peers.push(Peer::spawn(name_of(at), setup.clone(), world, &args.out)?);
    }
    Ok(peers)
}

/// Measures the machine.
pub async fn ceilings(args: &CeilingArgs) -> anyhow::Result<bool> {
    raise_files();
    let (display, settings) = (Display::new(args.json), args.settings());
    let bare = Bare::start(&std::env::current_exe()?, None)?;
    let (ticks, seconds) = tokio::sync::mpsc::unbounded_channel();
    let driver = Driver {
        threads: settings.threads,
        ticks,
    };
    let bench = Bench {
        bare: &bare,
        settings: &settings,
        driver: &driver,
        connections: args.connections as usize,
        page_bytes: None,
        out: &args.out,
    };
    let outcomes = tokio::select! {
        outcomes = in_turn(&bench, &display) => outcomes?,
        () = display.watch(seconds) => Vec::new(),
    };
    display.end();
    let value = serde_json::json!({"event": "ceilings", "ceilings": outcomes});
    display.result(&report::ceilings_text(&outcomes), &value);
    Ok(true)
}

async fn in_turn(bench: &Bench<'_>, display: &Display) -> anyhow::Result<Vec<CeilingOutcome>> {
    let mut all: Vec<(Ceiling, Vec<CeilingRound>)> = Ceiling::ALL.map(|ceiling| (ceiling, Vec::new())).into();
    for _ in 0..bench.settings.rounds {
        for (ceiling, rounds) in &mut all {
            display.begin(ceiling.title(), bench.length());
            rounds.push(ceiling.measure(bench).await?);
        }
    }
    let outcomes = all.iter();
    Ok(outcomes
        .filter_map(|(ceiling, rounds)| CeilingOutcome::of(*ceiling, rounds))
        .collect())
}

/// Every connection is a descriptor: as many as the hard limit allows.
fn raise_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it stays low, connecting says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
