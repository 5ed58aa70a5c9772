//! Each user's durable stream of events.
//!
//! A stream is a row with the number of its next event, and the events that are kept. The row is locked last in every
//! transaction that tells somebody something, and held to the commit: numbers are dense, and readable in their order.
//! Only beginnings of streams ever go ([`trim`]), so what is kept has no hole. Never decides who is told of what: that
//! is the nouns' to know, and what is said stands in [`crate::events`].

mod life;
mod retention;

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::ids::UserId;
use crate::tables::{events, store, streams};
use crate::text::{self, CHUNK};

pub(crate) use life::new_epoch;
pub use life::{beat, current_beat, epoch, renew_epoch};
pub use retention::{KEPT, retain, trim};

/// What an event tells of; the `t` of its frame and the `kind` of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A message was sent, by or to this user.
    MessageNew,
    /// A conversation was read, by this user or by the other side.
    MessageRead,
    /// Somebody follows this user now.
    FollowNew,
    /// Somebody commented on this user's video.
    CommentNew,
    /// This user's video has new likers.
    FavoriteNew,
}

impl EventKind {
    /// The word on the wire and in the row.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageNew => "message.new",
            Self::MessageRead => "message.read",
            Self::FollowNew => "follow.new",
            Self::CommentNew => "comment.new",
            Self::FavoriteNew => "favorite.new",
        }
    }

    /// The kind a row names; none for a word that this version does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::MessageNew,
            Self::MessageRead,
            Self::FollowNew,
            Self::CommentNew,
            Self::FavoriteNew,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose stream.
    pub user: UserId,
    /// Its number in that stream: 1, 2, 3 …
    pub seq: i64,
    /// What it tells of.
    pub kind: EventKind,
    /// The `d` of its frame: a JSON object.
    pub payload: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// An event about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Whose stream; the user exists.
    pub user: UserId,
    /// What it tells of.
    pub kind: EventKind,
    /// A JSON object, at most 65,535 bytes; see [`crate::events`].
    pub payload: String,
}

/// The event as a row.
#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
struct Row<'a> {
    user_id: UserId,
    seq: i64,
    kind: &'static str,
    payload: &'a str,
    created_at: i64,
}

impl<'a> Row<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            user_id: event.user,
            seq: event.seq,
            kind: event.kind.name(),
            payload: &event.payload,
            created_at: event.created_at,
        }
    }
}

/// Appends events to their users' streams, in the order given, within the caller's transaction: the events are there if
/// and only if what they tell of is. Locks the streams in ascending order, so it comes after every other lock of the
/// transaction and at most once in one. Three statements for up to 1,000 users; now and then a fourth, and one more for
/// each user whose stream has grown past what is kept.
///
/// A user without a stream is an error and undoes the transaction: [`crate::verify`] finds and mends those.
pub fn append(connection: &mut DbConnection, new: &[NewEvent], now_ms: i64) -> Result<Vec<Event>, StoreError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut growth: BTreeMap<UserId, i64> = BTreeMap::new();
    for event in new {
        *growth.entry(event.user).or_default() += 1;
    }
    let growth: Vec<(UserId, i64)> = growth.into_iter().collect();
    let mut next: HashMap<UserId, i64> = HashMap::with_capacity(growth.len());
    for growth in growth.chunks(CHUNK) {
        let users: Vec<UserId> = growth.iter().map(|(user, _)| *user).collect();
        next.extend(backend::lock_streams(connection, &users)?);
    }
    let stored = numbered(new, &mut next, now_ms)?;
    insert(connection, &stored)?;
    for growth in growth.chunks(CHUNK) {
        let by: Vec<(i64, i64)> = growth.iter().map(|(user, count)| (user.0, *count)).collect();
        text::add(connection, ("streams", "user_id"), "next_seq", &by)?;
    }
    let grown = growth
        .into_iter()
        .filter_map(|(user, count)| Some((user, *next.get(&user)? - 1, count)));
    retention::after_append(connection, grown)?;
    Ok(stored)
}

