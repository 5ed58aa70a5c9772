//! Rooms of videos over the socket; guests may as well.

use std::sync::Arc;

use ovation_actors::hub::RoomError;
use ovation_actors::operator::Refusal;
use ovation_actors::push::Slot;
use ovation_schema::VideoId;
use serde::{Deserialize, Serialize};

use super::refusal::{limit_exceeded, of};
use super::{Peer, ack, done, id};
use crate::error::ApiError;

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Video {
    video_id: i64,
}

#[derive(Serialize)]
struct Watched {
    video_id: i64,
    favorite_count: i64,
    comment_count: i64,
    viewers: usize,
}

pub(super) async fn watch(state: &Peer, video: Video) -> Result<String, Refusal> {
    let video = VideoId(id("video_id", video.video_id)?);
    let most = state.app.config.rooms_per_connection;
    // Whoever watches it already leaves and joins again: one watcher is one viewer.
    leave(state, video);
    if state.watches().rooms.len() >= most {
        return Err(limit_exceeded(format!("a connection may watch {most} videos")));
    }
    let joined = state.app.hub.watch_video(video, Arc::clone(&state.outbox)).await;
    let (seat, counts) = joined.map_err(|error| match error {
        RoomError::UnknownVideo => of(&ApiError::NotFound("this video")),
        RoomError::Unavailable => of(&ApiError::Unavailable),
    })?;
    state.watches().rooms.insert(video, seat);
    ack(&Watched {
        video_id: video.0,
        favorite_count: counts.favorite_count,
        comment_count: counts.comment_count,
        viewers: counts.viewers,
    })
}

pub(super) fn unwatch(state: &Peer, video: Video) -> Result<String, Refusal> {
    leave(state, VideoId(id("video_id", video.video_id)?));
    Ok(done())
}

fn leave(state: &Peer, video: VideoId) {
    // The seat is given up in the condition: what the room says after that is not for this connection.
    if state.watches().rooms.remove(&video).is_some() {
        state.outbox.withdraw(Slot::Counters(video));
        state.outbox.withdraw(Slot::Viewers(video));
    }
}
