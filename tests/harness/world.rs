//! A server in this process, with the production wiring, a data folder and a database of its own.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovation::config::Config;
use ovation::control::SOCKET;
use ovation::likes::LEDGER_FILE;
use ovation::server::{STORE_FILE, Server, store_options};
use ovation_schema::{DbConnection, Options, StoreError};
use tempfile::TempDir;

use super::folders;
use super::mariadb::{self, Database, Instance};
use super::site::Site;

/// Which store a story runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bundled one.
    Sqlite,
    /// MariaDB, spoken to as MySQL.
    Mariadb,
}

/// A started server. What its visitors can do is on [`Site`], which a world dereferences to.
pub struct World {
    server: Option<Server>,
    config: Config,
    site: Site,
    /// On MariaDB, which database.
    pub database: Option<Database>,
    folder: TempDir,
}

impl Deref for World {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl World {
    /// A fresh world with the defaults.
    pub fn new(kind: Kind) -> Self {
        Self::with(kind, |_| {})
    }

    /// A fresh world with changed settings.
    pub fn with(kind: Kind, change: impl FnOnce(&mut Config)) -> Self {
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Mariadb => Some(mariadb::shared().new_database()),
        };
        Self::on(database, change)
    }

    /// A fresh world on a MariaDB of the story's own.
    pub fn on_instance(instance: &Instance, change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Some(instance.new_database()), change)
    }

    fn on(database: Option<Database>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = folders::fresh("world");
        let mut config = Config::for_test(folder.path());
        config.database_url = database
            .as_ref()
            .map(|database| database.url.parse().expect("a usable URL"));
        change(&mut config);
        let server = serve(&config);
        Self {
            site: Site::at(server.addr()),
            server: Some(server),
            config,
            database,
            folder,
        }
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a running server")
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the server gracefully; data stay.
    pub fn stop(&mut self) {
        let server = self.server.take().expect("a running server");
        server.stop().expect("it stops cleanly");
    }

    /// Starts it again over what is there, on a new port.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "stop it first");
        let server = serve(&self.config);
        self.site.moved_to(server.addr());
        self.server = Some(server);
    }

    /// Tries to, where it should be refused: the reason.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        assert!(self.server.is_none(), "stop it first");
        let started = Server::start(self.config.clone());
        started.map(drop).map_err(|error| format!("{error:#}"))
    }

    /// A connection to its database beside the server's own, for what no visitor could do.
    pub fn connection(&self) -> DbConnection {
        let options = store_options(&self.config, self.data_dir());
        ovation_schema::connect(&options).expect("a connection to the world's database")
    }

    /// Fills the store directly, in one transaction, where a thousand requests would only take time.
    pub fn fill(&self, change: impl Fn(&mut DbConnection) -> Result<(), StoreError> + Send + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // On a busy machine it may take longer than the server's own changes may.
        let options = Options {
            acquire_timeout: Duration::from_mins(1),
            statement_timeout: Duration::from_mins(1),
            ..store_options(&self.config, self.data_dir())
        };
        let store = self.server().store().apart(&options, 1).unwrap();
        runtime.block_on(store.write(change)).unwrap();
        self.server().rows().clear();
    }

    /// Brings every acknowledged like into the database now.
    pub fn flush(&self) {
        let flushed = ovation::likes::flush(self.server().counters()).unwrap();
        flushed.unwrap_or_else(|error| panic!("the flush: {error}"));
    }

    /// How many statements `work` costs.
    pub fn statements_of<T>(&self, work: impl FnOnce() -> T) -> (u64, T) {
        let before = self.server().store().statements();
        let result = work();
        (self.server().store().statements() - before, result)
    }

    /// Every file below the data folder that is no part of the database or the ledger, by its relative path.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        collect(self.data_dir(), self.data_dir(), &mut found);
        found
    }
}

fn serve(config: &Config) -> Server {
    // Warnings and errors of the servers in this process, for when a story fails. The second call is refused.
    let _ = ovation::logging::init("warn", ovation::config::LogFormat::Json);
    let helper = env!("CARGO_BIN_EXE_ovation").into();
    Server::start_with_helper(config.clone(), helper).unwrap_or_else(|error| panic!("the server starts: {error:#}"))
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(top, &path, found);
        } else if ![STORE_FILE, LEDGER_FILE, SOCKET]
            .iter()
            .any(|part| path.to_string_lossy().contains(part))
        {
            found.insert(path.strip_prefix(top).unwrap().to_owned());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let stopped = server.stop();
            // A second panic while the first one unwinds would hide it.
            assert!(std::thread::panicking() || stopped.is_ok(), "{stopped:?}");
        }
    }
}
