//! The ledger's SQLite file: its tables, its settings, and the sentences of SQLite that mean something to us.
//!
//! Owns the schema (its version is `user_version`) and the one row that says where everything stands. Never looks into
//! a group.
//!
//! Settings, and why. WAL: one sync a group, at its end. EXCLUSIVE locking: a second opener is refused, and the WAL
//! index lives in our memory, not in a third file. A checkpoint every 256 pages (1 MiB) instead of 1,000: it runs inside
//! an append and holds it up, and a small one holds it up less; the WAL is then written over from its start, whose blocks
//! are allocated already, which makes its sync cheaper. `mmap` was refused: an I/O error would be a signal.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{ConnectionError, Error as DieselError};
use diesel::sql_types::{BigInt, Binary, Integer, Text};
use diesel::sqlite::Sqlite;

use super::group::Link;
use super::{LedgerError, POSITION_MAX, Sync};

/// The format this version writes.
pub(super) const VERSION: i32 = 1;

/// The WAL's size where a checkpoint begins, in pages of 4 KiB.
const CHECKPOINT_PAGES: u32 = 256;
/// What a WAL that grew while no checkpoint succeeded is cut back to, in bytes.
const WAL_BYTES: u32 = 8 << 20;

diesel::table! {
    groups (last) {
        last -> BigInt,
        first -> BigInt,
        at_ms -> BigInt,
        checksum -> Binary,
        body -> Binary,
    }
}
diesel::table! {
    state (ledger_id) {
        ledger_id -> Text,
        store_id -> Text,
        last -> BigInt,
        head_position -> BigInt,
        head_checksum -> Binary,
        trimmed_to -> BigInt,
        trimmed_checksum -> Binary,
        flushed -> BigInt,
        entries -> BigInt,
        groups -> BigInt,
    }
}
diesel::table! {
    quarantined (position) {
        position -> BigInt,
        body -> Binary,
        reason -> Text,
    }
}

