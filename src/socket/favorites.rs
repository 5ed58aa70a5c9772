//! Likes over the socket.

use ovation_actors::counters::Outcome;
use ovation_actors::operator::Refusal;
use ovation_schema::VideoId;
use serde::{Deserialize, Serialize};

use super::refusal::of;
use super::{Peer, ack, id};
use crate::error::ApiError;

#[derive(Deserialize)]
pub(super) struct Set {
    video_id: i64,
    on: bool,
}

#[derive(Serialize)]
struct Done {
    /// False when it was so already.
    changed: bool,
}

/// The same act as `POST /douyin/favorite/action/`.
pub(super) async fn set(state: &Peer, set: Set) -> Result<String, Refusal> {
    let user = state.user()?;
    let video = VideoId(id("video_id", set.video_id)?);
    let outcome = state.app.counters.set_favorite(user, video, set.on).await;
    match outcome.map_err(|error| of(&error.into()))? {
        Outcome::UnknownVideo => Err(of(&ApiError::NotFound("this video"))),
        outcome => ack(&Done {
            changed: outcome == Outcome::Changed,
        }),
    }
}
