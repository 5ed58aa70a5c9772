//! The statements of a flush that carry many rows.
//!
//! Written as text, since diesel's multi-connection takes no row values, batch inserts or conflict clauses. Everything
//! put into the text is a number or a truth value of ours; nothing that a client wrote.

use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::Wish;
use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::{UserId, VideoId};
use crate::text::{self, Block, CHUNK, Frame, joined};

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
    if let DbConnection::Sqlite(connection) = connection {
        let pairs: Vec<_> = pairs.iter().map(|(user, video)| [user.0, video.0]).collect();
        let mut rows = Vec::with_capacity(pairs.len());
        for block in Block::<PairsAsked, 2>::all(&pairs) {
            rows.append(&mut block.load(connection)?);
        }
        return Ok(rows);
    }
    let list = text::pair_list(connection, pairs.iter().map(|(user, video)| (user.0, video.0)));
    let query = format!("SELECT user_id, video_id, active, noticed FROM favorites WHERE (user_id, video_id) IN {list}");
    Ok(diesel::sql_query(query).load(connection)?)
}

/// SQLite wants its list of row values as a table, MySQL as a list.
struct PairsAsked;

impl Frame for PairsAsked {
    const BEFORE: &'static str =
        "SELECT user_id, video_id, active, noticed FROM favorites WHERE (user_id, video_id) IN (VALUES ";
    const AFTER: &'static str = ")";
}

/// A pair's row as it shall be.
pub(super) struct Upsert {
    pub(super) wish: Wish,
    pub(super) noticed: bool,
}

/// Writes pair rows, up to 1,000 a statement (500 on SQLite), in the order given (which is that of their key).
pub(super) fn upsert_pairs(connection: &mut DbConnection, upserts: &[Upsert]) -> Result<(), StoreError> {
    if let DbConnection::Sqlite(connection) = connection {
        let row = |Upsert { wish, noticed }: &Upsert| {
            let (on, noticed) = (i64::from(wish.on), i64::from(*noticed));
            [wish.user.0, wish.video.0, on, wish.at_ms, noticed]
        };
        let rows: Vec<_> = upserts.iter().map(row).collect();
        for block in Block::<PairsWritten, 5>::all(&rows) {
            block.execute(connection)?;
        }
        return Ok(());
    }
    for upserts in upserts.chunks(CHUNK) {
        let rows = joined(upserts.iter(), |text, Upsert { wish, noticed }| {
            write!(
                text,
                "({},{},{},{},{noticed})",
                wish.user, wish.video, wish.on, wish.at_ms
            )
        });
        let statement = format!(
            "INSERT INTO favorites (user_id, video_id, active, changed_at, noticed) VALUES {rows} \
             ON DUPLICATE KEY UPDATE \
             active = VALUES(active), changed_at = VALUES(changed_at), noticed = VALUES(noticed)"
        );
        diesel::sql_query(statement).execute(connection)?;
    }
    Ok(())
}

struct PairsWritten;

impl Frame for PairsWritten {
    const BEFORE: &'static str = "INSERT INTO favorites (user_id, video_id, active, changed_at, noticed) VALUES ";
    const AFTER: &'static str = " ON CONFLICT (user_id, video_id) DO UPDATE SET \
         active = excluded.active, changed_at = excluded.changed_at, noticed = excluded.noticed";
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
    // The only one of the three that has a row for each liker.
    if let (Count::Given, DbConnection::Sqlite(connection)) = (count, &mut *connection) {
        let rows: Vec<_> = differences.iter().map(|(user, by)| [*user, *by]).collect();
        for block in Block::<GivenMoved, 2>::all(&rows) {
            block.execute(connection)?;
        }
        return Ok(());
    }
    for rows in differences.chunks(CHUNK) {
        text::add(connection, (table, "id"), column, rows)?;
    }
    Ok(())
}

/// As [`text::add`] has it.
struct GivenMoved;

impl Frame for GivenMoved {
    const BEFORE: &'static str = "UPDATE users SET favorite_count = favorite_count + change.column2 FROM (VALUES ";
    const AFTER: &'static str = ") AS change WHERE users.id = change.column1";
}
