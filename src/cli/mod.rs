//! The command line.
//!
//! Owns what may be typed, what it means and which exit code comes back. Never does the work of a command: that is in
//! `commands`, and the settings are `config`'s.

pub mod commands;
mod healthcheck;
mod secret;
mod show;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::config::{Config, ConfigError, Flags};

pub use healthcheck::healthcheck;
pub use secret::{Secret, read_new_password};
pub use show::{print_config, print_line};

static VERSION: LazyLock<String> = LazyLock::new(crate::version::line);

/// Everything that may stand on the command line. Without a command it is `serve`.
#[derive(Debug, Parser)]
#[command(name = "ovation", version = VERSION.as_str(), about = "A real-time short-video social server")]
struct CommandLine {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Settings that have a flag; the others come from the file or the environment (docs/configuration.md).
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub struct Options {
    /// The TOML file with settings [default: `OVATION_CONFIG`, else ./ovation.toml if there]
    // Not clap's `env`: that refuses an empty variable, which elsewhere is none.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where HTTP listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", global = true)]
    listen: Option<String>,
    /// The folder for store, media and keys [default: ./data]
    #[arg(long, value_name = "FOLDER", global = true)]
    data_dir: Option<String>,
    /// A MySQL database instead of SQLite; others can see flags, so better `OVATION_DATABASE_URL`
    #[arg(long, value_name = "URL", global = true)]
    database_url: Option<Secret>,
    /// The base of media addresses as clients see it [default: from the request]
    #[arg(long, value_name = "URL", global = true)]
    public_url: Option<String>,
    /// Serve the echo endpoint for conformance tests, `GET /ws/echo`
    #[arg(long, global = true)]
    ws_echo: bool,
}

impl Options {
    /// What the configuration needs to know of the command line.
    pub fn flags(&self) -> Flags {
        let values = [
            ("listen", self.listen.clone()),
            ("data_dir", self.data_dir.clone()),
            (
                "database_url",
                self.database_url.as_ref().map(|url| url.expose().to_owned()),
            ),
            ("public_url", self.public_url.clone()),
            ("ws_echo", self.ws_echo.then(|| "on".to_owned())),
        ];
        let values = values
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)))
            .collect();
        Flags {
            file: self.config.clone(),
            values,
        }
    }
}

/// What the process was asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (also without any command)
    Serve(ServeArgs),
    /// Show or change the database's schema; `serve` applies what is missing by itself
    #[command(subcommand)]
    Migrate(MigrateAction),
    /// Fill the store with a large, reproducible world
    Seed(SeedArgs),
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigAction),
    /// Create a user or set a password
    #[command(subcommand)]
    User(UserAction),
    /// Recount every counter from the rows; exit code 3 when one was wrong
    Verify(VerifyArgs),
    /// Look into the ledger of likes that are not in the database yet
    #[command(subcommand)]
    Ledger(LedgerAction),
    /// Show version, commit, target and stores
    Version,
    /// Ask the running server whether it is ready; exit code 0 or 1
    Healthcheck,
    /// Decode one frame, for the server itself
    #[command(hide = true)]
    CoverChild {
        /// Whatever the server's cover maker hands over.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// How to serve, beyond the settings.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
pub struct ServeArgs {
    /// Fill an empty store with a small world to try things out
    #[arg(long)]
    pub demo: bool,
    /// Allow --demo where others can reach it: its accounts share one password
    #[arg(long, requires = "demo")]
    pub demo_anywhere: bool,
}

impl ServeArgs {
    /// The demo world's accounts share one password, printed at start: fit for this machine only, unless asked for.
    pub fn check(&self, config: &Config) -> Result<(), UsageError> {
        if self.demo && !self.demo_anywhere && !config.listen.ip().is_loopback() {
            return Err(UsageError(format!(
                "--demo makes accounts that share one password, and others can reach {}; listen on 127.0.0.1, or add \
                 --demo-anywhere if that is what you want",
                config.listen
            )));
        }
        Ok(())
    }
}

/// `ovation migrate …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum MigrateAction {
    /// List the migrations and which of them are applied
    Status,
    /// Apply what is missing
    Run,
    /// Take back the last one; data in what it made is lost
    Revert,
}

