//! Options, their bounds and what they mean.
//!
//! Owns the reading of the command line and its defaults. Never does what it says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};

use crate::server::Setup;
use crate::settings::Settings;
use crate::world::WorldSize;

/// A load tester for servers that speak the minimal-Douyin contract
///
/// Every answer is checked: a scenario whose check fails has failed, however fast it was. Throughput is measured in a
/// closed loop, percentiles in an open one (--rate), where latency counts from when a request was due.
#[derive(Debug, Parser)]
#[command(
    version,
    name = "ovation-bench",
    after_help = "Exit codes: 0 all checks hold, 1 a check failed, 2 wrong usage, 3 the run could not be made"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure a scenario, or all of them
    Run(Box<RunArgs>),
    /// Compare two result files, with a verdict that respects the spread
    Compare(CompareArgs),
    /// Measure only what this machine can do at most
    Ceilings(CeilingArgs),
    /// Draw the report of a folder's result files again
    Report {
        /// The folder
        #[arg(long, value_name = "FOLDER", default_value = "bench-results")]
        out: PathBuf,
    },
    /// List the scenarios
    Scenarios,
    /// The bare server of the ceilings
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        workers: Option<usize>,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which one: `all`, or a name that `ovation-bench scenarios` lists
    pub scenario: String,
    /// The server's address; given twice, both are measured in turn and compared
    #[arg(long, value_name = "URL")]
    pub target: Vec<String>,
    /// Start this `ovation` for the run, over a copy of the world; twice, both in turn [default: the `ovation` beside
    /// this program, where no target is given]
    #[arg(long, value_name = "PROGRAM", conflicts_with = "target")]
    pub spawn: Vec<PathBuf>,
    /// The process of a target on this machine, for its CPU time and memory; once for each target
    #[arg(long, requires = "target")]
    pub pid: Vec<u32>,
    /// The data of a server that is started here; seeded once, kept below --out [default: S, with --quick tiny]
    #[arg(long, value_enum, ignore_case = true, conflicts_with = "target")]
    pub world: Option<WorldSize>,
    /// The database of a server that is started here, instead of SQLite; in the environment as `BENCH_DATABASE_URL`
    #[arg(long, value_name = "URL", conflicts_with = "target", hide_default_value = true)]
    pub database_url: Option<String>,
    /// A setting of the server that is started here, such as `workers=1`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "target")]
    pub settings: Vec<(String, String)>,
    /// Something the report should say about the target, such as `store=MariaDB`
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// How many accounts act [default: by scenario and world]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub users: Option<u32>,
    /// How many connections, each an actor of its own [default: by scenario and world]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: Option<u32>,
    /// Measured in each round [default: 30s, with --quick 2s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Cut off before each round [default: 10s, with --quick 500ms]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warm_up: Option<Duration>,
    /// How often [default: 5, with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: Option<u32>,
    /// Operations a second, of all users together: an open loop [default: a closed loop]
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// `fan-out`: of a hundred readers, those who stop reading in the second phase; 0 for no such phase
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=90))]
    pub stalled: u32,
    /// Of every choice that users make
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads of users; the server needs cores as well
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Cores on which the target hashes passwords, for the ceiling of logins [default: half of them, as Ovation does]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub hash_threads: Option<u32>,
    /// Small data and short rounds
    #[arg(long)]
    pub quick: bool,
    /// JSON lines on standard output
    #[arg(long)]
    pub json: bool,
    /// The folder for results, the report, worlds and logs
    #[arg(long, value_name = "FOLDER", default_value = "bench-results")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The result before
    pub a: PathBuf,
    /// The result after
    pub b: PathBuf,
    /// Exit with 1 when B is worse in anything
    #[arg(long)]
    pub fail_on_worse: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CeilingArgs {
    /// How many connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Measured in each round, at most 10s
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub duration: Duration,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Threads of users
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Threads that hash
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub hash_threads: u32,
    /// A folder on the disk that is measured
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
    /// JSON lines on standard output
    #[arg(long)]
    pub json: bool,
}

/// `30s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at]
        .parse()
        .map_err(|_| "a whole number and ms, s or m, such as 30s".to_owned())?;
    let duration = match &text[at..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err("a whole number and ms, s or m, such as 30s".to_owned()),
    };
    if duration > Duration::from_hours(24) {
        return Err("at most a day".to_owned());
    }
    Ok(duration)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number of operations a second".to_owned())?;
    if (0.01..=10_000_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("from 0.01 to 10000000".to_owned())
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE, such as workers=1")?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Err("a name of letters, digits, _ and -, then = and the value".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl CeilingArgs {
    /// The numbers of the measurement.
    pub fn settings(&self) -> Settings {
        Settings {
            users: None,
            connections: None,
            warm_up: Duration::from_secs(1),
            duration: self.duration.max(Duration::from_millis(50)),
            rounds: self.rounds as usize,
            rate: None,
            stalled: 0.0,
            seed: 1,
            threads: self.threads as usize,
            hash_threads: self.hash_threads as usize,
            world: None,
        }
    }
}

