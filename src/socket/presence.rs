//! Who is there, and who is writing.

use std::sync::Arc;

use ovation_actors::operator::Refusal;
use ovation_actors::push::Presence;
use ovation_schema::{DbConnection, StoreError, UserId, follows, users};
use serde::{Deserialize, Serialize};

use super::refusal::{bad_request, limit_exceeded, of, of_store};
use super::{Peer, ack, done, id};
use crate::error::ApiError;

/// Users one connection may watch.
pub(super) const MOST: usize = 200;

/// How often looking and watching are tried to agree: only a user whose own friendships end all the time needs more.
const ROUNDS: usize = 4;

#[derive(Deserialize)]
pub(super) struct Watch {
    user_ids: Vec<i64>,
}

#[derive(Serialize)]
struct Watched {
    users: Vec<Presence>,
}

/// Watches those of the named users who are friends; takes the place of the watch before.
pub(super) async fn watch(state: &Peer, watch: Watch) -> Result<String, Refusal> {
    let watcher = state.user()?;
    if watch.user_ids.len() > MOST {
        return Err(limit_exceeded(format!("a connection may watch {MOST} users")));
    }
    let ids = watch.user_ids.iter().map(|user| id("user_ids", *user).map(UserId));
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    let hub = &state.app.hub;
    let mut unfriendings = hub.unfriendings();
    let (mut friends, mut last_seen) = look(state, watcher, &ids).await?;
    for _ in 0..ROUNDS {
        state.watches().presence = None;
        let (watch, users) = hub.watch_presence(watcher, &friends, Arc::clone(&state.outbox));
        // A friendship that ended between the look and the watch would be watched for ever; one that ends from here on
        // is told to the watch.
        let by_now = hub.unfriendings();
        let ended = std::mem::replace(&mut unfriendings, by_now) != by_now;
        let before = friends.clone();
        if ended {
            (friends, last_seen) = look(state, watcher, &ids).await?;
        }
        if friends == before {
            state.watches().presence = Some(watch);
            return ack(&watched(users, &last_seen));
        }
    }
    Err(of(&ApiError::Busy))
}

fn watched(mut users: Vec<Presence>, last_seen: &[(UserId, i64)]) -> Watched {
    for user in users.iter_mut().filter(|user| !user.online && user.last_seen.is_none()) {
        let seen = last_seen.iter().find(|(seen, _)| seen.0 == user.user_id);
        user.last_seen = seen.map(|(_, at)| *at);
    }
    Watched { users }
}

async fn look(state: &Peer, watcher: UserId, ids: &[UserId]) -> Result<Friends, Refusal> {
    let ids = ids.to_vec();
    let read = state
        .app
        .store
        .read(move |connection| friends(connection, watcher, &ids));
    read.await.map_err(of_store)
}

type Friends = (Vec<UserId>, Vec<(UserId, i64)>);

fn friends(connection: &mut DbConnection, watcher: UserId, ids: &[UserId]) -> Result<Friends, StoreError> {
    let mut friends = follows::friends_among(connection, watcher, ids)?;
    friends.sort_unstable();
    let last_seen = users::last_seen(connection, &friends)?;
    Ok((friends, last_seen))
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Typing {
    to_user_id: i64,
    on: bool,
}

pub(super) fn typing(state: &Peer, typing: Typing) -> Result<String, Refusal> {
    let from = state.user()?;
    let to = UserId(id("to_user_id", typing.to_user_id)?);
    if from == to {
        return Err(bad_request("one can't write to oneself"));
    }
    state.app.hub.typing(from, to, typing.on);
    Ok(done())
}
