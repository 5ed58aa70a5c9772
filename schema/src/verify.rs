//! Recounting: every counter compared with the rows it counts, in one snapshot.
//!
//! Counts are caches of rows. This is the proof that they agree, and the way back when they do not.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::backend::DbConnection;
use crate::error::StoreError;

/// A counter of one row that does not say what its rows say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `table.column`.
    pub counter: &'static str,
    /// Of which row.
    pub id: i64,
    /// What the counter says.
    pub stored: i64,
    /// What the rows say.
    pub counted: i64,
}

/// A counter and how it is counted anew: `(id, n)` for every row with something to count.
struct Counter {
    name: &'static str,
    table: &'static str,
    column: &'static str,
    count: &'static str,
}

const COUNTERS: &[Counter] = &[
    Counter {
        name: "videos.favorite_count",
        table: "videos",
        column: "favorite_count",
        count: "SELECT video_id AS id, COUNT(*) AS n FROM favorites WHERE active = TRUE GROUP BY video_id",
    },
    Counter {
        name: "videos.comment_count",
        table: "videos",
        column: "comment_count",
        count: "SELECT video_id AS id, COUNT(*) AS n FROM comments WHERE deleted_at IS NULL GROUP BY video_id",
    },
    Counter {
        name: "users.favorite_count",
        table: "users",
        column: "favorite_count",
        count: "SELECT user_id AS id, COUNT(*) AS n FROM favorites WHERE active = TRUE GROUP BY user_id",
    },
    Counter {
        name: "users.total_favorited",
        table: "users",
        column: "total_favorited",
        count: "SELECT videos.author_id AS id, COUNT(*) AS n FROM favorites \
                JOIN videos ON videos.id = favorites.video_id WHERE favorites.active = TRUE GROUP BY videos.author_id",
    },
    Counter {
        name: "users.work_count",
        table: "users",
        column: "work_count",
        count: "SELECT author_id AS id, COUNT(*) AS n FROM videos GROUP BY author_id",
    },
    Counter {
        name: "users.follow_count",
        table: "users",
        column: "follow_count",
        count: "SELECT follower_id AS id, COUNT(*) AS n FROM follows WHERE active = TRUE GROUP BY follower_id",
    },
    Counter {
        name: "users.follower_count",
        table: "users",
        column: "follower_count",
        count: "SELECT followee_id AS id, COUNT(*) AS n FROM follows WHERE active = TRUE GROUP BY followee_id",
    },
];

/// Differences of one counter that are listed at most; where there are more, mending and looking again finds them.
const LISTED: usize = 10_000;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    stored: i64,
    #[diesel(sql_type = BigInt)]
    counted: i64,
}

/// Recounts everything in one snapshot; empty means that all counters are exact. Takes seconds on a large store, and
/// may run beside writers. Not inside a transaction.
pub fn recount(connection: &mut DbConnection) -> Result<Vec<Difference>, StoreError> {
    let begin = match connection {
        DbConnection::Sqlite(_) => "BEGIN",
        DbConnection::Mysql(_) => {
            connection.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
            "START TRANSACTION WITH CONSISTENT SNAPSHOT"
        }
    };
    connection.batch_execute(begin)?;
    let differences = differences(connection);
    connection.batch_execute("ROLLBACK")?;
    differences
}

fn differences(connection: &mut DbConnection) -> Result<Vec<Difference>, StoreError> {
    let mut differences = Vec::new();
    for Counter {
        name,
        table,
        column,
        count,
    } in COUNTERS
    {
        let query = format!(
            "SELECT t.id AS id, t.{column} AS stored, COALESCE(c.n, 0) AS counted \
             FROM {table} t LEFT JOIN ({count}) c ON c.id = t.id \
             WHERE t.{column} <> COALESCE(c.n, 0) ORDER BY t.id LIMIT {LISTED}"
        );
        let rows: Vec<Row> = diesel::sql_query(query).load(connection)?;
        differences.extend(rows.into_iter().map(|Row { id, stored, counted }| Difference {
            counter: name,
            id,
            stored,
            counted,
        }));
    }
    Ok(differences)
}

/// Sets every counter to what its rows say, in one transaction, and returns what was mended. The caller must be the only
/// one that writes, and brings a connection without a deadline: a large store takes longer than any request may.
pub fn mend(connection: &mut DbConnection) -> Result<Vec<Difference>, StoreError> {
    connection.batch_execute(match connection {
        DbConnection::Sqlite(_) => "BEGIN IMMEDIATE",
        DbConnection::Mysql(_) => "START TRANSACTION",
    })?;
    let mended = mend_all(connection);
    connection.batch_execute(if mended.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    mended
}

fn mend_all(connection: &mut DbConnection) -> Result<Vec<Difference>, StoreError> {
    let mut mended = Vec::new();
    loop {
        let found = differences(connection)?;
        if found.is_empty() {
            return Ok(mended);
        }
        for Difference {
            counter, id, counted, ..
        } in &found
        {
            let Some(Counter { table, column, .. }) = COUNTERS.iter().find(|known| known.name == *counter) else {
                continue;
            };
            let statement = format!("UPDATE {table} SET {column} = {counted} WHERE id = {id}");
            diesel::sql_query(statement).execute(connection)?;
        }
        mended.extend(found);
    }
}
