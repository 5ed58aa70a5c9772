//! The command line.
//!
//! Owns the commands and the exit codes: 0 all checks hold, 1 a check failed, 2 the command line is wrong, 3 the run could
//! not be made. Never measures.

mod args;
mod measure;

use std::process::ExitCode;

use clap::Parser as _;

use crate::bare;
use crate::compare;
use crate::display::Display;
use crate::outcome::Outcome;
use crate::report;
use crate::scenario;
use args::{Cli, Command};

const CHECK_FAILED: u8 = 1;
const NOT_RUN: u8 = 3;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = actix::System::new().block_on(async {
        tokio::select! {
            done = execute(cli.command) => done,
            // Servers of this run end as what holds them is dropped.
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CHECK_FAILED),
        Err(error) => {
            eprintln!("ovation-bench: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// Ends with SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        // Without handlers the signals end the process as they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// `false` when something did not hold.
async fn execute(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run(args) => measure::run(*args).await,
        Command::Compare(args) => {
            let display = Display::new(args.json);
            let comparison = compare::compare(&Outcome::read(&args.a)?, &Outcome::read(&args.b)?)?;
            display.result(&comparison.table(), &serde_json::to_value(&comparison)?);
            Ok(!(args.fail_on_worse && comparison.is_worse()))
        }
        Command::Ceilings(args) => measure::ceilings(&args).await,
        Command::Report { out } => {
            let file = report::write(&out)?;
            println!("{}", file.display());
            Ok(true)
        }
        Command::Scenarios => {
            for scenario in scenario::all() {
                println!("{:12} {}", scenario.name(), scenario.about());
            }
            Ok(true)
        }
        Command::Bare { workers } => bare::serve(workers).await.map(|()| true),
    }
}
