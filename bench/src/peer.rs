//! A server that is measured: somewhere else, or started for the run.
//!
//! Owns its address, its process id when it is known, its world and its accounts. Never measures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;

use crate::accounts::{Account, Accounts, Naming, PATIENCE};
use crate::display::Display;
use crate::http::{Answer, Connection, Target};
use crate::server::{Server, Setup};
use crate::world::World;

/// A target with what is known about it.
pub struct Peer {
    name: String,
    target: Target,
    pid: Option<u32>,
    naming: Naming,
    accounts_file: PathBuf,
    spawned: Option<Spawned>,
}

/// A server of this run's own. The order of the fields is that of their end: first the process, then its folder.
struct Spawned {
    server: Server,
    world: World,
    _scratch: tempfile::TempDir,
}

impl Peer {
    /// A server that runs already. Its users are registered, or logged in from an earlier run.
    pub fn running(name: String, target: Target, pid: Option<u32>, seed: u64, out: &Path) -> Self {
        let file: String = target
            .host()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        Self {
            name,
            target,
            pid,
            naming: Naming::Own(seed),
            accounts_file: out.join(format!("accounts-{file}.json")),
            spawned: None,
        }
    }

    /// Starts one over a copy of a world.
    pub fn spawn(name: String, setup: Setup, world: World, out: &Path) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("served-")
            .tempdir_in(out)
            .context("no folder to serve from")?;
        let data = world.copy(scratch.path())?;
        let server = Server::start(setup, &data, &out.join("server.log"))?;
        Ok(Self {
            name,
            target: Target::local(server.address()),
            pid: Some(server.pid()),
            naming: Naming::Seeded,
            accounts_file: world.accounts_file(),
            spawned: Some(Spawned {
                server,
                world,
                _scratch: scratch,
            }),
        })
    }

    /// What it is called in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Its process, where it is known and on this machine.
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The world that it serves, where this run made it.
    pub fn world(&self) -> Option<&World> {
        self.spawned.as_ref().map(|spawned| &spawned.world)
    }

    /// Accounts to act as.
    pub async fn accounts(&self, count: usize, display: &Display) -> anyhow::Result<Vec<Arc<Account>>> {
        let accounts = Accounts::new(self.target.clone(), self.naming.clone(), self.accounts_file.clone());
        accounts.obtain(count, display).await
    }

    /// Stops and starts a server of our own, so that only what is stored counts. `false` for any other.
    pub fn restart(&mut self) -> anyhow::Result<bool> {
        let Some(spawned) = &mut self.spawned else {
            return Ok(false);
        };
        spawned.server.restart()?;
        self.target = Target::local(spawned.server.address());
        self.pid = Some(spawned.server.pid());
        Ok(true)
    }

    /// Stops a server of our own. An error when it did not end well.
    pub fn stop(mut self) -> anyhow::Result<()> {
        if let Some(spawned) = &mut self.spawned {
            spawned.server.stop()?;
        }
        Ok(())
    }

    /// What the server says about itself, where it has an answer to that.
    pub async fn version(&self) -> Option<Value> {
        let mut connection = Connection::new(self.target.clone());
        let answer = connection.get_within(PATIENCE, "/version").await;
        let version: Value = serde_json::from_slice(answer.and_then(Answer::ok).ok()?).ok()?;
        version.is_object().then_some(version)
    }
}
