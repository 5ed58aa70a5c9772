//! What must differ between SQLite and MySQL, and nothing else.
//!
//! Owns the connection enum, the pure-Rust MySQL connection, how each store's sessions are set up and which errors mean
//! "try again". Never holds a query that could be written once for both: those live beside their noun.

use std::time::Duration;

use diesel::connection::{
    CacheSize, Connection, Instrumentation, LoadConnection, SimpleConnection, TransactionManager,
    TransactionManagerStatus,
};
use diesel::internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper};
use diesel::prelude::*;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::r2d2::R2D2Connection;
use diesel_async::AsyncMysqlConnection;
use diesel_async::async_connection_wrapper::{AsyncConnectionWrapper, BlockOn};

use crate::error::StoreError;
use crate::ids::{UserId, VideoId};

/// One connection to whichever store is configured. Every query is written once against this type.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// The bundled store, a file in the data folder.
    Sqlite(SqliteConnection),
    /// MySQL or MariaDB, spoken to without a C client.
    Mysql(MysqlConnection),
}

/// A runtime of each connection's own, so that it can be used from whichever thread of a blocking pool has it.
///
/// The default of `diesel-async` takes the caller's runtime when there is one, and with it would tie a pooled
/// connection to the one worker that happened to open it.
pub struct OwnRuntime(tokio::runtime::Runtime);

impl BlockOn for OwnRuntime {
    fn block_on<F: Future>(&self, f: F) -> F::Output {
        self.0.block_on(f)
    }

    #[expect(
        clippy::expect_used,
        reason = "fails only when the process has no descriptor left; the trait has no error"
    )]
    fn get_runtime() -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Self(
            runtime
                .enable_all()
                .build()
                .expect("a runtime for one database connection"),
        )
    }
}

type Wrapper = AsyncConnectionWrapper<AsyncMysqlConnection, OwnRuntime>;

/// `diesel-async`'s MySQL connection with diesel's own (blocking) face.
///
/// A newtype since the wrapper lacks the one trait that `MultiConnection` asks for, and the orphan rule keeps us from
/// adding it there. Panics when used on an async thread: only the blocking pool and the store's own threads hold one.
pub struct MysqlConnection(Wrapper);

impl SimpleConnection for MysqlConnection {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.0.batch_execute(query)
    }
}

impl ConnectionSealed for MysqlConnection {}

impl Connection for MysqlConnection {
    type Backend = <Wrapper as Connection>::Backend;
    type TransactionManager = MysqlTransactions;

    fn establish(database_url: &str) -> ConnectionResult<Self> {
        Wrapper::establish(database_url).map(Self)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Self::Backend> + QueryId,
    {
        self.0.execute_returning_count(source)
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Self::TransactionManager as TransactionManager<Self>>::TransactionStateData {
        self.0.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.0.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.0.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.0.set_prepared_statement_cache_size(size);
    }
}

impl LoadConnection for MysqlConnection {
    type Cursor<'conn, 'query> = <Wrapper as LoadConnection>::Cursor<'conn, 'query>;
    type Row<'conn, 'query> = <Wrapper as LoadConnection>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Self::Backend> + QueryId + 'query,
        Self::Backend: diesel::expression::QueryMetadata<T::SqlType>,
    {
        self.0.load(source)
    }
}

/// Forwards to the wrapper's transaction manager.
pub struct MysqlTransactions;

type WrapperTransactions = <Wrapper as Connection>::TransactionManager;

impl TransactionManager<MysqlConnection> for MysqlTransactions {
    type TransactionStateData = <WrapperTransactions as TransactionManager<Wrapper>>::TransactionStateData;

    fn begin_transaction(conn: &mut MysqlConnection) -> QueryResult<()> {
        WrapperTransactions::begin_transaction(&mut conn.0)
    }

    fn rollback_transaction(conn: &mut MysqlConnection) -> QueryResult<()> {
        WrapperTransactions::rollback_transaction(&mut conn.0)
    }

    fn commit_transaction(conn: &mut MysqlConnection) -> QueryResult<()> {
        WrapperTransactions::commit_transaction(&mut conn.0)
    }

    fn transaction_manager_status_mut(conn: &mut MysqlConnection) -> &mut TransactionManagerStatus {
        WrapperTransactions::transaction_manager_status_mut(&mut conn.0)
    }

    fn is_broken_transaction_manager(conn: &mut MysqlConnection) -> bool {
        WrapperTransactions::is_broken_transaction_manager(&mut conn.0)
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
        self.0.batch_execute("SELECT 1")
    }

    fn is_broken(&mut self) -> bool {
        WrapperTransactions::is_broken_transaction_manager(&mut self.0)
    }
}

impl diesel::migration::MigrationConnection for MysqlConnection {
    fn setup(&mut self) -> QueryResult<usize> {
        self.0.setup()
    }
}

/// Which of the two jobs a connection has. MySQL makes no difference between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May not change anything (SQLite: `query_only`).
    Reader,
    /// SQLite's one writer, and every connection of MySQL.
    Writer,
}

/// Opens the SQLite file with everything a connection of ours relies on.
pub(crate) fn open_sqlite(path: &str, role: Role) -> Result<DbConnection, StoreError> {
    let mut connection = SqliteConnection::establish(path).map_err(StoreError::from_connection)?;
    // WAL first: readers never wait for the writer. FULL: a commit that was answered survives a power cut.
    // The busy timeout covers other processes only (`ovation user passwd`); in this one there is a single writer.
    connection.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA mmap_size = 268435456;",
    )?;
    if role == Role::Reader {
        connection.batch_execute("PRAGMA query_only = ON;")?;
    }
    Ok(DbConnection::Sqlite(connection))
}

