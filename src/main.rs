//! The binary: from the command line to a command, and from its outcome to an exit code.
//!
//! Owns nothing else; what a command does is in the package.

use std::io::Write;
use std::process::ExitCode;

use ovation::cli::{self, Command, ConfigAction, commands};
use ovation::config::{self, Config};
use ovation::{logging, memory, version};

fn main() -> ExitCode {
    memory::give_large_blocks_back();
    // What this process creates is its user's alone: the store holds password hashes, the spool what strangers upload.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let (options, command) = cli::parse();
    let serving = matches!(command, Command::Serve(_));
    let probing = matches!(command, Command::Healthcheck);
    let outcome = run(&options, command);
    logging::flush();
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    report(&error, serving);
    // Docker knows 0 and 1 of a health check and keeps 2 for itself.
    ExitCode::from(if probing { 1 } else { cli::exit_code(&error) })
}

fn run(options: &cli::Options, command: Command) -> anyhow::Result<()> {
    let load = || config::load(&options.flags());
    match command {
        Command::Serve(args) => serve(load()?.config, &args),
        Command::Migrate(action) => commands::migrate(&logged(load()?.config)?, action),
        Command::Seed(args) => commands::seed(&logged(load()?.config)?, &args),
        Command::User(action) => {
            let config = logged(load()?.config)?;
            commands::user(&config, &action, &cli::read_new_password()?)
        }
        Command::Verify(args) => commands::verify(&logged(load()?.config)?, args),
        Command::Ledger(action) => commands::ledger(&logged(load()?.config)?, action),
        Command::Config(ConfigAction::Check) => {
            load()?;
            Ok(cli::print_line("the configuration is usable")?)
        }
        Command::Config(ConfigAction::Print) => Ok(cli::print_config(&load()?)?),
        Command::Healthcheck => cli::healthcheck(load()?.config.listen),
        // These two must work whatever the configuration looks like.
        Command::Version => Ok(cli::print_line(&format!("ovation {}", version::line()))?),
        Command::CoverChild { args } => commands::cover_child(&args),
    }
}

fn serve(config: Config, args: &cli::ServeArgs) -> anyhow::Result<()> {
    args.check(&config)?;
    commands::serve(logged(config)?, args)
}

fn logged(config: Config) -> anyhow::Result<Config> {
    logging::init(&config.log, config.log_format)?;
    Ok(config)
}

/// One readable sentence with its causes; of a server that logs, one line in the shape of its log.
fn report(error: &anyhow::Error, serving: bool) {
    if serving && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = format!("{error:#}"), "the server ends");
    } else {
        // Not `eprintln!`: it panics where standard error is closed.
        let _ = writeln!(std::io::stderr(), "ovation: {error:#}");
    }
}
