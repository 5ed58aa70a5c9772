//! Each user's durable stream of events.

use crate::ids::UserId;

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
