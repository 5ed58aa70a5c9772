//! Temporary folders that tell whose they are, so that those of a killed run can be swept by the next one.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "ovation-stories-";

/// A fresh folder, removed when it is dropped.
pub fn fresh(what: &str) -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    TempDir::with_prefix(format!("{PREFIX}{}-{what}-", std::process::id())).expect("a temporary folder")
}

/// Removes folders whose test process is gone. A MariaDB's guard cleans up by itself, and is left the time for it.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let owner = rest.split('-').next().unwrap_or_default();
        let rested = entry
            .metadata()
            .and_then(|known| known.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > Duration::from_mins(1)));
        if rested && !Path::new("/proc").join(owner).exists() {
            // Another run may be sweeping as well.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
