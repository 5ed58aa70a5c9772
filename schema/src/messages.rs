//! Messages between two users.
//!
//! A conversation has two rows, one for each side. The row whose user is the lower id is the lock under which a
//! message's time is taken, and it stays locked until the commit: times strictly increase within a conversation and
//! messages become readable in that order, so a poll by time loses nothing. Under the same lock stand both sides' read
//! marks ([`read`]).
//!
//! Whoever may not know whether a message arrived sends it with a key, and again with the same one: it is stored once.
//!
//! Messages go one by one ([`send`]) or many at a time ([`send_many`], which a test holds to the same rows, results and
//! events). One is not a batch of one: its statements never change, so a connection has prepared them, while those of a
//! batch are as long as the batch and prepared each time, which costs MySQL another round trip a statement.

mod batch;
mod marks;
mod sql;

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::events::{MessageNew, Payload as _};
use crate::follows::NO_MESSAGE;
use crate::ids::{MessageId, UserId};
use crate::streams::{self, Event, NewEvent};
use crate::tables::{conversations, messages};

pub use batch::send_many;
pub use marks::{ConversationState, Read, conversation, read, unread_total};

/// The longest key of a message, in bytes; the caller refuses longer ones.
pub const KEY_BYTES: usize = 64;

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
    /// What its sender calls it: 1 to [`KEY_BYTES`] bytes, compared byte by byte. Unique for ever among the sender's.
    pub key: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is stored.
    Stored {
        /// Milliseconds since the epoch; unique within the conversation.
        create_time: i64,
        /// What both users are told.
        events: Vec<Event>,
    },
    /// It was stored before, under the same key with the same receiver and text. Nothing changed.
    Duplicate {
        /// The id it got then.
        id: MessageId,
        /// The time it got then.
        create_time: i64,
    },
    /// The sender's key belongs to another message: another receiver or another text. Nothing changed.
    KeyConflict,
    /// There is no such receiver. Nothing changed.
    NoReceiver,
}

/// Stores a message and tells both users. Its time is `now_ms`, or later where that one is taken or past already. Some
/// ten statements, all by primary key; locks the conversation (for its first message both users before), then both
/// streams.
pub fn send(connection: &mut DbConnection, message: &NewMessage, now_ms: i64) -> Result<Sent, StoreError> {
    let (lo, hi) = ordered(message.from, message.to);
    let mut last = backend::lock_conversation(connection, lo, hi)?;
    if last.is_none() {
        // Two first messages may cross. What makes them wait for each other is their users' rows: two inserts of the
        // same key would, where both fail, end as a deadlock.
        if backend::lock_users(connection, &[lo, hi])?.len() < 2 {
            return Ok(Sent::NoReceiver);
        }
        last = backend::lock_conversation(connection, lo, hi)?;
    }
    // Under the lock: of two that send the same, the second one sees what the first one stored.
    if let Some(before) = sent_before(connection, message)? {
        return Ok(before);
    }
    let create_time = if let Some(last) = last {
        now_ms.max(last + 1)
    } else {
        make(connection, lo, hi)?;
        now_ms.max(1)
    };
    insert(connection, message, (lo, hi), create_time)?;
    let unread = move_on(connection, message, create_time)?;
    let events = streams::append(connection, &told(message, create_time, unread)?, now_ms)?;
    Ok(Sent::Stored { create_time, events })
}

fn ordered(a: UserId, b: UserId) -> (UserId, UserId) {
    if a < b { (a, b) } else { (b, a) }
}

/// What a message with this key came to before; none for a new key and for a message without one. One statement, by the
/// unique index (sender, key).
fn sent_before(connection: &mut DbConnection, message: &NewMessage) -> Result<Option<Sent>, StoreError> {
    let Some(key) = &message.key else {
        return Ok(None);
    };
    let found: Option<(MessageId, UserId, UserId, String, i64)> = messages::table
        .filter(messages::from_user_id.eq(message.from))
        .filter(messages::client_key.eq(key))
        .select((
            messages::id,
            messages::user_lo,
            messages::user_hi,
            messages::content,
            messages::create_time,
        ))
        .first(connection)
        .optional()?;
    Ok(found.map(|(id, lo, hi, content, create_time)| {
        let before = Before {
            id,
            conversation: (lo, hi),
            content: &content,
            create_time,
        };
        before.answer(message)
    }))
}

