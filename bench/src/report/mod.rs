//! stub
use std::path::{Path, PathBuf};
use crate::outcome::{CeilingOutcome, Outcome};
pub fn text(_: &Outcome) -> String { String::new() }
pub fn ceilings_text(_: &[CeilingOutcome]) -> String { String::new() }
pub fn write(out: &Path) -> anyhow::Result<PathBuf> { Ok(out.to_owned()) }
