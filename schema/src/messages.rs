//! Messages between two users.
//!
//! A conversation has two rows, one for each side. The row whose user is the lower id is the lock under which a
//! message's time is taken, and it stays locked until the commit: times strictly increase within a conversation and
//! messages become readable in that order, so a poll by time loses nothing.

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::follows::NO_MESSAGE;
use crate::ids::{MessageId, UserId};
use crate::tables::{conversations, messages};

/// A message as every answer shows it (contract 3.4); who receives it follows from the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = messages)]
pub struct MessageRow {
    /// Which.
    pub id: MessageId,
    /// Who wrote it.
    pub from_user_id: UserId,
    /// The text, exactly as sent.
    pub content: String,
    /// Milliseconds since the epoch; unique within the conversation.
    pub create_time: i64,
}

/// A message about to be sent.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// A fresh id.
    pub id: MessageId,
    /// Who writes.
    pub from: UserId,
    /// Who receives; somebody else.
    pub to: UserId,
    /// 1 to 2,000 characters.
    pub content: String,
}

/// Stores a message and returns its time: `now_ms`, or later where that one is taken or past already. None when there
/// is no such receiver.
pub fn send(connection: &mut DbConnection, message: &NewMessage, now_ms: i64) -> Result<Option<i64>, StoreError> {
    if !crate::users::exists(connection, message.to)? {
        return Ok(None);
    }
    let (lo, hi) = ordered(message.from, message.to);
    let create_time = tick(connection, lo, hi, now_ms)?;
    diesel::insert_into(messages::table)
        .values((
            messages::id.eq(message.id),
            messages::user_lo.eq(lo),
            messages::user_hi.eq(hi),
            messages::from_user_id.eq(message.from),
            messages::content.eq(&message.content),
            messages::create_time.eq(create_time),
        ))
        .execute(connection)?;
    for (user, peer) in [(lo, hi), (hi, lo)] {
        diesel::update(conversations::table.find((user, peer)))
            .set((
                conversations::last_time.eq(create_time),
                conversations::last_message_id.eq(message.id),
            ))
            .execute(connection)?;
    }
    Ok(Some(create_time))
}

fn ordered(a: UserId, b: UserId) -> (UserId, UserId) {
    if a < b { (a, b) } else { (b, a) }
}

/// Locks the conversation, making its rows when it is the first message, and takes the next time.
fn tick(connection: &mut DbConnection, lo: UserId, hi: UserId, now_ms: i64) -> Result<i64, StoreError> {
    if !lock(connection, lo, hi)? {
        // Two first messages may cross. What makes them wait for each other is their users' rows: two inserts of the
        // same key would, where both fail, end as a deadlock.
        backend::lock_users(connection, &[lo, hi])?;
        if !lock(connection, lo, hi)? {
            make(connection, lo, hi)?;
        }
    }
    let last: i64 = conversations::table
        .find((lo, hi))
        .select(conversations::last_time)
        .first(connection)?;
    Ok(last.max(now_ms))
}

/// Moves the conversation's time by one, which locks it; false when there is none yet.
fn lock(connection: &mut DbConnection, lo: UserId, hi: UserId) -> Result<bool, StoreError> {
    let moved = diesel::update(conversations::table.find((lo, hi)))
        .set(conversations::last_time.eq(conversations::last_time + 1))
        .execute(connection)?;
    Ok(moved == 1)
}

fn make(connection: &mut DbConnection, lo: UserId, hi: UserId) -> Result<(), StoreError> {
    for (user, peer) in [(lo, hi), (hi, lo)] {
        diesel::insert_into(conversations::table)
            .values((
                conversations::user_id.eq(user),
                conversations::peer_id.eq(peer),
                conversations::last_time.eq(1),
                conversations::last_message_id.eq(NO_MESSAGE),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// A page of the conversation between two users, oldest first, strictly newer than `after` (milliseconds). With
/// `only_from`, only what that side wrote. One statement: a range of the unique index (conversation, time).
pub fn page(
    connection: &mut DbConnection,
    (a, b): (UserId, UserId),
    only_from: Option<UserId>,
    after: i64,
    limit: i64,
) -> Result<Vec<MessageRow>, StoreError> {
    let (lo, hi) = ordered(a, b);
    // Both sides are always named, so that one prepared statement serves both readings.
    let writers = only_from.map_or([a, b], |writer| [writer, writer]);
    Ok(messages::table
        .filter(messages::user_lo.eq(lo))
        .filter(messages::user_hi.eq(hi))
        .filter(messages::create_time.gt(after))
        .filter(
            messages::from_user_id
                .eq(writers[0])
                .or(messages::from_user_id.eq(writers[1])),
        )
        .order(messages::create_time.asc())
        .limit(limit)
        .select(MessageRow::as_select())
        .load(connection)?)
}
