//! The statements of a batch of messages.
//!
//! As text where diesel's multi-connection has no words for them; ids and times stand in the text, what a client wrote is
//! bound.

use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::Before;
use crate::backend::{DbConnection, Side};
use crate::error::StoreError;
use crate::ids::{MessageId, UserId};
use crate::tables::messages;
use crate::text::{self, CHUNK, joined};

/// Those of the conversations that exist, as they are seen without a lock. One statement for up to 1,000, by primary
/// key.
pub(super) fn existing(
    connection: &mut DbConnection,
    conversations: &[(UserId, UserId)],
) -> Result<Vec<(UserId, UserId)>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        user_id: UserId,
        #[diesel(sql_type = BigInt)]
        peer_id: UserId,
    }
    let mut found = Vec::with_capacity(conversations.len());
    for conversations in conversations.chunks(CHUNK) {
        let list = text::pair_list(connection, conversations.iter().map(|(lo, hi)| (lo.0, hi.0)));
        let query = format!("SELECT user_id, peer_id FROM conversations WHERE (user_id, peer_id) IN {list}");
        let rows: Vec<Row> = diesel::sql_query(query).load(connection)?;
        found.extend(rows.into_iter().map(|row| (row.user_id, row.peer_id)));
    }
    Ok(found)
}

/// A message with the key that its sender gave it.
#[derive(QueryableByName)]
pub(super) struct Keyed {
    #[diesel(sql_type = BigInt)]
    pub(super) from_user_id: UserId,
    #[diesel(sql_type = Text)]
    pub(super) client_key: String,
    #[diesel(sql_type = BigInt)]
    id: MessageId,
    #[diesel(sql_type = BigInt)]
    user_lo: UserId,
    #[diesel(sql_type = BigInt)]
    user_hi: UserId,
    #[diesel(sql_type = Text)]
    content: String,
    #[diesel(sql_type = BigInt)]
    create_time: i64,
}

impl Keyed {
    pub(super) fn before(&self) -> Before<'_> {
        Before {
            id: self.id,
            conversation: (self.user_lo, self.user_hi),
            content: &self.content,
            create_time: self.create_time,
        }
    }
}

/// The messages that have these keys of these senders. One statement for up to 1,000, by the unique index
/// (sender, key).
pub(super) fn keyed(connection: &mut DbConnection, keys: &[(UserId, &str)]) -> Result<Vec<Keyed>, StoreError> {
    let mut found = Vec::new();
    for keys in keys.chunks(CHUNK) {
        let places = joined(keys.iter(), |text, (from, _)| write!(text, "({from},?)"));
        let among = match connection {
            // A join: that index has only messages with a key, and SQLite does not see that a row in a list of rows has one.
            DbConnection::Sqlite(_) => format!(
                "(VALUES {places}) AS asked CROSS JOIN messages \
                 ON from_user_id = asked.column1 AND client_key = asked.column2"
            ),
            DbConnection::Mysql(_) => format!("messages WHERE (from_user_id, client_key) IN ({places})"),
        };
        let query = format!("SELECT from_user_id, client_key, id, user_lo, user_hi, content, create_time FROM {among}");
        let mut query = diesel::sql_query(query).into_boxed();
        for (_, key) in keys {
            query = query.bind::<Text, _>(*key);
        }
        found.extend(query.load::<Keyed>(connection)?);
    }
    Ok(found)
}

mod row {
    #![allow(clippy::ref_option_ref, reason = "what diesel's derive writes")]

    use diesel::prelude::*;

    use crate::ids::{MessageId, UserId};
    use crate::tables::messages;

    /// A message as a row.
    #[derive(Insertable)]
    #[diesel(table_name = messages, treat_none_as_default_value = false)]
    pub(in super::super) struct Row<'a> {
        pub(in super::super) id: MessageId,
        pub(in super::super) user_lo: UserId,
        pub(in super::super) user_hi: UserId,
        pub(in super::super) from_user_id: UserId,
        pub(in super::super) content: &'a str,
        pub(in super::super) create_time: i64,
        pub(in super::super) client_key: Option<&'a str>,
    }
}
pub(super) use row::Row;

/// Writes messages, up to 1,000 a statement.
pub(super) fn insert(connection: &mut DbConnection, rows: &[Row<'_>]) -> Result<(), StoreError> {
    for rows in rows.chunks(CHUNK) {
        let insert = diesel::insert_into(messages::table).values(rows);
        // `MultiConnection` has no statement of many rows; each store alone has.
        match connection {
            DbConnection::Sqlite(connection) => insert.execute(connection)?,
            DbConnection::Mysql(connection) => insert.execute(connection)?,
        };
    }
    Ok(())
}

/// Moves sides of conversations to where they shall stand, and makes those that are not there yet; up to 1,000 a
/// statement. They are locked, so what was read and added to is what is true.
pub(super) fn put(connection: &mut DbConnection, sides: &[Side]) -> Result<(), StoreError> {
    let on_conflict = match connection {
        DbConnection::Sqlite(_) => {
            "ON CONFLICT (user_id, peer_id) DO UPDATE SET last_time = excluded.last_time, \
             last_message_id = excluded.last_message_id, unread = excluded.unread"
        }
        DbConnection::Mysql(_) => {
            "ON DUPLICATE KEY UPDATE last_time = VALUES(last_time), \
             last_message_id = VALUES(last_message_id), unread = VALUES(unread)"
        }
    };
    for sides in sides.chunks(CHUNK) {
        let rows = joined(sides.iter(), |text, side| {
            let Side {
                user_id,
                peer_id,
                last_time,
                last_message_id,
                unread,
            } = side;
            write!(text, "({user_id},{peer_id},{last_time},{last_message_id},0,0,{unread})")
        });
        let statement = format!(
            "INSERT INTO conversations (user_id, peer_id, last_time, last_message_id, read_time, read_message_id, unread) \
             VALUES {rows} {on_conflict}"
        );
        diesel::sql_query(statement).execute(connection)?;
    }
    Ok(())
}