const SCHEMA: &str = "
    CREATE TABLE state (
        ledger_id TEXT NOT NULL PRIMARY KEY, store_id TEXT NOT NULL, last INTEGER NOT NULL,
        head_position INTEGER NOT NULL, head_checksum BLOB NOT NULL,
        trimmed_to INTEGER NOT NULL, trimmed_checksum BLOB NOT NULL,
        flushed INTEGER NOT NULL, entries INTEGER NOT NULL, groups INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- The body comes last, so that a look at the other columns does not read it.
    CREATE TABLE groups (
        last INTEGER NOT NULL PRIMARY KEY, first INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        checksum BLOB NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE quarantined (
        position INTEGER NOT NULL PRIMARY KEY, body BLOB NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    -- What a repair took out, as it was found.
    CREATE TABLE rejected (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, last INTEGER NOT NULL, first INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, checksum BLOB NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL
    ) STRICT;";

/// The one row that says where everything stands. Written with every group, so that a missing last group shows.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = state)]
pub(super) struct State {
    pub(super) ledger_id: String,
    pub(super) store_id: String,
    /// The last position given out or skipped.
    pub(super) last: i64,
    head_position: i64,
    head_checksum: Vec<u8>,
    trimmed_to: i64,
    trimmed_checksum: Vec<u8>,
    /// What the caller last said is in the store. Only a hint after a restart: how much to verify, what is waiting.
    pub(super) flushed: i64,
    /// Entries and groups kept, so that nobody has to count them.
    pub(super) entries: i64,
    pub(super) groups: i64,
}

impl State {
    fn new(store_id: &str) -> Self {
        let ledger_id = format!("{:032x}", rand::random::<u128>());
        let origin = Link::origin(&ledger_id);
        Self {
            ledger_id,
            store_id: store_id.to_owned(),
            last: 0,
            head_position: 0,
            head_checksum: origin.checksum.clone(),
            trimmed_to: 0,
            trimmed_checksum: origin.checksum,
            flushed: 0,
            entries: 0,
            groups: 0,
        }
    }

    /// The last group ever recorded and not rejected.
    pub(super) fn head(&self) -> Link {
        Link {
            position: self.head_position,
            checksum: self.head_checksum.clone(),
        }
    }

    pub(super) fn set_head(&mut self, link: Link) {
        self.head_position = link.position;
        self.head_checksum = link.checksum;
    }

    /// The last group that was trimmed.
    pub(super) fn tail(&self) -> Link {
        Link {
            position: self.trimmed_to,
            checksum: self.trimmed_checksum.clone(),
        }
    }

    pub(super) fn set_tail(&mut self, link: Link) {
        self.trimmed_to = link.position;
        self.trimmed_checksum = link.checksum;
    }

    /// Checks that its numbers can stand together.
    pub(super) fn validate(&self) -> Result<(), LedgerError> {
        let order = [0, self.trimmed_to, self.head_position, self.last, POSITION_MAX];
        let sound = order.is_sorted()
            && (0..=self.last).contains(&self.flushed)
            && (0..=POSITION_MAX).contains(&self.entries)
            && (0..=POSITION_MAX).contains(&self.groups)
            && (self.trimmed_to > 0 || self.tail() == Link::origin(&self.ledger_id));
        if sound {
            return Ok(());
        }
        Err(LedgerError::Damaged {
            position: 0,
            what: "the row that says where everything stands contradicts itself".to_owned(),
        })
    }

    pub(super) fn load(connection: &mut SqliteConnection) -> QueryResult<Self> {
        state::table.first(connection)
    }

    pub(super) fn save(&self, connection: &mut SqliteConnection) -> QueryResult<()> {
        match Save(self).execute(connection)? {
            1 => Ok(()),
            _ => Err(DieselError::NotFound),
        }
    }
}

/// The statement that writes all of [`State`]. Diesel's own `update` is prepared anew each time, which took a third of an
/// append; the text of this one never changes, and it is prepared once a connection.
struct Save<'a>(&'a State);

impl QueryId for Save<'_> {
    type QueryId = Save<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Save<'_> {}

impl QueryFragment<Sqlite> for Save<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let state = self.0;
        out.push_sql("UPDATE state SET ledger_id = ");
        out.push_bind_param::<Text, _>(&state.ledger_id)?;
        out.push_sql(", store_id = ");
        out.push_bind_param::<Text, _>(&state.store_id)?;
        out.push_sql(", head_checksum = ");
        out.push_bind_param::<Binary, _>(&state.head_checksum)?;
        out.push_sql(", trimmed_checksum = ");
        out.push_bind_param::<Binary, _>(&state.trimmed_checksum)?;
        for (column, value) in [
            (", last = ", &state.last),
            (", head_position = ", &state.head_position),
            (", trimmed_to = ", &state.trimmed_to),
            (", flushed = ", &state.flushed),
            (", entries = ", &state.entries),
            (", groups = ", &state.groups),
        ] {
            out.push_sql(column);
            out.push_bind_param::<BigInt, _>(value)?;
        }
        Ok(())
    }
}

/// Opens the file for us alone. Where `store_id` is given, a file that is not there or empty becomes its ledger.
pub(super) fn open(path: &Path, store_id: Option<&str>, sync: Sync) -> Result<(SqliteConnection, State), LedgerError> {
    if store_id.is_none() && !path.exists() {
        return Err(LedgerError::Unavailable("there is no ledger".to_owned()));
    }
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).map_err(|error| match error {
        ConnectionError::CouldntSetupConfiguration(error) => failure(&error, 0),
        // Its text may hold the path.
        _ => LedgerError::Unavailable("unable to open the file".to_owned()),
    })?;
    let state = prepare(&mut connection, store_id, sync)?;
    match store_id {
        Some(ours) if ours != state.store_id => Err(LedgerError::Foreign {
            theirs: state.store_id,
            ours: ours.to_owned(),
        }),
        _ => Ok((connection, state)),
    }
}