/// Gives each event its number; `next` stands at the number after it then.
fn numbered(new: &[NewEvent], next: &mut HashMap<UserId, i64>, now_ms: i64) -> Result<Vec<Event>, StoreError> {
    let number = |event: &NewEvent| {
        let next = next
            .get_mut(&event.user)
            .ok_or_else(|| StoreError::Internal("a user has no stream of events".into()))?;
        let seq = *next;
        *next += 1;
        Ok(Event {
            user: event.user,
            seq,
            kind: event.kind,
            payload: event.payload.clone(),
            created_at: now_ms,
        })
    };
    new.iter().map(number).collect()
}

/// Writes events, up to 1,000 a statement. Payloads hold what clients wrote, so they are bound, never text.
fn insert(connection: &mut DbConnection, stored: &[Event]) -> Result<(), StoreError> {
    for stored in stored.chunks(CHUNK) {
        let rows: Vec<Row<'_>> = stored.iter().map(Row::of).collect();
        let insert = diesel::insert_into(events::table).values(&rows);
        // `MultiConnection` has no statement of many rows; each store alone has.
        match connection {
            DbConnection::Sqlite(connection) => insert.execute(connection)?,
            DbConnection::Mysql(connection) => insert.execute(connection)?,
        };
    }
    Ok(())
}

/// Where a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The life of the streams; numbers of another epoch mean nothing in this one.
    pub epoch: String,
    /// The number of the newest event; 0 before the first one.
    pub newest: i64,
    /// The number of the oldest event that is kept; `newest + 1` when none is.
    pub oldest: i64,
}

/// Where a user's stream stands; none when there is no such user. One statement, so all of it is of one moment: by
/// primary keys, and the first entry of the user's range of events.
pub fn position(connection: &mut DbConnection, user: UserId) -> Result<Option<Position>, StoreError> {
    let oldest = events::table
        .filter(events::user_id.eq(user))
        .select(diesel::dsl::min(events::seq))
        .single_value();
    let epoch = store::table.find(1).select(store::epoch).single_value();
    let row: Option<(i64, Option<i64>, Option<String>)> = streams::table
        .find(user)
        .select((streams::next_seq, oldest, epoch))
        .first(connection)
        .optional()?;
    let Some((next, oldest, epoch)) = row else {
        return Ok(None);
    };
    Ok(Some(Position {
        epoch: epoch.unwrap_or_default(),
        newest: next - 1,
        oldest: oldest.unwrap_or(next),
    }))
}

/// The newest `seq` of each of up to 1,000 users; 0 for an empty stream. One statement, by primary keys.
pub fn newest(connection: &mut DbConnection, users: &[UserId]) -> Result<Vec<(UserId, i64)>, StoreError> {
    Ok(streams::table
        .filter(streams::user_id.eq_any(users))
        .select((streams::user_id, streams::next_seq - 1))
        .load(connection)?)
}

/// Up to `limit` events of a user from number `next` on, ascending. One statement: a range of the primary key. Begins
/// later than `next` where that one is no longer kept.
pub fn page(connection: &mut DbConnection, user: UserId, next: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<(i64, String, String, i64)> = events::table
        .filter(events::user_id.eq(user))
        .filter(events::seq.ge(next))
        .order(events::seq.asc())
        .limit(limit)
        .select((events::seq, events::kind, events::payload, events::created_at))
        .load(connection)?;
    let event = |(seq, kind, payload, created_at): (i64, String, String, i64)| {
        // Left out, it would be a hole; a store that a newer version has written to is refused at the start.
        let kind =
            EventKind::from_name(&kind).ok_or_else(|| StoreError::Internal("an event of unknown kind".into()))?;
        Ok(Event {
            user,
            seq,
            kind,
            payload,
            created_at,
        })
    };
    rows.into_iter().map(event).collect()
}

/// Makes the stream of a new user.
pub(crate) fn create(connection: &mut DbConnection, user: UserId) -> Result<(), StoreError> {
    diesel::insert_into(streams::table)
        .values((streams::user_id.eq(user), streams::next_seq.eq(1)))
        .execute(connection)?;
    Ok(())
}
