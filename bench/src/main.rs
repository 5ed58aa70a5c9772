//! The program: reads its command line, runs, and says by its exit code how it went.

use std::process::ExitCode;

fn main() -> ExitCode {
    ovation_bench::cli::main()
}
