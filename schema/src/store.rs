//! The store: the one door to the database.
//!
//! Owns the pool of connections, its bounds and deadlines, and the two ways in: [`Store::read`] and [`Store::write`].
//! Both take a closure of plain diesel code and run it off the async threads; a write is one transaction that is
//! committed when the call returns. Never holds a query: those live beside their noun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::{DbConnection, Role};
use crate::error::StoreError;
use crate::id_source::IdSource;
use crate::pool::{Breaker, Manager, Pool};
use crate::writer::Writer;
use crate::{claim, migrate, pool};

/// Which database, and how to reach it.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file; created when it is missing.
    Sqlite(PathBuf),
    /// A `mysql://` URL with the name of a database that exists. A secret.
    Mysql(String),
}

impl Database {
    /// False where nothing can be there: a SQLite file that is missing.
    pub fn may_exist(&self) -> bool {
        match self {
            Self::Sqlite(file) => file.exists(),
            Self::Mysql(_) => true,
        }
    }

    /// What it is, in a word for logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Mysql(_) => "mysql",
        }
    }
}

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Which database.
    pub database: Database,
    /// Connections at most. SQLite's one writer comes on top.
    pub connections: u32,
    /// How long a request waits for a connection before it is told [`StoreError::Busy`].
    pub acquire_timeout: Duration,
    /// How long one statement may take on the server (MySQL, MariaDB).
    pub statement_timeout: Duration,
}

/// Requests that may wait for a connection at the same time, for each connection there is. Beyond it the answer is
/// [`StoreError::Busy`] at once: a longer queue would only make everybody wait for an answer nobody reads any more.
const WAITING_PER_CONNECTION: usize = 64;

struct Inner {
    pool: Pool,
    breaker: Breaker,
    /// A permit a connection: who has one never waits for anybody else's.
    gate: Gate,
    writes: Writes,
    ids: Arc<IdSource>,
    store_id: String,
    statements: Arc<AtomicU64>,
    deadline: Duration,
}

