//! For tests: what must hold in a store that was filled, beyond the counts that `verify` recounts.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use ovation_schema::{DbConnection, StoreError, verify};

#[derive(Debug, QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Rows that must not be there, each with the sentence that is broken by them.
const FORBIDDEN: [(&str, &str); 10] = [
    (
        "a like is older than its video",
        "favorites JOIN videos ON videos.id = video_id WHERE changed_at < publish_time",
    ),
    (
        "a like has no video",
        "favorites LEFT JOIN videos ON videos.id = video_id WHERE videos.id IS NULL",
    ),
    (
        "a like has no user",
        "favorites LEFT JOIN users ON users.id = user_id WHERE users.id IS NULL",
    ),
    (
        "a comment is not younger than its video",
        "comments JOIN videos ON videos.id = video_id WHERE comments.created_at <= publish_time",
    ),
    ("somebody follows themselves", "follows WHERE follower_id = followee_id"),
    (
        "a message is not of its conversation",
        "messages WHERE user_lo >= user_hi OR from_user_id NOT IN (user_lo, user_hi)",
    ),
    (
        "a conversation does not end with its last message",
        "conversations LEFT JOIN messages ON messages.id = last_message_id WHERE create_time IS NULL OR create_time <> \
         last_time OR create_time <> (SELECT MAX(m.create_time) FROM messages m WHERE m.user_lo = messages.user_lo AND \
         m.user_hi = messages.user_hi)",
    ),
    (
        "a message has no conversation",
        "messages LEFT JOIN conversations ON user_id = user_lo AND peer_id = user_hi WHERE user_id IS NULL",
    ),
    (
        "a conversation has one side",
        "conversations a LEFT JOIN conversations b ON b.user_id = a.peer_id AND b.peer_id = a.user_id WHERE \
         b.user_id IS NULL",
    ),
    (
        "the next ids or the publish clock are behind",
        "clocks WHERE name = 'publish' AND (last_ms < (SELECT MAX(publish_time) FROM videos) \
         OR (SELECT MAX(id) FROM users) >= (SELECT next_id FROM id_blocks WHERE kind = 'user') \
         OR (SELECT MAX(id) FROM videos) >= (SELECT next_id FROM id_blocks WHERE kind = 'video') \
         OR (SELECT MAX(id) FROM comments) >= (SELECT next_id FROM id_blocks WHERE kind = 'comment') \
         OR (SELECT MAX(id) FROM messages) >= (SELECT next_id FROM id_blocks WHERE kind = 'message'))",
    ),
];

/// What is wrong in the store, in words; nothing when all is well. Not inside a transaction.
pub fn faults(connection: &mut DbConnection) -> Result<Vec<String>, StoreError> {
    let counted = verify::recount(connection)?.into_iter();
    let mut faults: Vec<String> = counted
        .map(|wrong| {
            format!(
                "{} of {} is {}, but there are {}",
                wrong.counter, wrong.id, wrong.stored, wrong.counted
            )
        })
        .collect();
    for (sentence, rows) in FORBIDDEN {
        if number(connection, &format!("SELECT COUNT(*) AS number FROM {rows}"))? > 0 {
            faults.push(sentence.to_owned());
        }
    }
    Ok(faults)
}

/// The one number that a query calls `number`.
pub fn number(connection: &mut DbConnection, query: &str) -> Result<i64, StoreError> {
    Ok(diesel::sql_query(query).get_result::<Number>(connection)?.number)
}

/// The texts that a query calls `line`.
pub fn lines(connection: &mut DbConnection, query: &str) -> Result<Vec<String>, StoreError> {
    let lines: Vec<Line> = diesel::sql_query(query).load(connection)?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}
