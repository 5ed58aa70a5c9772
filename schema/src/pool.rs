//! Connections in stock: r2d2's pool, what it hands out, and what a transaction on one of them is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::r2d2::R2D2Connection;

use crate::backend::{self, DbConnection, Role};
use crate::error::StoreError;
use crate::mysql;
use crate::store::{Database, Options, monotonic_ms};

/// The pool of connections that read, and with MySQL write too.
pub(crate) type Pool = r2d2::Pool<Manager>;

/// A connection with what the pool wants to know of it.
pub(crate) struct Pooled {
    pub(crate) db: DbConnection,
    statements: Arc<AtomicU64>,
    given_up: bool,
}

impl Pooled {
    fn new(mut db: DbConnection) -> Self {
        let statements = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&statements);
        db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            db,
            statements,
            given_up: false,
        }
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The pool will close this connection instead of taking it back.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }
}

/// Makes the pool's connections.
pub(crate) struct Manager {
    options: Options,
    role: Role,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = StoreError;

    fn connect(&self) -> Result<Pooled, StoreError> {
        connect(&self.options, self.role).map(Pooled::new)
    }

    fn is_valid(&self, connection: &mut Pooled) -> Result<(), StoreError> {
        Ok(connection.db.ping()?)
    }

    fn has_broken(&self, connection: &mut Pooled) -> bool {
        connection.given_up
    }
}

/// Opens one connection outside the pool.
pub(crate) fn connect(options: &Options, role: Role) -> Result<DbConnection, StoreError> {
    match &options.database {
        Database::Sqlite(path) => backend::open_sqlite(path, role),
        Database::Mysql(url) => {
            let timeout = (role != Role::Admin).then_some(options.statement_timeout);
            mysql::open(url, timeout).map(DbConnection::Mysql)
        }
    }
}

/// Builds the pool. It fills itself as it is used, so that a small site holds few connections.
pub(crate) fn build(options: &Options, connections: u32) -> Result<Pool, StoreError> {
    let (role, remote) = match options.database {
        Database::Sqlite(_) => (Role::Reader, false),
        Database::Mysql(_) => (Role::Writer, true),
    };
    r2d2::Pool::builder()
        .max_size(connections)
        .min_idle(Some(1))
        // A file does not go away; a server does, and its connections then look alive (`stack.md`: 40 µs a check).
        .test_on_check_out(remote)
        .connection_timeout(Manager::CONNECT_TIMEOUT)
        .error_handler(Box::new(Quiet))
        .build(Manager {
            options: options.clone(),
            role,
        })
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// r2d2's own handler logs each failed attempt of each connection; one line a second is enough.
#[derive(Debug)]
struct Quiet;

impl<E: std::fmt::Display> r2d2::HandleError<E> for Quiet {
    fn handle_error(&self, error: E) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let now = monotonic_ms() + 1;
        let last = LAST.load(Ordering::Relaxed);
        if (last == 0 || now - last >= 1000)
            && LAST
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(%error, "a database connection could not be opened or failed its check");
        }
    }
}

/// After a failed attempt to get a connection nobody else waits for one during half a second: while the database is
/// away each request is answered at once instead of after the pool's patience.
#[derive(Default)]
pub(crate) struct Breaker {
    open_until_ms: AtomicU64,
}

impl Breaker {
    const PAUSE: Duration = Duration::from_millis(500);

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if monotonic_ms() < self.open_until_ms.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable(
                "the database did not answer a moment ago".into(),
            ));
        }
        Ok(())
    }

    pub(crate) fn trip(&self) {
        let until = monotonic_ms() + u64::try_from(Self::PAUSE.as_millis()).unwrap_or(u64::MAX);
        self.open_until_ms.store(until, Ordering::Relaxed);
    }
}

/// Runs `query` again where it met a conflict; the third one stands as "later".
pub(crate) fn again<T>(
    connection: &mut DbConnection,
    query: &dyn Fn(&mut DbConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 1..TRIES {
        match query(connection) {
            Err(StoreError::Conflict(_)) => {}
            other => return other,
        }
    }
    query(connection).map_err(|error| match error {
        StoreError::Conflict(reason) => StoreError::Unavailable(reason),
        other => other,
    })
}

/// How often a transaction that met another one is run in all.
const TRIES: u32 = 3;

/// Runs `change` as one MySQL transaction. A deadlock or lock wait runs the whole of it again: the server has rolled
/// back what it did, so nothing of the first try is left.
pub(crate) fn transaction<T>(
    connection: &mut DbConnection,
    change: &dyn Fn(&mut DbConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        connection.batch_execute("START TRANSACTION")?;
        let result = change(connection).and_then(|value| {
            connection.batch_execute("COMMIT")?;
            Ok(value)
        });
        match result {
            Ok(value) => return Ok(value),
            Err(error) => {
                // Where this fails too the connection is gone, and the server rolls back by itself.
                let rolled_back = connection.batch_execute("ROLLBACK");
                if let Err(rollback) = rolled_back {
                    return Err(StoreError::Unavailable(format!("{error}; and no rollback: {rollback}")));
                }
                if !error.is_retryable() {
                    return Err(error);
                }
                if tries == TRIES {
                    return Err(StoreError::Unavailable(error.to_string()));
                }
                // Both sides of a deadlock would otherwise meet again at the same place.
                std::thread::sleep(Duration::from_millis(rand::random_range(1..=10 * u64::from(tries))));
            }
        }
    }
}
