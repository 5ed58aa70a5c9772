//! Read marks: how far each side of a conversation has read, and how much it has not.
//!
//! A mark is the time of a message and only moves forward. What is unread is recounted from the messages past it
//! whenever it moves, and grows by one with each message that arrives; both under the conversation's lock.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::ordered;
use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::events::{MessageRead, Payload as _};
use crate::follows::NO_MESSAGE;
use crate::ids::{MessageId, UserId};
use crate::streams::{self, Event};
use crate::tables::{conversations, messages};

/// How far a conversation has been read, as one side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationState {
    /// The last message this side has read; 0 for none.
    pub read_message_id: MessageId,
    /// The last message the other side has read; 0 for none.
    pub peer_read_message_id: MessageId,
    /// How many of the other side's messages this side has not read.
    pub unread: i64,
}

/// What became of a read mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It stands further on now.
    Moved {
        /// How many of the peer's messages are still unread.
        unread: i64,
        /// What both users are told.
        events: Vec<Event>,
    },
    /// It stood there or further on already; nothing changed.
    Unchanged {
        /// How many of the peer's messages are unread.
        unread: i64,
    },
    /// The conversation has no such message; nothing changed.
    UnknownMessage,
}

/// The marks of a conversation; zeros where there is none. Two statements, by primary key.
pub fn conversation(
    connection: &mut DbConnection,
    viewer: UserId,
    peer: UserId,
) -> Result<ConversationState, StoreError> {
    let mut side = |user, other| {
        let row: Option<(MessageId, i64)> = conversations::table
            .find((user, other))
            .select((conversations::read_message_id, conversations::unread))
            .first(connection)
            .optional()?;
        Ok::<_, StoreError>(row.unwrap_or((NO_MESSAGE, 0)))
    };
    let (read_message_id, unread) = side(viewer, peer)?;
    let (peer_read_message_id, _) = side(peer, viewer)?;
    Ok(ConversationState {
        read_message_id,
        peer_read_message_id,
        unread,
    })
}

/// How many messages a user has not read, over all conversations. One statement: the user's range of the primary key,
/// a row for everybody this user ever talked with.
pub fn unread_total(connection: &mut DbConnection, user: UserId) -> Result<i64, StoreError> {
    Ok(conversations::table
        .filter(conversations::user_id.eq(user))
        // diesel makes a decimal of a sum; this one is far from the end of an integer.
        .select(diesel::dsl::sql::<BigInt>("CAST(COALESCE(SUM(unread), 0) AS SIGNED)"))
        .first(connection)?)
}

/// Marks everything in the reader's conversation with `peer` as read, up to `message` and that one included, and tells
/// both users. A message of the reader's own will do. Locks the conversation, then both streams.
///
/// By primary keys, and the recount a range of the unique index (conversation, time): as many entries as there are
/// messages past the mark.
pub fn read(
    connection: &mut DbConnection,
    reader: UserId,
    peer: UserId,
    message: MessageId,
    now_ms: i64,
) -> Result<Read, StoreError> {
    let (lo, hi) = ordered(reader, peer);
    // A message never changes, so it can be read before the lock.
    let read_time: Option<i64> = messages::table
        .find(message)
        .filter(messages::user_lo.eq(lo))
        .filter(messages::user_hi.eq(hi))
        .select(messages::create_time)
        .first(connection)
        .optional()?;
    let Some(read_time) = read_time else {
        return Ok(Read::UnknownMessage);
    };
    backend::lock_conversation(connection, lo, hi)?;
    let side = || conversations::table.find((reader, peer));
    let (before, unread): (i64, i64) = side()
        .select((conversations::read_time, conversations::unread))
        .first(connection)?;
    if read_time <= before {
        return Ok(Read::Unchanged { unread });
    }
    let unread: i64 = messages::table
        .filter(messages::user_lo.eq(lo))
        .filter(messages::user_hi.eq(hi))
        .filter(messages::create_time.gt(read_time))
        .filter(messages::from_user_id.eq(peer))
        .count()
        .get_result(connection)?;
    diesel::update(side())
        .set((
            conversations::read_time.eq(read_time),
            conversations::read_message_id.eq(message),
            conversations::unread.eq(unread),
        ))
        .execute(connection)?;
    let told = MessageRead {
        user_id: reader.0,
        with_user_id: peer.0,
        message_id: message.0,
        read_time,
        unread: None,
    };
    let to_reader = MessageRead {
        unread: Some(unread),
        ..told.clone()
    };
    let events = streams::append(connection, &[to_reader.to(reader)?, told.to(peer)?], now_ms)?;
    Ok(Read::Moved { unread, events })
}