impl RunArgs {
    /// The numbers of the run.
    pub fn settings(&self) -> Settings {
        let quick = self.quick;
        let seconds = |given: Option<Duration>, usual, short| given.unwrap_or(if quick { short } else { usual });
        let own = self.target.is_empty();
        let half = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        Settings {
            users: self.users.map(|count| count as usize),
            connections: self.connections.map(|count| count as usize),
            warm_up: seconds(self.warm_up, Duration::from_secs(10), Duration::from_millis(500)),
            duration: seconds(self.duration, Duration::from_secs(30), Duration::from_secs(2))
                .max(Duration::from_millis(50)),
            rounds: self.rounds.unwrap_or(if quick { 3 } else { 5 }) as usize,
            rate: self.rate,
            stalled: f64::from(self.stalled),
            seed: self.seed,
            threads: self.threads as usize,
            hash_threads: self.hash_threads.map_or(half, |count| count as usize),
            world: own.then(|| self.world.unwrap_or(if quick { WorldSize::Tiny } else { WorldSize::S })),
        }
    }

    /// Programs to start; none where there are targets.
    pub fn setups(&self) -> anyhow::Result<Vec<Setup>> {
        if !self.target.is_empty() {
            return Ok(Vec::new());
        }
        let mut programs = self.spawn.clone();
        if programs.is_empty() {
            let own = std::env::current_exe().context("this program can't be found")?;
            let beside = own.with_file_name("ovation");
            ensure!(
                beside.exists(),
                "there is no `ovation` beside this program: build it, or give --spawn or --target"
            );
            programs.push(beside);
        }
        let database_url = self
            .database_url
            .clone()
            .or_else(|| std::env::var("BENCH_DATABASE_URL").ok());
        ensure!(
            database_url.is_none() || programs.len() == 1,
            "two servers can't share one database"
        );
        let setup = |binary: PathBuf| Setup {
            binary,
            database_url: database_url.clone(),
            settings: self.settings.clone(),
        };
        Ok(programs.into_iter().map(setup).collect())
    }

    /// What the report says about the target: what the caller knows, and what is known of a server of our own.
    pub fn labels(&self, setups: &[Setup]) -> Vec<(String, String)> {
        let mut labels = self.labels.clone();
        if let Some(setup) = setups.first() {
            let known = |name: &str| {
                self.settings
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone())
            };
            labels.push(("store".to_owned(), setup.store().to_owned()));
            let sync = known("ledger_sync").unwrap_or_else(|| "always".to_owned());
            labels.push(("durability".to_owned(), format!("ledger_sync {sync}")));
            labels.extend(
                self.settings
                    .iter()
                    .map(|(name, value)| (format!("setting {name}"), value.clone())),
            );
        }
        labels
    }

    /// For the report; the database's address may hold a password.
    pub fn flags() -> Vec<String> {
        let mut flags = Vec::new();
        let mut secret = false;
        for flag in std::env::args().skip(1) {
            let shown = match flag.split_once('=') {
                _ if std::mem::take(&mut secret) => "…".to_owned(),
                Some(("--database-url", _)) => "--database-url=…".to_owned(),
                _ => flag,
            };
            secret = shown == "--database-url";
            flags.push(shown);
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_read_or_refused() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "5", "s", "1h", "-1s", "99999999999999999999s", "2000m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(pair("store=Maria=DB"), Ok(("store".to_owned(), "Maria=DB".to_owned())));
        assert!(pair("store").is_err() && pair("=x").is_err() && pair("a b=x").is_err());
    }

    #[test]
    fn quick_is_short_and_small_unless_told_otherwise() {
        let parse = |line: &str| {
            let Command::Run(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
                unreachable!()
            };
            args.settings()
        };
        let quick = parse("b run all --quick");
        assert_eq!((quick.rounds, quick.world), (3, Some(WorldSize::Tiny)));
        let told = parse("b run feed --quick --rounds 7 --world S --duration 1s");
        assert_eq!(
            (told.rounds, told.world, told.duration),
            (7, Some(WorldSize::S), Duration::from_secs(1))
        );
        assert_eq!(parse("b run feed --target http://127.0.0.1:1").world, None);
        assert!(Cli::try_parse_from("b run feed --target http://h --spawn x".split(' ')).is_err());
        assert!(Cli::try_parse_from("b run feed --pid 7".split(' ')).is_err());
    }
}
