//! Who is there, and who is writing.

use std::sync::Arc;

use ovation_actors::operator::Refusal;
use ovation_actors::push::Presence;
use ovation_schema::{DbConnection, StoreError, UserId, follows, users};
use serde::{Deserialize, Serialize};

use super::refusal::{bad_request, limit_exceeded, of_store};
use super::{State, ack, done, id};

/// How often looking and watching are tried to agree.
const ROUNDS: usize = 3;
/// Users one connection may watch.
pub(super) const MOST: usize = 200;

#[derive(Deserialize)]
pub(super) struct Watch {
    user_ids: Vec<i64>,
}

#[derive(Serialize)]
struct Watched {
    users: Vec<Presence>,
}

/// Watches those of the named users who are friends; takes the place of the watch before.
pub(super) async fn watch(state: &State, watch: Watch) -> Result<String, Refusal> {
    let watcher = state.user()?;
    if watch.user_ids.len() > MOST {
        return Err(limit_exceeded(format!("a connection may watch {MOST} users")));
    }
    let ids = watch.user_ids.iter().map(|user| id("user_ids", *user).map(UserId));
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    let (mut friends, mut last_seen) = look(state, watcher, &ids).await?;
    let mut users = register(state, watcher, &friends);
    for _ in 0..ROUNDS {
        // Whoever ended the friendship between the look and the watch was heard by neither.
        let again = look(state, watcher, &ids).await?;
        if again.0 == friends {
            break;
        }
        (friends, last_seen) = again;
        users = register(state, watcher, &friends);
    }
    for user in users.iter_mut().filter(|user| !user.online && user.last_seen.is_none()) {
        let seen = last_seen.iter().find(|(seen, _)| seen.0 == user.user_id);
        user.last_seen = seen.map(|(_, at)| *at);
    }
    ack(&Watched { users })
}

/// In place of the watch before.
fn register(state: &State, watcher: UserId, friends: &[UserId]) -> Vec<Presence> {
    *state.presence.borrow_mut() = None;
    let outbox = Arc::clone(&state.outbox);
    let (watch, users) = state.app.hub.watch_presence(watcher, friends, outbox);
    *state.presence.borrow_mut() = Some(watch);
    users
}

async fn look(state: &State, watcher: UserId, ids: &[UserId]) -> Result<Friends, Refusal> {
    let ids = ids.to_vec();
    let read = state
        .app
        .store
        .read(move |connection| friends(connection, watcher, &ids));
    read.await.map_err(of_store)
}

type Friends = (Vec<UserId>, Vec<(UserId, i64)>);

fn friends(connection: &mut DbConnection, watcher: UserId, ids: &[UserId]) -> Result<Friends, StoreError> {
    let friends = follows::friends_among(connection, watcher, ids)?;
    let last_seen = users::last_seen(connection, &friends)?;
    Ok((friends, last_seen))
}

#[derive(Deserialize)]
pub(super) struct Typing {
    to_user_id: i64,
    on: bool,
}

pub(super) fn typing(state: &State, typing: Typing) -> Result<String, Refusal> {
    let from = state.user()?;
    let to = UserId(id("to_user_id", typing.to_user_id)?);
    if from == to {
        return Err(bad_request("one can't write to oneself"));
    }
    state.app.hub.typing(from, to, typing.on);
    Ok(done())
}