/// Where writes go.
enum Writes {
    /// One thread that owns SQLite's only writing connection and commits in groups.
    Queue(Arc<Writer>),
    /// Pool connections, at most half of them, so that a storm of writes leaves room to read. Passed before the gate.
    Pool(Gate),
}

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Opens the database, brings its schema up to date and takes the pool into service. Blocks: call it from a thread
    /// that may wait. Refuses a schema newer than this binary knows.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        let mut first = pool::connect(options, Role::Admin)?;
        migrate::run(&mut first)?;
        Self::over(options, first)
    }

    /// Like [`Store::open`] for whoever may run beside a server and so must not change a schema under it: none where
    /// the store is missing or a migration is pending. Makes and migrates nothing.
    pub fn open_current(options: &Options) -> Result<Option<Self>, StoreError> {
        if !options.database.may_exist() {
            return Ok(None);
        }
        let mut first = pool::connect(options, Role::Admin)?;
        if !migrate::is_current(&mut first)? {
            return Ok(None);
        }
        Self::over(options, first).map(Some)
    }

    fn over(options: &Options, mut first: DbConnection) -> Result<Self, StoreError> {
        let store_id = claim::store_id(&mut first)?;
        let connections = options.connections.max(2);
        let writes = match &options.database {
            Database::Sqlite(path) => Writes::Queue(Arc::new(Writer::start(first, path)?)),
            Database::Mysql(_) => Writes::Pool(Gate::new(connections / 2, options.acquire_timeout)),
        };
        Ok(Self(Arc::new(Inner {
            pool: pool::build(options, connections)?,
            breaker: Breaker::default(),
            gate: Gate::new(connections, options.acquire_timeout),
            writes,
            ids: Arc::default(),
            store_id,
            statements: Arc::default(),
            deadline: options.acquire_timeout + options.statement_timeout,
        })))
    }

    /// The same store over connections of its own, so that whoever uses them waits for nobody else's. SQLite's one writer
    /// stays one. `options` are those the store was opened with, the times as this one needs them. Blocks.
    pub fn apart(&self, options: &Options, connections: u32) -> Result<Self, StoreError> {
        self.apart_with(options, connections, Arc::clone(&self.0.statements))
    }

    /// Like [`Store::apart`], for whatever goes on by itself: its statements are not among [`Store::statements`].
    pub fn apart_uncounted(&self, options: &Options, connections: u32) -> Result<Self, StoreError> {
        self.apart_with(options, connections, Arc::default())
    }

    fn apart_with(&self, options: &Options, connections: u32, statements: Arc<AtomicU64>) -> Result<Self, StoreError> {
        let connections = connections.max(2);
        Ok(Self(Arc::new(Inner {
            pool: pool::build(options, connections)?,
            breaker: Breaker::default(),
            gate: Gate::new(connections, options.acquire_timeout),
            writes: match &self.0.writes {
                Writes::Queue(writer) => Writes::Queue(Arc::clone(writer)),
                Writes::Pool(_) => Writes::Pool(Gate::new(connections / 2, options.acquire_timeout)),
            },
            ids: Arc::clone(&self.0.ids),
            store_id: self.0.store_id.clone(),
            statements,
            deadline: options.acquire_timeout + options.statement_timeout,
        })))
    }

    /// The store's random name, made with its first migration. Tokens carry it, so that those of a wiped store die.
    pub fn store_id(&self) -> &str {
        &self.0.store_id
    }

    /// Statements that reads and pooled writes have sent so far, for tests that count them.
    pub fn statements(&self) -> u64 {
        self.0.statements.load(Ordering::Relaxed)
    }

    /// The source of new ids.
    pub(crate) fn ids(&self) -> &IdSource {
        &self.0.ids
    }

    /// Runs `query` on a connection of the pool. Sees every write that was answered before.
    ///
    /// `query` must be able to run more than once: where it says [`StoreError::Conflict`], because what it has read and
    /// what is laid over it do not fit together any more, it runs again, three times at most.
    pub async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.breaker.check()?;
        let permit = self.0.gate.enter().await?;
        self.on_pool(permit, move |connection| pool::again(connection, &query))
            .await
    }

    /// Runs `change` as one transaction, committed (and on disk) when this returns.
    ///
    /// `change` must be able to run more than once: a deadlock runs it again from its start, three times at most. An
    /// `Err` from it rolls back all it did. A caller that goes away before its turn came has changed nothing.
    pub async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> Result<T, StoreError> + Send + 'static,
    {
        match &self.0.writes {
            Writes::Queue(writer) => self.within_deadline(writer.submit(change)?).await,
            Writes::Pool(turns) => {
                self.0.breaker.check()?;
                let turn = turns.enter().await?;
                let permit = self.0.gate.enter().await?;
                self.on_pool((turn, permit), move |connection| pool::transaction(connection, &change))
                    .await
            }
        }
    }

    async fn on_pool<P, T, F>(&self, permit: P, work: F) -> Result<T, StoreError>
    where
        P: Send + 'static,
        T: Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes back when the work ends, not when its caller gave up waiting: it stands for a connection.
            let _permit = permit;
            inner.run(work)
        });
        let joined = async {
            task.await
                .unwrap_or_else(|_| Err(StoreError::Internal("a query panicked".into())))
        };
        self.within_deadline(joined).await
    }

    /// Bounds what a caller waits for; the work itself goes on.
    pub(crate) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.0.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable("no answer within the deadline".into())),
        }
    }

    /// Answers whether the database serves at this moment.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            use diesel::connection::SimpleConnection;
            Ok(connection.batch_execute("SELECT 1")?)
        })
        .await
    }

    /// Takes nothing new and waits for what was accepted; folds SQLite's log into its file. Blocks, where the database
    /// does not answer no longer than a caller would.
    pub fn close(&self) {
        self.0.gate.close(self.0.deadline);
        if let Writes::Queue(writer) = &self.0.writes {
            writer.close();
        }
    }
}

impl Inner {
    fn run<T>(&self, work: impl FnOnce(&mut DbConnection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Again: whoever waited for a place may have missed what happened meanwhile.
        self.breaker.check()?;
        let mut connection = self.pool.get().map_err(|error| {
            self.breaker.trip();
            StoreError::Unavailable(error.to_string())
        })?;
        let before = connection.statements();
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut connection.db)));
        self.statements
            .fetch_add(connection.statements() - before, Ordering::Relaxed);
        let result = outcome.unwrap_or_else(|_| Err(StoreError::Internal("a query panicked".into())));
        if matches!(result, Err(StoreError::Unavailable(_) | StoreError::Internal(_))) {
            connection.give_up();
        }
        result
    }
}

/// A semaphore whose queue has an end and whose wait has a deadline.
struct Gate {
    permits: Arc<Semaphore>,
    all: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
    timeout: Duration,
}

impl Gate {
    fn new(permits: u32, timeout: Duration) -> Self {
        let permits = permits.max(1) as usize;
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            all: permits,
            waiting: AtomicUsize::new(0),
            most_waiting: permits * WAITING_PER_CONNECTION,
            timeout,
        }
    }

    async fn enter(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.most_waiting)?;
        match tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(StoreError::Unavailable("the store is closed".into())),
            Err(_) => Err(StoreError::Busy),
        }
    }

    /// Lets nobody in any more and waits until everybody is out.
    fn close(&self, patience: Duration) {
        self.permits.close();
        let end = Instant::now() + patience;
        while self.permits.available_permits() < self.all && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A place in a gate's queue, given back on drop (also when the waiting request is cancelled).
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Result<Self, StoreError> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(StoreError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Manager {
    /// How long the breaker and the pool keep asking an absent database at most; see [`Breaker`].
    pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
}

/// Milliseconds of a clock that never goes back, for the breaker.
pub(crate) fn monotonic_ms() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
