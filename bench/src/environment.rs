//! Where a run took place: figures mean nothing without it.
//!
//! Owns the reading of the machine. Holds no host name, no user and no path.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine and the builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor's model.
    pub cpu: String,
    /// Processors that may be used.
    pub cores: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Kernel and its release.
    pub kernel: String,
    /// The bench's own build.
    pub bench: String,
    /// Whether the bench is a debug build, whose figures mean little.
    pub debug_build: bool,
    /// The command line's options, without what could be a secret.
    pub flags: Vec<String>,
    /// What the caller says about the target (store, durability, anything), and what the bench knows by itself.
    pub labels: Vec<(String, String)>,
}

impl Environment {
    /// Of this machine.
    pub fn read(flags: Vec<String>, labels: Vec<(String, String)>) -> Self {
        let commit = option_env!("OVATION_COMMIT")
            .filter(|commit| !commit.is_empty())
            .unwrap_or("unknown");
        let uname = rustix::system::uname();
        Self {
            cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            bench: format!("{} (commit {commit})", env!("CARGO_PKG_VERSION")),
            debug_build: cfg!(debug_assertions),
            flags,
            labels,
        }
    }
}

/// x86 calls it `model name`, ARM often nothing at all.
fn cpu_model(cpuinfo: &str) -> String {
    let named = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = named("model name")
        .or_else(|| named("Model"))
        .or_else(|| named("CPU part"));
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        assert_eq!(
            cpu_model("processor : 0\nmodel name\t: Fast CPU @ 3 GHz\n"),
            "Fast CPU @ 3 GHz"
        );
        assert_eq!(cpu_model(""), std::env::consts::ARCH);
        assert_eq!(memory("MemTotal:       24689764 kB\nMemFree: 1 kB"), 24_689_764 * 1024);
        assert!(Environment::read(Vec::new(), Vec::new()).cores > 0);
    }
}
