//! Follows: who follows whom. Friends are mutual follows.

use std::collections::HashSet;

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::change::Change;
use crate::error::StoreError;
use crate::events::{FollowNew, Payload as _};
use crate::ids::{MessageId, UserId};
use crate::streams::{self, Event};
use crate::tables::{conversations, follows, messages, users};
use crate::users::UserRow;

/// Sets whether `follower` follows `followee`, and tells the followee of it the first time ever. Locks both users in
/// ascending order, so crossing follows can't deadlock, then the pair, then the followee's stream. The caller refuses a
/// follow of oneself.
#[expect(clippy::similar_names, reason = "they are the words of the field")]
pub fn set(
    connection: &mut DbConnection,
    follower: UserId,
    followee: UserId,
    on: bool,
    now_ms: i64,
) -> Result<(Change, Vec<Event>), StoreError> {
    if backend::lock_users(connection, &[follower, followee])?.len() < 2 {
        return Ok((Change::Unknown, Vec::new()));
    }
    let pair = || follows::table.find((follower, followee));
    let state: Option<bool> = pair().select(follows::active).first(connection).optional()?;
    if state.unwrap_or(false) == on {
        return Ok((Change::Nothing, Vec::new()));
    }
    let difference = if on { 1 } else { -1 };
    diesel::update(users::table.find(follower))
        .set(users::follow_count.eq(users::follow_count + difference))
        .execute(connection)?;
    diesel::update(users::table.find(followee))
        .set(users::follower_count.eq(users::follower_count + difference))
        .execute(connection)?;
    if state.is_some() {
        diesel::update(pair())
            .set((follows::active.eq(on), follows::changed_at.eq(now_ms)))
            .execute(connection)?;
        // The row says that they were told once: follow, unfollow, follow makes no flood.
        return Ok((Change::Made, Vec::new()));
    }
    diesel::insert_into(follows::table)
        .values((
            follows::follower_id.eq(follower),
            follows::followee_id.eq(followee),
            follows::active.eq(on),
            follows::changed_at.eq(now_ms),
        ))
        .execute(connection)?;
    let name: String = users::table.find(follower).select(users::name).first(connection)?;
    let told = FollowNew {
        user_id: follower.0,
        name: &name,
    };
    let events = streams::append(connection, &[told.to(followee)?], now_ms)?;
    Ok((Change::Made, events))
}

/// Those of `users` that `viewer` follows. One statement, by primary key.
pub fn among(connection: &mut DbConnection, viewer: UserId, users: &[UserId]) -> Result<HashSet<UserId>, StoreError> {
    Ok(follows::table
        // Nobody has the id 0. With the viewer alone MariaDB takes the half of the key that is an equality and reads
        // everybody the viewer follows.
        .filter(follows::follower_id.eq_any([viewer, UserId(0)]))
        .filter(follows::followee_id.eq_any(users))
        .filter(follows::active.eq(true))
        .select(follows::followee_id)
        .load(connection)?
        .into_iter()
        .collect())
}

/// Those of `ids` who follow `followee`; at most 1,000 at a time. One statement, by primary key.
pub fn followers_among(
    connection: &mut DbConnection,
    followee: UserId,
    ids: &[UserId],
) -> Result<Vec<UserId>, StoreError> {
    let pairs: Vec<(UserId, bool)> = follows::table
        .filter(follows::follower_id.eq_any(ids))
        // Nobody has the id 0; see `among`.
        .filter(follows::followee_id.eq_any([followee, UserId(0)]))
        // Asked for `active` as well, SQLite takes the index that has it and reads everybody who follows.
        .select((follows::follower_id, follows::active))
        .load(connection)?;
    Ok(pairs
        .into_iter()
        .filter_map(|(user, active)| active.then_some(user))
        .collect())
}

/// Those of `ids` who are friends of `user`: each follows the other. At most 1,000 at a time. One statement, two look-ups
/// by primary key for each.
pub fn friends_among(connection: &mut DbConnection, user: UserId, ids: &[UserId]) -> Result<Vec<UserId>, StoreError> {
    let back = diesel::alias!(follows as back);
    let is_back = back
        .field(follows::follower_id)
        .eq(follows::followee_id)
        .and(back.field(follows::followee_id).eq(follows::follower_id))
        .and(back.field(follows::active).eq(true));
    Ok(follows::table
        .inner_join(back.on(is_back))
        .filter(follows::follower_id.eq_any([user, UserId(0)]))
        .filter(follows::followee_id.eq_any(ids))
        .filter(follows::active.eq(true))
        .select(follows::followee_id)
        .load(connection)?)
}

