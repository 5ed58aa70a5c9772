//! Who is online, and how to reach them.

use std::sync::Arc;

use ovation_schema::streams::Event;
use ovation_schema::{Store, UserId, VideoId};

use crate::Overlay;
use crate::close::Close;
use crate::outbox::Outbox;
use crate::push::Presence;

/// Bounds of the hub.
#[derive(Debug, Clone, Copy)]
pub struct HubLimits {
    /// Connections of one user at the same time.
    pub connections_per_user: usize,
}

/// A handle to the hub; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<()>);

/// The user has as many connections as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyConnections;

/// Why a room can't be joined.
#[derive(Debug)]
pub enum RoomError {
    /// No such video.
    UnknownVideo,
    /// The store can't say at the moment.
    Unavailable,
}

/// A connection's place in its user's session; given up when dropped.
pub struct Seat(());

/// A connection's place in a room; given up when dropped.
pub struct RoomSeat(());

/// A connection's watch over friends; ends when dropped.
pub struct PresenceWatch(());

/// A connection's watch over the feed; ends when dropped.
pub struct FeedWatch(());

/// What a video has at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Likes.
    pub favorite_count: i64,
    /// Comments.
    pub comment_count: i64,
    /// Connections that watch, this one included.
    pub viewers: usize,
}

/// A comment that was just stored.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// Its id.
    pub id: i64,
    /// Who wrote it.
    pub user: UserId,
    /// Their name.
    pub user_name: String,
    /// The text.
    pub content: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A video that was just published.
#[derive(Debug, Clone)]
pub struct NewVideo {
    /// Its id.
    pub id: VideoId,
    /// Who published it.
    pub author: UserId,
    /// Its title.
    pub title: String,
    /// Milliseconds since the epoch.
    pub publish_time: i64,
}

/// How many are there, for `/readyz` and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubStatus {
    /// Users' connections.
    pub connections: usize,
    /// Users with at least one.
    pub users: usize,
    /// Videos watched.
    pub rooms: usize,
}

impl Hub {
    /// `overlay` gives rooms exact counts.
    pub fn new(_store: Store, _overlay: Overlay, _limits: HubLimits) -> Self {
        unimplemented!()
    }

    /// Registers a connection at its user's session, which starts with its first one on the current thread.
    /// `token_version` is that of the connection's token.
    pub fn attach(&self, _user: UserId, _token_version: u32, _outbox: Arc<Outbox>) -> Result<Seat, TooManyConnections> {
        unimplemented!()
    }

    /// Events that were just committed reach every connection of their users. Never refused, never waits.
    pub fn announce(&self, _events: &[Event]) {
        unimplemented!()
    }

    /// `from` writes to `to`, or has stopped. Expires by itself after 6 s without a renewal.
    pub fn typing(&self, _from: UserId, _to: UserId, _on: bool) {
        unimplemented!()
    }

    /// Joins the room of a video: live counters, comments, viewers.
    pub async fn watch_video(&self, _video: VideoId, _outbox: Arc<Outbox>) -> Result<(RoomSeat, Counts), RoomError> {
        unimplemented!()
    }

    /// Watches friends (the caller has checked that they are): how each is now, and `presence` whenever it changes.
    /// `last_seen` is filled from memory where known, else the caller's business.
    pub fn watch_presence(
        &self,
        _watcher: UserId,
        _friends: &[UserId],
        _outbox: Arc<Outbox>,
    ) -> (PresenceWatch, Vec<Presence>) {
        unimplemented!()
    }

    /// Tells the connection of publishes by authors its user follows, and of the number of newer videos, which starts at
    /// `newer`.
    pub fn watch_feed(&self, _user: UserId, _outbox: Arc<Outbox>, _newer: u64) -> FeedWatch {
        unimplemented!()
    }

    /// A comment was stored (`None`: one was deleted): the room of its video hears of it.
    pub fn commented(&self, _video: VideoId, _comment: Option<NewComment>) {
        unimplemented!()
    }

    /// Likes of these videos changed: called by the counters for each group, on their thread.
    pub fn liked(&self, _videos: &mut dyn Iterator<Item = VideoId>) {
        unimplemented!()
    }

    /// A video was published. Never waits, whatever the number of followers.
    pub fn published(&self, _video: NewVideo) {
        unimplemented!()
    }

    /// Two users are not friends any more: neither watches the other's presence from here on.
    pub fn unfriended(&self, _one: UserId, _other: UserId) {
        unimplemented!()
    }

    /// Closes those connections of a user whose token is older than `token_version`.
    pub fn revoke(&self, _user: UserId, _token_version: u32, _close: Close) {
        unimplemented!()
    }

    /// Whether at least one connection of the user is open.
    pub fn is_online(&self, _user: UserId) -> bool {
        unimplemented!()
    }

    /// Users who went offline since the last call, with the time: for the store's `last_seen`. Bounded; the oldest are
    /// forgotten first.
    pub fn departures(&self) -> Vec<(UserId, i64)> {
        unimplemented!()
    }

    /// How many are there.
    pub fn status(&self) -> HubStatus {
        unimplemented!()
    }
}
