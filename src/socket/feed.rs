//! The feed over the socket.

use std::sync::Arc;

use ovation_actors::operator::Refusal;
use ovation_schema::videos;
use serde::{Deserialize, Serialize};

use super::refusal::of_store;
use super::{Peer, ack};

/// Newer videos are counted up to here: nobody reads a larger number.
const MOST_NEWER: i64 = 1_000;

/// How often counting and watching are tried to agree; after so many publishes in a row one more or less is no matter.
const ROUNDS: usize = 3;

#[derive(Deserialize)]
pub(super) struct Watch {
    /// The publish time of the newest video the client has, in milliseconds; absent means it has all.
    since: Option<i64>,
}

#[derive(Serialize)]
struct Watched {
    newer: u64,
}

pub(super) async fn watch(state: &Peer, watch: Watch) -> Result<String, Refusal> {
    let user = state.user()?;
    let mut newer = count(state, watch.since).await?;
    for _ in 0..ROUNDS {
        let joined = state.app.hub.watch_feed(user, Arc::clone(&state.outbox), newer);
        state.watches().feed = Some(joined);
        // What was published between the count and the watch would be in neither.
        let again = count(state, watch.since).await?;
        if again == newer {
            break;
        }
        newer = again;
    }
    ack(&Watched { newer })
}

async fn count(state: &Peer, since: Option<i64>) -> Result<u64, Refusal> {
    let Some(since) = since else { return Ok(0) };
    let count = state
        .app
        .store
        .read(move |connection| videos::newer_than(connection, since, MOST_NEWER));
    Ok(u64::try_from(count.await.map_err(of_store)?).unwrap_or(0))
}