/// Some of those whom `user` follows, in no order; all of them where there are fewer than `limit`. One statement: a range
/// of the index (follower, active, time, followee).
pub fn some_followees(connection: &mut DbConnection, user: UserId, limit: i64) -> Result<Vec<UserId>, StoreError> {
    Ok(follows::table
        .filter(follows::follower_id.eq(user))
        .filter(follows::active.eq(true))
        .limit(limit)
        .select(follows::followee_id)
        .load(connection)?)
}

/// Where a page of follows starts: before the pair with this time of change and other user.
pub type Cursor = (i64, UserId);

/// Whom a user follows, newest first. One statement: a range of the index (follower, active, time, followee).
pub fn followees(
    connection: &mut DbConnection,
    user: UserId,
    (time, other): Cursor,
    limit: i64,
) -> Result<Vec<(i64, UserRow)>, StoreError> {
    Ok(follows::table
        .inner_join(users::table.on(users::id.eq(follows::followee_id)))
        .filter(follows::follower_id.eq(user))
        .filter(follows::active.eq(true))
        // The first bound is what the index can use; the second one settles ties of the same millisecond.
        .filter(follows::changed_at.le(time))
        .filter(follows::changed_at.lt(time).or(follows::followee_id.lt(other)))
        .order((follows::changed_at.desc(), follows::followee_id.desc()))
        .limit(limit)
        .select((follows::changed_at, UserRow::as_select()))
        .load(connection)?)
}

/// Who follows a user, newest first. One statement: a range of the index (followee, active, time, follower).
pub fn followers(
    connection: &mut DbConnection,
    user: UserId,
    (time, other): Cursor,
    limit: i64,
) -> Result<Vec<(i64, UserRow)>, StoreError> {
    Ok(follows::table
        .inner_join(users::table.on(users::id.eq(follows::follower_id)))
        .filter(follows::followee_id.eq(user))
        .filter(follows::active.eq(true))
        .filter(follows::changed_at.le(time))
        .filter(follows::changed_at.lt(time).or(follows::follower_id.lt(other)))
        .order((follows::changed_at.desc(), follows::follower_id.desc()))
        .limit(limit)
        .select((follows::changed_at, UserRow::as_select()))
        .load(connection)?)
}

/// The ids of a user's friends, most recent conversation first, then the newest follow.
///
/// One statement over the user's follows by index, a look-up by key for the way back and one for the conversation. The
/// whole order is taken at once, eight bytes a friend: a friend whose conversation moves while the list is being sent
/// would otherwise be passed over.
pub fn friends(connection: &mut DbConnection, user: UserId) -> Result<Vec<UserId>, StoreError> {
    let back = diesel::alias!(follows as back);
    let is_back = back
        .field(follows::follower_id)
        .eq(follows::followee_id)
        .and(back.field(follows::followee_id).eq(follows::follower_id))
        .and(back.field(follows::active).eq(true));
    let conversation = conversations::user_id
        .eq(follows::follower_id)
        .and(conversations::peer_id.eq(follows::followee_id));
    Ok(follows::table
        .inner_join(back.on(is_back))
        .left_join(conversations::table.on(conversation))
        .filter(follows::follower_id.eq(user))
        .filter(follows::active.eq(true))
        .order((
            conversations::last_time.is_null().asc(),
            conversations::last_time.desc(),
            follows::changed_at.desc(),
            follows::followee_id.desc(),
        ))
        .select(follows::followee_id)
        .load(connection)?)
}

/// The last message of a conversation, for the friend list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMessage {
    /// Who wrote it.
    pub from: UserId,
    /// Its text.
    pub content: String,
}

/// The friends named by `ids`, in that order, each with the last message of the conversation with `user`. Two
/// statements, by primary keys. Ids without a user are left out.
pub fn friend_rows(
    connection: &mut DbConnection,
    user: UserId,
    ids: &[UserId],
) -> Result<Vec<(UserRow, Option<LastMessage>)>, StoreError> {
    let rows: Vec<UserRow> = users::table
        .filter(users::id.eq_any(ids))
        .select(UserRow::as_select())
        .load(connection)?;
    let last: Vec<(UserId, UserId, String)> = conversations::table
        .inner_join(messages::table.on(messages::id.eq(conversations::last_message_id)))
        .filter(conversations::user_id.eq(user))
        .filter(conversations::peer_id.eq_any(ids))
        .select((conversations::peer_id, messages::from_user_id, messages::content))
        .load::<(UserId, UserId, String)>(connection)?;
    let mut rows: std::collections::HashMap<UserId, UserRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut last: std::collections::HashMap<UserId, LastMessage> = last
        .into_iter()
        .map(|(peer, from, content)| (peer, LastMessage { from, content }))
        .collect();
    Ok(ids
        .iter()
        .filter_map(|id| rows.remove(id).map(|row| (row, last.remove(id))))
        .collect())
}

/// The id of a message that was last in no conversation.
pub(crate) const NO_MESSAGE: MessageId = MessageId(0);
