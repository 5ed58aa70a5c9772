//! The work behind the commands that need the store, the server or the media room.
//!
//! Owns nothing yet: each function refuses with a sentence until its room joins the package. The signatures are what
//! `main` calls.

use std::ffi::OsString;

use anyhow::bail;

use super::{MigrateAction, Secret, SeedArgs, ServeArgs, UserAction};
use crate::config::Config;

/// Runs the server until a signal ends it.
pub fn serve(_config: Config, _args: &ServeArgs) -> anyhow::Result<()> {
    bail!("this build has no server")
}

/// Shows or changes the schema.
pub fn migrate(_config: &Config, _action: MigrateAction) -> anyhow::Result<()> {
    bail!("this build has no store")
}

/// Fills the store.
pub fn seed(_config: &Config, _args: &SeedArgs) -> anyhow::Result<()> {
    bail!("this build has no store")
}

/// Creates a user or sets a password.
pub fn user(_config: &Config, _action: &UserAction, _password: &Secret) -> anyhow::Result<()> {
    bail!("this build has no store")
}

/// Makes one cover; runs without configuration and logging, in a process of its own.
pub fn cover_child(_args: &[OsString]) -> anyhow::Result<()> {
    bail!("this build makes no covers")
}