fn prepare(connection: &mut SqliteConnection, store_id: Option<&str>, sync: Sync) -> Result<State, LedgerError> {
    let failed = |error: DieselError| failure(&error, 0);
    // NORMAL, not OFF, for `os`: a power cut then loses the latest groups but leaves a sound file.
    let level = match sync {
        Sync::Always => "FULL",
        Sync::Os => "NORMAL",
    };
    // `fullfsync`: macOS calls a sync done that has not left the disk's cache; no other system knows the word.
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;
             PRAGMA synchronous = {level}; PRAGMA fullfsync = 1; PRAGMA cell_size_check = 1;
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = {WAL_BYTES};"
        ))
        .map_err(failed)?;
    let mode: String =
        scalar::<Text, _>(connection, "(SELECT journal_mode FROM pragma_journal_mode)").map_err(failed)?;
    if mode != "wal" {
        return Err(LedgerError::Unavailable(format!("journal mode {mode} instead of wal")));
    }
    let version: i32 =
        scalar::<Integer, _>(connection, "(SELECT user_version FROM pragma_user_version)").map_err(failed)?;
    let tables: i64 = scalar::<BigInt, _>(connection, "(SELECT count(*) FROM sqlite_schema)").map_err(failed)?;
    match (version, tables, store_id) {
        (VERSION, ..) => State::load(connection).map_err(failed),
        (0, 0, Some(store_id)) => create(connection, store_id).map_err(failed),
        (found, ..) if found > VERSION => Err(LedgerError::Newer { found, known: VERSION }),
        _ => Err(LedgerError::Damaged {
            position: 0,
            what: "the file is no ledger".to_owned(),
        }),
    }
}

/// One transaction: a crash leaves an empty file, which the next start fills.
fn create(connection: &mut SqliteConnection, store_id: &str) -> QueryResult<State> {
    let state = State::new(store_id);
    connection.immediate_transaction(|connection| {
        connection.batch_execute(SCHEMA)?;
        connection.batch_execute(&format!("PRAGMA user_version = {VERSION}"))?;
        diesel::insert_into(state::table).values(&state).execute(connection)
    })?;
    Ok(state)
}

/// One value out of an expression without parameters.
fn scalar<ST, T>(connection: &mut SqliteConnection, expression: &str) -> QueryResult<T>
where
    ST: diesel::sql_types::SqlType + diesel::sql_types::SingleValue + 'static,
    T: diesel::deserialize::FromSql<ST, Sqlite> + 'static,
    Sqlite: diesel::sql_types::HasSqlType<ST>,
    T: diesel::deserialize::FromSqlRow<ST, Sqlite>,
{
    diesel::select(diesel::dsl::sql::<ST>(expression)).get_result(connection)
}

/// Bytes of pages in use. Those that are free are used again and do not count.
pub(super) fn used_bytes(connection: &mut SqliteConnection) -> QueryResult<u64> {
    let bytes: i64 = scalar::<BigInt, _>(
        connection,
        "(SELECT (page_count - freelist_count) * page_size
          FROM pragma_page_count, pragma_freelist_count, pragma_page_size)",
    )?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// How many rows a table of this file has.
pub(super) fn rows(connection: &mut SqliteConnection, table: &'static str) -> QueryResult<u64> {
    let rows: i64 = scalar::<BigInt, _>(connection, &format!("(SELECT count(*) FROM {table})"))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// True where SQLite says that there was no room: a write fell short, so what it belonged to is not recorded.
pub(super) fn is_full(error: &DieselError) -> bool {
    error.to_string().contains("database or disk is full")
}

/// Sorts SQLite's error by what the caller can do. Recognised by words from its fixed table, since diesel keeps no codes.
pub(super) fn failure(error: &DieselError, position: i64) -> LedgerError {
    let words = error.to_string();
    if words.contains("database is locked") {
        LedgerError::InUse
    } else if words.contains("malformed") || words.contains("not a database") || *error == DieselError::NotFound {
        LedgerError::Damaged {
            position,
            what: format!("SQLite says: {words}"),
        }
    } else {
        LedgerError::Unavailable(words)
    }
}
