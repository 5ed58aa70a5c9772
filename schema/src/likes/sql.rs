//! The statements of a flush that carry many rows.
//!
//! Written as text, since diesel's multi-connection takes no row values, batch inserts or conflict clauses. Everything
//! put into the text is an integer of ours, or JSON made of such; nothing that a client wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{CHUNK, Wish};
use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::{UserId, VideoId};

/// The row of a pair.
#[derive(Debug, QueryableByName)]
pub(super) struct PairRow {
    #[diesel(sql_type = BigInt)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    video_id: VideoId,
    #[diesel(sql_type = Bool)]
    pub(super) active: bool,
    #[diesel(sql_type = Bool)]
    pub(super) noticed: bool,
}

impl PairRow {
    pub(super) fn pair(&self) -> (UserId, VideoId) {
        (self.user_id, self.video_id)
    }
}

/// The rows of pairs that have one; each by primary key.
pub(super) fn pair_rows(
    connection: &mut DbConnection,
    pairs: &[(UserId, VideoId)],
) -> Result<Vec<PairRow>, StoreError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    // SQLite wants its list of row values as a table, MySQL as a list.
    let values = if matches!(connection, DbConnection::Sqlite(_)) {
        "VALUES "
    } else {
        ""
    };
    let list = joined(pairs.iter(), |text, (user, video)| write!(text, "({user},{video})"));
    let query = format!(
        "SELECT user_id, video_id, active, noticed FROM favorites WHERE (user_id, video_id) IN ({values}{list})"
    );
    Ok(diesel::sql_query(query).load(connection)?)
}

/// A pair's row as it shall be.
pub(super) struct Upsert {
    pub(super) wish: Wish,
    pub(super) noticed: bool,
}

/// Writes pair rows, up to 1,000 a statement, in the order given (which is that of their key).
pub(super) fn upsert_pairs(connection: &mut DbConnection, upserts: &[Upsert]) -> Result<(), StoreError> {
    let on_conflict = match connection {
        DbConnection::Sqlite(_) => {
            "ON CONFLICT (user_id, video_id) DO UPDATE SET \
             active = excluded.active, changed_at = excluded.changed_at, noticed = excluded.noticed"
        }
        DbConnection::Mysql(_) => {
            "ON DUPLICATE KEY UPDATE \
             active = VALUES(active), changed_at = VALUES(changed_at), noticed = VALUES(noticed)"
        }
    };
    for upserts in upserts.chunks(CHUNK) {
        let rows = joined(upserts.iter(), |text, Upsert { wish, noticed }| {
            write!(
                text,
                "({},{},{},{},{noticed})",
                wish.user, wish.video, wish.on, wish.at_ms
            )
        });
        let statement = format!(
            "INSERT INTO favorites (user_id, video_id, active, changed_at, noticed) VALUES {rows} {on_conflict}"
        );
        diesel::sql_query(statement).execute(connection)?;
    }
    Ok(())
}

/// A count that a batch moves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    /// Likes of a video.
    Video,
    /// Likes a user has given.
    Given,
    /// Likes a user has received.
    Received,
}

/// Adds differences to a count, up to 1,000 rows a statement; those of 0 are left out.
pub(super) fn add(
    connection: &mut DbConnection,
    count: Count,
    differences: impl Iterator<Item = (i64, i64)>,
) -> Result<(), StoreError> {
    let (table, column) = match count {
        Count::Video => ("videos", "favorite_count"),
        Count::Given => ("users", "favorite_count"),
        Count::Received => ("users", "total_favorited"),
    };
    let differences: Vec<_> = differences.filter(|(_, by)| *by != 0).collect();
    for rows in differences.chunks(CHUNK) {
        set(connection, table, column, &format!("{column} + "), rows)?;
    }
    Ok(())
}

/// Sets the number of each user's next event.
pub(super) fn set_next_seq(connection: &mut DbConnection, next: &BTreeMap<UserId, i64>) -> Result<(), StoreError> {
    let next: Vec<_> = next.iter().map(|(user, seq)| (user.0, *seq)).collect();
    for rows in next.chunks(CHUNK) {
        set(connection, "users", "next_seq", "", rows)?;
    }
    Ok(())
}

fn set(
    connection: &mut DbConnection,
    table: &str,
    column: &str,
    prefix: &str,
    rows: &[(i64, i64)],
) -> Result<(), StoreError> {
    let statement = match connection {
        // Joined by primary key: a CASE is gone through from its start for each row, which makes a thousand rows half a
        // million comparisons.
        DbConnection::Sqlite(_) => {
            let values = joined(rows.iter(), |text, (id, value)| write!(text, "({id},{value})"));
            format!(
                "UPDATE {table} SET {column} = {prefix}change.column2 FROM (VALUES {values}) AS change \
                 WHERE {table}.id = change.column1"
            )
        }
        // MySQL and MariaDB have no spelling of a list of rows in common.
        DbConnection::Mysql(_) => {
            let mut cases = String::new();
            for (id, value) in rows {
                write!(cases, " WHEN {id} THEN {value}").map_err(unwritable)?;
            }
            let ids = joined(rows.iter(), |text, (id, _)| write!(text, "{id}"));
            format!("UPDATE {table} SET {column} = {prefix}CASE id{cases} END WHERE id IN ({ids})")
        }
    };
    diesel::sql_query(statement).execute(connection)?;
    Ok(())
}

/// One line of a user's stream.
pub(super) struct Event {
    pub(super) user: UserId,
    pub(super) seq: i64,
    /// JSON made of integers alone.
    pub(super) payload: String,
    pub(super) created_at: i64,
}

/// Writes events, up to 1,000 a statement.
pub(super) fn insert_events(connection: &mut DbConnection, events: &[Event]) -> Result<(), StoreError> {
    for events in events.chunks(CHUNK) {
        let rows = joined(events.iter(), |text, event| {
            let Event {
                user,
                seq,
                payload,
                created_at,
            } = event;
            write!(text, "({user},{seq},'favorite.new','{payload}',{created_at})")
        });
        let statement = format!("INSERT INTO events (user_id, seq, kind, payload, created_at) VALUES {rows}");
        diesel::sql_query(statement).execute(connection)?;
    }
    Ok(())
}

fn joined<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T) -> std::fmt::Result) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String does not fail.
        let _ = write(&mut text, item);
    }
    text
}

fn unwritable(error: std::fmt::Error) -> StoreError {
    StoreError::Internal(error.to_string())
}
