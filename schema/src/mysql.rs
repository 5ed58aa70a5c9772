//! MySQL and MariaDB without a C client.
//!
//! Owns the blocking face of `diesel-async`'s connection, the patience with a server that does not answer, TLS, and how
//! a session is set up. Never retries: what a failed statement means is the pool's to decide.

use std::pin::Pin;
use std::time::Duration;

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation, LoadConnection, SimpleConnection,
};
use diesel::internal::derives::multiconnection::MultiConnectionHelper;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::r2d2::R2D2Connection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{AsyncConnection, AsyncConnectionCore, AsyncMysqlConnection, SimpleAsyncConnection};
use futures_util::{Stream, StreamExt};
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::runtime::Runtime;
use url::Url;

use crate::error::StoreError;

/// How long a connection may take to be there: name look-up, TCP, TLS, login and session. The client has no bound of its
/// own, and a packet filter that swallows everything answers never.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a check whether the connection lives may take.
const PING: Duration = Duration::from_secs(1);
/// How long a statement may wait for a row's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// What a statement may take beyond the server's own deadlines before the server counts as gone.
const GRACE: Duration = Duration::from_secs(2);
/// The same for a connection without a deadline, for migrations and bulk loading.
const ADMIN: Duration = Duration::from_hours(1);

/// `diesel-async`'s MySQL connection with diesel's own (blocking) face.
///
/// A newtype rather than its `AsyncConnectionWrapper`, which lacks the one trait that `MultiConnection` asks for and any
/// deadline: on a frozen server every statement would wait for ever, and with it the connection's place in the pool.
/// The runtime is the connection's own, so that whichever thread of a blocking pool has it can use it. Panics when used
/// on an async thread: only the blocking pool and the store's own threads hold one.
pub struct MysqlConnection {
    inner: AsyncMysqlConnection,
    transactions: AnsiTransactionManager,
    line: Line,
}

/// What waits for the server.
struct Line {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    patience: Duration,
    /// A statement was given up in the middle. Its answer may still come, so nothing may be sent any more.
    given_up: bool,
}

impl Line {
    fn new(patience: Duration) -> ConnectionResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        Ok(Self {
            runtime: Some(runtime),
            patience,
            given_up: false,
        })
    }

    fn wait<T>(&mut self, patience: Duration, work: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
        let (Some(runtime), false) = (&self.runtime, self.given_up) else {
            return Err(gone());
        };
        let answer = runtime.block_on(async { tokio::time::timeout(patience, work).await });
        answer.unwrap_or_else(|_| {
            self.given_up = true;
            Err(gone())
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A plain drop panics on an async thread, and the last handle of a pool may be dropped on one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn gone() -> DieselError {
    let message = "the server did not answer in time".to_owned();
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(message))
}

/// Opens a session with everything our transactions rely on, whatever the server's own defaults are. Without a
/// `statement_timeout` statements may take as long as they need.
pub(crate) fn open(url: &str, statement_timeout: Option<Duration>) -> Result<MysqlConnection, StoreError> {
    let lock_wait = statement_timeout.map_or(LOCK_WAIT, |timeout| timeout.clamp(Duration::from_secs(1), LOCK_WAIT));
    let patience = statement_timeout.map_or(ADMIN, |timeout| timeout.max(lock_wait) + GRACE);
    let mut connection = MysqlConnection::connect(url, patience).map_err(StoreError::from_connection)?;
    let timeout = statement_timeout.unwrap_or_default();
    // READ COMMITTED: no gap locks, so crossing writes meet only on rows. Strict: what does not fit is refused, never
    // cut. Messages in English, since a few are recognised by their words (`error`). MariaDB bounds every statement, in
    // seconds; MySQL only selects, in milliseconds; each runs the comment that is addressed to it.
    // MariaDB would make a join of a list of 1,000 keys (500 pairs), in whatever order it likes, locks included: never.
    let session = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET NAMES utf8mb4 COLLATE utf8mb4_bin; \
         SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
         lc_messages = 'en_US', innodb_lock_wait_timeout = {} \
         /*M! , max_statement_time = {} */ /*M!100600 , in_predicate_conversion_threshold = 0 */ \
         /*!80000 , max_execution_time = {} */",
        lock_wait.as_secs(),
        timeout.as_secs_f64(),
        timeout.as_millis(),
    );
    let MysqlConnection { inner, line, .. } = &mut connection;
    line.wait(CONNECT, inner.batch_execute(&session))?;
    Ok(connection)
}

/// Whether an address and its parameters can be used, as far as that can be told without connecting.
pub fn is_usable_address(address: &str) -> bool {
    options(address).is_ok()
}

/// Reads the address. `ssl_ca` is ours: the file (PEM) with the authority that signed the server's certificate, since
/// the client's own parameters know only the public ones. It turns TLS on.
fn options(address: &str) -> Result<Opts, String> {
    let mut url = Url::parse(address).map_err(|error| error.to_string())?;
    let (ours, theirs): (Vec<_>, Vec<_>) = url.query_pairs().into_owned().partition(|(key, _)| key == "ssl_ca");
    url.query_pairs_mut().clear().extend_pairs(theirs);
    let opts = Opts::from_url(url.as_str()).map_err(|error| error.to_string())?;
    let mut tls = opts.ssl_opts().cloned();
    if let Some((_, file)) = ours.into_iter().next_back() {
        tls = Some(
            tls.unwrap_or_default()
                .with_root_certs(vec![std::path::PathBuf::from(file).into()]),
        );
    }
    let builder = OptsBuilder::from_opts(opts)
        // As diesel has it on every store: an update counts the rows it found.
        .client_found_rows(true)
        // diesel keeps the prepared statements.
        .stmt_cache_size(0)
        // The address says where; by default the client would ask the server for its socket and connect once more.
        .prefer_socket(false)
        .ssl_opts(tls);
    Ok(builder.into())
}

impl MysqlConnection {
    fn connect(url: &str, patience: Duration) -> ConnectionResult<Self> {
        let opts = options(url).map_err(ConnectionError::InvalidConnectionUrl)?;
        let line = Line::new(patience)?;
        let connect = async {
            let conn = Conn::new(opts)
                .await
                .map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
            AsyncMysqlConnection::try_from(conn).await
        };
        let Some(runtime) = &line.runtime else {
            return Err(ConnectionError::BadConnection("no runtime".into()));
        };
        let inner = runtime
            .block_on(async { tokio::time::timeout(CONNECT, connect).await })
            .map_err(|_| ConnectionError::BadConnection("the server did not answer in time".into()))??;
        Ok(Self {
            inner,
            transactions: AnsiTransactionManager::default(),
            line,
        })
    }
}

impl SimpleConnection for MysqlConnection {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.line.wait(self.line.patience, self.inner.batch_execute(query))
    }
}