/// `ovation verify`: beside a running server it asks that server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Args)]
pub struct VerifyArgs {
    /// Set wrong counters to what the rows say; the server must be stopped
    #[arg(long)]
    pub repair: bool,
}

/// `ovation ledger …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum LedgerAction {
    /// Show how much it holds, from when, and what was set aside
    Stat,
    /// Print every entry as a line of JSON
    Dump,
    /// Keep what is sound of a damaged ledger and set the rest aside
    Repair,
    /// Go on with a new ledger where the old one is lost, and with it the likes that only it held
    Begin,
}

/// Counters were wrong: an outcome with an exit code of its own, 3, so that a script can tell it from a failure.
#[derive(Debug, thiserror::Error)]
pub enum Verdict {
    /// And still are.
    #[error("{0} counters differ from their rows; `ovation verify --repair` sets them right")]
    Wrong(usize),
    /// And were set right.
    #[error("{0} counters differed from their rows and were set right")]
    Mended(usize),
}

/// `ovation config …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigAction {
    /// Say whether the settings are usable
    Check,
    /// Show every setting and where it came from; passwords are masked
    Print,
}

/// `ovation user …`; the password comes from standard input, never from an argument that others could see.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum UserAction {
    /// Create a user; asks for the password, or reads one line from a pipe
    Create {
        /// The new user's name
        name: String,
    },
    /// Set a user's password and end every login of it
    Passwd {
        /// The user's name
        name: String,
    },
}

/// How large a world to make, and which one: equal numbers make equal worlds.
#[derive(Debug, Clone, Args)]
pub struct SeedArgs {
    /// How many users
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub users: u64,
    /// How many videos
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(0..=10_000_000))]
    pub videos: u64,
    /// How many likes
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(0..=1_000_000_000))]
    pub likes: u64,
    /// Which world
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many follows [default: five a user]
    #[arg(long, value_parser = value_parser!(u64).range(0..=1_000_000_000))]
    pub follows: Option<u64>,
    /// How many comments [default: a tenth of the likes]
    #[arg(long, value_parser = value_parser!(u64).range(0..=1_000_000_000))]
    pub comments: Option<u64>,
    /// How many messages [default: one a user]
    #[arg(long, value_parser = value_parser!(u64).range(0..=1_000_000_000))]
    pub messages: Option<u64>,
    /// One password for all of them, for load tests [default: nobody can log in]
    #[arg(long)]
    pub password: Option<Secret>,
}

/// A command that can't be what was meant, beyond what clap itself refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Reads this process's arguments. Help, version and mistakes end the process here, mistakes with exit code 2.
pub fn parse() -> (Options, Command) {
    try_parse(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn try_parse(args: impl IntoIterator<Item = OsString>) -> Result<(Options, Command), clap::Error> {
    let CommandLine {
        options,
        serve,
        command,
    } = CommandLine::try_parse_from(args)?;
    let command = match command {
        None => Command::Serve(serve),
        Some(Command::Serve(own)) => Command::Serve(ServeArgs {
            demo: own.demo || serve.demo,
            demo_anywhere: own.demo_anywhere || serve.demo_anywhere,
        }),
        Some(_) if serve != ServeArgs::default() => {
            return Err(CommandLine::command().error(ErrorKind::ArgumentConflict, "--demo belongs to `serve` only"));
        }
        Some(other) => other,
    };
    Ok((options, command))
}

/// 2 where the person has to change what was typed or configured, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<UsageError>() {
        2
    } else if error.is::<Verdict>() {
        3
    } else {
        1
    }
}

#[cfg(test)]
mod tests;
