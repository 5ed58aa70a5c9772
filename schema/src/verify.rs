//! Recounting: every counter compared with the rows it counts, in one snapshot, and every stream with its events.
//!
//! Counts are caches of rows. This is the proof that they agree, and the way back when they do not.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::backend::DbConnection;
use crate::error::StoreError;

/// A counter of one row that does not say what its rows say. Of a stream: the number of its next event that is taken, a
/// stream that is missing, or the events from its oldest to its newest that are not all there.
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

/// Something else that must hold, of rows that are not named by one number or not mended by one.
struct Check {
    name: &'static str,
    /// Selects `id`, `stored` and `counted` of what is wrong.
    wrong: &'static str,
    /// Mends it; `{id}` stands for the id.
    mend: &'static str,
}

/// In an order in which each may rely on those before it.
const CHECKS: &[Check] = &[
    Check {
        // Of the user whose side it is; one line a conversation.
        name: "conversations.unread",
        wrong: "SELECT c.user_id AS id, c.unread AS stored, COUNT(m.id) AS counted FROM conversations c \
                LEFT JOIN messages m ON m.user_lo = CASE WHEN c.user_id < c.peer_id THEN c.user_id ELSE c.peer_id END \
                AND m.user_hi = CASE WHEN c.user_id < c.peer_id THEN c.peer_id ELSE c.user_id END \
                AND m.create_time > c.read_time AND m.from_user_id = c.peer_id \
                GROUP BY c.user_id, c.peer_id, c.unread HAVING c.unread <> COUNT(m.id) ORDER BY c.user_id",
        mend: "UPDATE conversations SET unread = (SELECT COUNT(*) FROM messages m \
               WHERE m.user_lo = CASE WHEN conversations.user_id < conversations.peer_id \
               THEN conversations.user_id ELSE conversations.peer_id END \
               AND m.user_hi = CASE WHEN conversations.user_id < conversations.peer_id \
               THEN conversations.peer_id ELSE conversations.user_id END \
               AND m.create_time > conversations.read_time AND m.from_user_id = conversations.peer_id) \
               WHERE user_id = {id}",
    },
    Check {
        // A user without a stream can be told nothing, and whoever tells them fails.
        name: "streams.user_id",
        wrong: "SELECT u.id AS id, 0 AS stored, u.id AS counted FROM users u \
                LEFT JOIN streams s ON s.user_id = u.id WHERE s.user_id IS NULL ORDER BY u.id",
        mend: "INSERT INTO streams (user_id, next_seq) \
               SELECT {id}, COALESCE(MAX(seq), 0) + 1 FROM events WHERE user_id = {id}",
    },
    Check {
        // Behind its events: the next one would take a number that is taken.
        name: "streams.next_seq",
        wrong: "SELECT s.user_id AS id, s.next_seq AS stored, e.newest + 1 AS counted FROM streams s \
                JOIN (SELECT user_id, MAX(seq) AS newest FROM events GROUP BY user_id) e ON e.user_id = s.user_id \
                WHERE s.next_seq <= e.newest ORDER BY s.user_id",
        mend: "UPDATE streams SET next_seq = (SELECT MAX(seq) + 1 FROM events WHERE user_id = {id}) \
               WHERE user_id = {id}",
    },
    Check {
        // Not dense from its oldest event to its newest. What is lost can't be made up: what comes before the last hole
        // goes as well, so that a client that has not seen it is told of a gap and not silently skips it.
        name: "streams.events",
        wrong: "SELECT s.user_id AS id, s.next_seq - e.oldest AS stored, e.kept AS counted FROM streams s \
                JOIN (SELECT user_id, MIN(seq) AS oldest, MAX(seq) AS newest, COUNT(*) AS kept \
                FROM events GROUP BY user_id) e ON e.user_id = s.user_id \
                WHERE s.next_seq > e.newest AND s.next_seq - e.oldest <> e.kept ORDER BY s.user_id",
        mend: "DELETE FROM events WHERE user_id = {id} AND seq <= (SELECT last FROM (SELECT MAX(e.seq) AS last \
               FROM events e JOIN streams s ON s.user_id = e.user_id LEFT JOIN events n \
               ON n.user_id = e.user_id AND n.seq = e.seq + 1 \
               WHERE e.user_id = {id} AND n.seq IS NULL AND e.seq + 1 < s.next_seq) hole)",
    },
];

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

impl Row {
    fn of(self, counter: &'static str) -> Difference {
        let Self { id, stored, counted } = self;
        Difference {
            counter,
            id,
            stored,
            counted,
        }
    }
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
        differences.extend(rows.into_iter().map(|row| row.of(name)));
    }
    for Check { name, wrong, .. } in CHECKS {
        let rows: Vec<Row> = diesel::sql_query(format!("{wrong} LIMIT {LISTED}")).load(connection)?;
        differences.extend(rows.into_iter().map(|row| row.of(name)));
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
            if let Some(statement) = mending(counter, *id, *counted) {
                diesel::sql_query(statement).execute(connection)?;
            }
        }
        mended.extend(found);
    }
}

fn mending(name: &str, id: i64, counted: i64) -> Option<String> {
    if let Some(Counter { table, column, .. }) = COUNTERS.iter().find(|known| known.name == name) {
        return Some(format!("UPDATE {table} SET {column} = {counted} WHERE id = {id}"));
    }
    let check = CHECKS.iter().find(|known| known.name == name)?;
    Some(check.mend.replace("{id}", &id.to_string()))
}
