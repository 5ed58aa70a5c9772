//! Ovation itself, started for a run and stopped after it.
//!
//! Owns the process, its folder and its log. Knows the server as an operator does: its command line, its settings, its
//! log. Never leaves a process behind.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take; migrations and a large ledger need some of it.
const START: Duration = Duration::from_mins(2);
/// How long a stop may take; the server's own limit for requests in flight is 10 s.
const STOP: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// A MySQL database; SQLite in the data folder when absent.
    pub database_url: Option<String>,
    /// Settings by name, in addition to those that a bench needs.
    pub settings: Vec<(String, String)>,
}

impl Setup {
    /// The program with its environment; the caller adds arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("OVATION_LOG", "warn,ovation::server=info")
            .env("OVATION_LOG_FORMAT", "json")
            .env("OVATION_MAX_CONNECTIONS", "18000")
            // All of a bench's users come from one address, many at once, and ask as fast as they are answered. Twice as many
            // as there are connections, since all come back before the server may have noticed that they were gone.
            .env("OVATION_SOCKETS_PER_ADDRESS", "36000")
            .env("OVATION_SOCKETS_WITHOUT_HELLO", "18000")
            .env("OVATION_OPERATIONS_PER_SECOND", "100000")
            .stdin(Stdio::null());
        if let Some(url) = &self.database_url {
            // Not as a flag, which every user of the machine could read.
            command.env("OVATION_DATABASE_URL", url);
        }
        for (name, value) in &self.settings {
            command.env(format!("OVATION_{}", name.to_uppercase()), value);
        }
        command
    }

    /// The kind of store, without its address.
    pub fn store(&self) -> &'static str {
        if self.database_url.is_some() { "mysql" } else { "sqlite" }
    }
}

/// A running server. Dropped, it is stopped.
pub struct Server {
    setup: Setup,
    folder: PathBuf,
    log: PathBuf,
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it over a data folder and waits until it serves. The log goes to `log`.
    pub fn start(setup: Setup, folder: &Path, log: &Path) -> anyhow::Result<Self> {
        let (child, address) = launch(&setup, folder, log)?;
        Ok(Self {
            setup,
            folder: folder.to_owned(),
            log: log.to_owned(),
            child,
            address,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order and starts it again over the same folder, on another port.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        (self.child, self.address) = launch(&self.setup, &self.folder, &self.log)?;
        Ok(())
    }

    /// Stops it in order. An exit code other than 0 is an error: what was acknowledged may not be where it belongs.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself with {status}; see {}", self.log.display());
        }
        terminate(&self.child, Signal::TERM);
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(
                    status.success(),
                    "the server ended with {status}; see {}",
                    self.log.display()
                );
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the server did not stop within {} s",
                STOP.as_secs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            terminate(&self.child, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn terminate(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended in this moment, which whoever waits for it will see.
        let _ = kill_process(pid, signal);
    }
}

fn launch(setup: &Setup, folder: &Path, log: &Path) -> anyhow::Result<(Child, SocketAddr)> {
    let file = File::create(log).with_context(|| format!("{} can't be written", log.display()))?;
    let mut child = setup
        .command()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder)
        // Ctrl-C is for the bench, which ends its children itself.
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .with_context(|| format!("{} can't be started", setup.binary.display()))?;
    let deadline = Instant::now() + START;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(address) = text.lines().find_map(listens_on) {
            return Ok((child, address));
        }
        if let Some(status) = child.try_wait()? {
            bail!("the server ended at its start with {status}: {}", text.trim());
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "the server did not listen within {} s: {}",
                START.as_secs(),
                text.trim()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The address in the log line that says that it serves.
fn listens_on(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("listen")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log() {
        let line = r#"{"level":"INFO","message":"ovation serves","listen":"127.0.0.1:45003"}"#;
        assert_eq!(listens_on(line), Some(([127, 0, 0, 1], 45003).into()));
        assert_eq!(listens_on(r#"{"level":"INFO"}"#), None);
        assert_eq!(listens_on("{\"listen"), None);
    }

    #[test]
    fn a_program_that_is_none_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            binary: "/bin/false".into(),
            ..Setup::default()
        };
        let error = Server::start(setup, folder.path(), &folder.path().join("log"))
            .err()
            .unwrap();
        assert!(error.to_string().contains("ended at its start"), "{error}");
    }
}
