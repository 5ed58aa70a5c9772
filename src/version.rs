//! Which build this is.
//!
//! Owns the three facts that `ovation version` and the version endpoint show. Never asks the machine it runs on.

use std::env::consts;

/// The package's version, as semver.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from; only builds that were told `OVATION_COMMIT` know it, so that a build needs no git.
pub const COMMIT: Option<&str> = option_env!("OVATION_COMMIT");

/// The databases every build can serve from.
pub const STORES: [&str; 2] = ["sqlite", "mysql"];

/// What it was built for, such as `x86_64-linux-gnu`.
pub fn target() -> String {
    let abi = if cfg!(target_env = "gnu") {
        "-gnu"
    } else if cfg!(target_env = "musl") {
        "-musl"
    } else {
        ""
    };
    format!("{}-{}{abi}", consts::ARCH, consts::OS)
}

/// All of it on one line, without the program's name.
pub fn line() -> String {
    let commit = COMMIT.filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    format!(
        "{VERSION} (commit {commit}, {}, stores: {})",
        target(),
        STORES.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_every_fact() {
        let line = line();
        assert!(
            line.starts_with(VERSION) && line.contains("commit ") && line.contains(&target()),
            "{line}"
        );
        assert!(line.ends_with("stores: sqlite and mysql)"), "{line}");
    }
}