impl ConnectionSealed for MysqlConnection {}

impl Connection for MysqlConnection {
    type Backend = diesel::mysql::Mysql;
    type TransactionManager = AnsiTransactionManager;

    fn establish(database_url: &str) -> ConnectionResult<Self> {
        Self::connect(database_url, ADMIN)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Self::Backend> + QueryId,
    {
        let patience = self.line.patience;
        self.line.wait(patience, self.inner.execute_returning_count(source))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

/// The rows of one answer, as they come.
pub struct Rows<'conn, S> {
    stream: Pin<Box<S>>,
    line: &'conn mut Line,
}

impl<T, S: Stream<Item = QueryResult<T>>> Iterator for Rows<'_, S> {
    type Item = QueryResult<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.stream.next();
        self.line
            .wait(self.line.patience, async { next.await.transpose() })
            .transpose()
    }
}

impl LoadConnection for MysqlConnection {
    type Cursor<'conn, 'query> = Rows<'conn, <AsyncMysqlConnection as AsyncConnectionCore>::Stream<'conn, 'query>>;
    type Row<'conn, 'query> = <AsyncMysqlConnection as AsyncConnectionCore>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Self::Backend> + QueryId + 'query,
        Self::Backend: diesel::expression::QueryMetadata<T::SqlType>,
    {
        let Self { inner, line, .. } = self;
        let stream = Box::pin(line.wait(line.patience, inner.load(source))?);
        Ok(Rows { stream, line })
    }
}

impl MultiConnectionHelper for MysqlConnection {
    fn to_any<'a>(
        lookup: &mut <Self::Backend as diesel::sql_types::TypeMetadata>::MetadataLookup,
    ) -> &mut (dyn std::any::Any + 'a) {
        lookup
    }

    fn from_any(
        lookup: &mut dyn std::any::Any,
    ) -> Option<&mut <Self::Backend as diesel::sql_types::TypeMetadata>::MetadataLookup> {
        lookup.downcast_mut()
    }
}

impl R2D2Connection for MysqlConnection {
    fn ping(&mut self) -> QueryResult<()> {
        self.line.wait(PING, self.inner.batch_execute("SELECT 1"))
    }
}

impl diesel::migration::MigrationConnection for MysqlConnection {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(diesel::migration::CREATE_MIGRATIONS_TABLE)
            .map(|()| 0)
    }
}