/// The message that has a key already.
#[derive(Clone, Copy)]
struct Before<'a> {
    id: MessageId,
    conversation: (UserId, UserId),
    content: &'a str,
    create_time: i64,
}

impl Before<'_> {
    /// What becomes of another one with the same sender and key.
    fn answer(self, message: &NewMessage) -> Sent {
        let Self { id, create_time, .. } = self;
        if self.conversation == ordered(message.from, message.to) && self.content == message.content {
            Sent::Duplicate { id, create_time }
        } else {
            Sent::KeyConflict
        }
    }
}

fn make(connection: &mut DbConnection, lo: UserId, hi: UserId) -> Result<(), StoreError> {
    for (user, peer) in [(lo, hi), (hi, lo)] {
        diesel::insert_into(conversations::table)
            .values((
                conversations::user_id.eq(user),
                conversations::peer_id.eq(peer),
                conversations::last_time.eq(0),
                conversations::last_message_id.eq(NO_MESSAGE),
                conversations::read_time.eq(0),
                conversations::read_message_id.eq(NO_MESSAGE),
                conversations::unread.eq(0),
            ))
            .execute(connection)?;
    }
    Ok(())
}

fn insert(
    connection: &mut DbConnection,
    message: &NewMessage,
    (lo, hi): (UserId, UserId),
    create_time: i64,
) -> Result<(), StoreError> {
    let inserted = diesel::insert_into(messages::table)
        .values((
            messages::id.eq(message.id),
            messages::user_lo.eq(lo),
            messages::user_hi.eq(hi),
            messages::from_user_id.eq(message.from),
            messages::content.eq(&message.content),
            messages::create_time.eq(create_time),
            messages::client_key.eq(&message.key),
        ))
        .execute(connection)
        .map_err(StoreError::from);
    match inserted {
        Ok(_) => Ok(()),
        Err(StoreError::Duplicate) if sent_before(connection, message)?.is_some() => Err(faster()),
        Err(error) => Err(error),
    }
}

/// The same key to another receiver, under another conversation's lock, was faster. What this transaction has done is to
/// be undone; run again it finds that message.
fn faster() -> StoreError {
    StoreError::Conflict("a message with the same key".into())
}

/// Moves both sides of the conversation on and returns how many messages the receiver has not read now.
fn move_on(connection: &mut DbConnection, message: &NewMessage, create_time: i64) -> Result<i64, StoreError> {
    let (lo, hi) = ordered(message.from, message.to);
    for (user, peer) in [(lo, hi), (hi, lo)] {
        diesel::update(conversations::table.find((user, peer)))
            .set((
                conversations::last_time.eq(create_time),
                conversations::last_message_id.eq(message.id),
                conversations::unread.eq(conversations::unread + i64::from(user == message.to)),
            ))
            .execute(connection)?;
    }
    Ok(conversations::table
        .find((message.to, message.from))
        .select(conversations::unread)
        .first(connection)?)
}

/// What both users are told of a stored message: the sender, then the receiver.
fn told(message: &NewMessage, create_time: i64, unread: i64) -> Result<[NewEvent; 2], StoreError> {
    let told = MessageNew {
        message_id: message.id.0,
        from_user_id: message.from.0,
        to_user_id: message.to.0,
        content: &message.content,
        create_time,
        key: None,
        unread: None,
    };
    let to_sender = MessageNew {
        key: message.key.as_deref(),
        ..told.clone()
    };
    let to_receiver = MessageNew {
        unread: Some(unread),
        ..told
    };
    Ok([to_sender.to(message.from)?, to_receiver.to(message.to)?])
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

/// A page of the conversation as `viewer` and `peer` have it, newest first, strictly older than `before` (milliseconds)
/// if that is given. One statement: a range of the unique index (conversation, time).
pub fn history(
    connection: &mut DbConnection,
    (viewer, peer): (UserId, UserId),
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<MessageRow>, StoreError> {
    let (lo, hi) = ordered(viewer, peer);
    Ok(messages::table
        .filter(messages::user_lo.eq(lo))
        .filter(messages::user_hi.eq(hi))
        .filter(messages::create_time.lt(before.unwrap_or(i64::MAX)))
        .order(messages::create_time.desc())
        .limit(limit)
        .select(MessageRow::as_select())
        .load(connection)?)
}