/// Opens a MySQL session with everything our transactions rely on, whatever the server's own defaults are.
pub(crate) fn open_mysql(url: &str, statement_timeout: Duration) -> Result<DbConnection, StoreError> {
    let mut connection = MysqlConnection::establish(url).map_err(StoreError::from_connection)?;
    // READ COMMITTED: no gap locks, so crossing writes meet only on rows. Strict: what does not fit is refused, never
    // cut. Messages in English, since two of them are recognised by their words (`is_retryable`).
    connection.batch_execute(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, \
         sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE', \
         time_zone = '+00:00', lc_messages = 'en_US', innodb_lock_wait_timeout = 5",
    )
    .or_else(|_| {
        connection.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
        connection.batch_execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE', \
             time_zone = '+00:00', lc_messages = 'en_US', innodb_lock_wait_timeout = 5",
        )
    })?;
    connection.batch_execute("SET NAMES utf8mb4 COLLATE utf8mb4_bin")?;
    // MariaDB bounds every statement, in seconds; MySQL only selects, in milliseconds. Each refuses the other's name.
    let seconds = statement_timeout.as_secs_f64();
    if connection
        .batch_execute(&format!("SET SESSION max_statement_time = {seconds}"))
        .is_err()
    {
        let millis = statement_timeout.as_millis();
        connection.batch_execute(&format!("SET SESSION max_execution_time = {millis}"))?;
    }
    Ok(DbConnection::Mysql(connection))
}

/// Locks users' rows in ascending order until the transaction ends, and returns how many of them exist. SQLite's
/// writer is alone anyhow; there it only counts.
pub(crate) fn lock_users(connection: &mut DbConnection, users: &[UserId]) -> Result<usize, StoreError> {
    use crate::tables::users::dsl;
    let rows = dsl::users
        .filter(dsl::id.eq_any(users.to_vec()))
        .select(dsl::id)
        .order(dsl::id.asc());
    let found: Vec<UserId> = match connection {
        DbConnection::Sqlite(connection) => rows.load(connection)?,
        DbConnection::Mysql(connection) => rows.for_update().load(connection)?,
    };
    Ok(found.len())
}

/// Locks a video's row until the transaction ends.
pub(crate) fn lock_video(connection: &mut DbConnection, video: VideoId) -> Result<(), StoreError> {
    use crate::tables::videos::dsl;
    if let DbConnection::Mysql(connection) = connection {
        dsl::videos
            .find(video)
            .select(dsl::id)
            .for_update()
            .first::<VideoId>(connection)
            .optional()?;
    }
    Ok(())
}

/// Locks the rows of videos in ascending order until the transaction ends.
pub(crate) fn lock_videos(connection: &mut DbConnection, videos: &[VideoId]) -> Result<(), StoreError> {
    use crate::tables::videos::dsl;
    if let DbConnection::Mysql(connection) = connection {
        let rows = dsl::videos
            .filter(dsl::id.eq_any(videos))
            .select(dsl::id)
            .order(dsl::id.asc());
        rows.for_update().load::<VideoId>(connection)?;
    }
    Ok(())
}

/// Locks the mark until the transaction ends: one flush at a time.
pub(crate) fn lock_mark(connection: &mut DbConnection) -> Result<(), StoreError> {
    use crate::tables::ledger_mark::dsl;
    if let DbConnection::Mysql(connection) = connection {
        dsl::ledger_mark
            .find(1)
            .select(dsl::position)
            .for_update()
            .first::<i64>(connection)?;
    }
    Ok(())
}
