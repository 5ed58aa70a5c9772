//! What must differ between SQLite and MySQL, and nothing else.
//!
//! Owns the connection enum, how SQLite's file is opened, and the locks that only MySQL needs; `mysql` owns the other
//! connection. Never holds a query that could be written once for both: those live beside their noun.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use diesel::connection::{Connection, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::error::StoreError;
use crate::ids::{MessageId, UserId, VideoId};
use crate::mysql::MysqlConnection;
use crate::text;

/// One connection to whichever store is configured. Every query is written once against this type.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// The bundled store, a file in the data folder.
    Sqlite(SqliteConnection),
    /// MySQL or MariaDB, spoken to without a C client.
    Mysql(MysqlConnection),
}

/// The job a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May not change anything (SQLite: `query_only`; MySQL makes no difference).
    Reader,
    /// SQLite's one writer, and every connection of MySQL's pool.
    Writer,
    /// A command's or a migration's: its statements may take as long as they need.
    Admin,
}

/// How long SQLite waits for another process that writes (`ovation user passwd`); in this one there is a single writer.
pub(crate) const BUSY_TIMEOUT_MS: u32 = 5000;

/// Opens the SQLite file with everything a connection of ours relies on.
pub(crate) fn open_sqlite(path: &Path, role: Role) -> Result<DbConnection, StoreError> {
    let name = path
        .to_str()
        .ok_or_else(|| StoreError::Unavailable("the database's path is not UTF-8".into()))?;
    if role != Role::Reader {
        create(path)
            .map_err(|error| StoreError::Unavailable(format!("unable to create the database file: {error}")))?;
    }
    let mut connection = SqliteConnection::establish(name).map_err(StoreError::from_connection)?;
    // WAL first: readers never wait for the writer. FULL: a commit that was answered survives a power cut.
    // No mmap: an I/O error or a file that somebody cuts would be a SIGBUS instead of an error.
    // The cache is a connection's own, and there may be hundreds that read; the system's serves them all.
    let cache_kib = if role == Role::Reader { 4096 } else { 16384 };
    // Pages of the log after which a commit copies them into the file, with two syncs that the ledger's appends wait behind:
    // a flush of likes writes about a thousand, the same ones again and again. Below what the writer calls long.
    let checkpoint_pages = 2500;
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{cache_kib}; PRAGMA journal_size_limit = 16777216; \
         PRAGMA wal_autocheckpoint = {checkpoint_pages};",
    ))?;
    if role == Role::Reader {
        connection.batch_execute("PRAGMA query_only = ON;")?;
    }
    Ok(DbConnection::Sqlite(connection))
}

/// Makes a missing file for its owner alone: it holds password hashes, and the folder may be somebody else's making.
/// SQLite gives its log the same mode. A file that exists is not even opened: closing it would drop SQLite's locks.
fn create(path: &Path) -> io::Result<()> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Locks users' rows in ascending order until the transaction ends, and returns those that exist. SQLite's writer is
/// alone anyhow; there it only looks.
pub(crate) fn lock_users(connection: &mut DbConnection, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
    use crate::tables::users::dsl;
    let rows = dsl::users
        .filter(dsl::id.eq_any(users.to_vec()))
        .select(dsl::id)
        .order(dsl::id.asc());
    Ok(match connection {
        DbConnection::Sqlite(connection) => rows.load(connection)?,
        DbConnection::Mysql(connection) => rows.for_update().load(connection)?,
    })
}

/// Locks a conversation, which is its row of the lower user, until the transaction ends; returns the time of its last
/// message, or none when there is no such conversation yet.
pub(crate) fn lock_conversation(
    connection: &mut DbConnection,
    lo: UserId,
    hi: UserId,
) -> Result<Option<i64>, StoreError> {
    use crate::tables::conversations::dsl;
    let row = dsl::conversations.find((lo, hi)).select(dsl::last_time);
    Ok(match connection {
        DbConnection::Sqlite(connection) => row.first(connection).optional()?,
        DbConnection::Mysql(connection) => row.for_update().first(connection).optional()?,
    })
}

/// One side of a conversation.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(crate) struct Side {
    #[diesel(sql_type = BigInt)]
    pub(crate) user_id: UserId,
    #[diesel(sql_type = BigInt)]
    pub(crate) peer_id: UserId,
    #[diesel(sql_type = BigInt)]
    pub(crate) last_time: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) last_message_id: MessageId,
    #[diesel(sql_type = BigInt)]
    pub(crate) unread: i64,
}

/// Locks up to 1,000 sides of conversations in the order of their key until the transaction ends, and returns those
/// that exist. Whoever asks for a conversation's higher side has its lower one, which is the conversation's lock and the
/// lesser key; so asking for both sides of several in one go makes nobody wait in a circle.
pub(crate) fn lock_sides(connection: &mut DbConnection, sides: &[(UserId, UserId)]) -> Result<Vec<Side>, StoreError> {
    let list = text::pair_list(connection, sides.iter().map(|(user, peer)| (user.0, peer.0)));
    // Forced: where MariaDB takes a small table as a whole it waits for rows that nobody asked for.
    let (index, lock) = match connection {
        DbConnection::Sqlite(_) => ("", ""),
        DbConnection::Mysql(_) => ("FORCE INDEX (PRIMARY)", "ORDER BY user_id, peer_id FOR UPDATE"),
    };
    let query = format!(
        "SELECT user_id, peer_id, last_time, last_message_id, unread FROM conversations {index} \
         WHERE (user_id, peer_id) IN {list} {lock}"
    );
    Ok(diesel::sql_query(query).load(connection)?)
}

/// Locks users' streams in ascending order until the transaction ends, and returns the number of each one's next event.
/// The last lock there is: whoever has it asks for no other.
pub(crate) fn lock_streams(connection: &mut DbConnection, users: &[UserId]) -> Result<Vec<(UserId, i64)>, StoreError> {
    use crate::tables::streams::dsl;
    let rows = dsl::streams
        .filter(dsl::user_id.eq_any(users.to_vec()))
        .select((dsl::user_id, dsl::next_seq))
        .order(dsl::user_id.asc());
    Ok(match connection {
        DbConnection::Sqlite(connection) => rows.load(connection)?,
        DbConnection::Mysql(connection) => rows.for_update().load(connection)?,
    })
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
