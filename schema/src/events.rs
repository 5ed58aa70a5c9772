//! What events tell: the `d` of each durable frame, member by member.
//!
//! Owns the names on the wire. A payload is written once, into its row, in the same transaction as the fact it tells of,
//! and sent as it stands: so a member may be added here, but never renamed, and never taken away from what is stored.
//! All ids are integers below 2^53, all times milliseconds since the epoch.

use serde::Serialize;

use crate::error::StoreError;
use crate::ids::UserId;
use crate::streams::{EventKind, NewEvent};

/// `message.new`: a message was stored. Both of its users get it, the sender as well, so that all devices of both show
/// one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageNew<'a> {
    /// The message.
    pub message_id: i64,
    /// Who wrote it.
    pub from_user_id: i64,
    /// Who receives it.
    pub to_user_id: i64,
    /// The text, exactly as sent; 1 to 2,000 characters.
    pub content: &'a str,
    /// Its time, unique within the conversation and in the conversation's order.
    pub create_time: i64,
    /// The client's own name for it, by which the sending device knows its message again. Only in the sender's stream,
    /// and only if it was sent with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// How many messages of this conversation the receiver has not read, this one included. Only in the receiver's
    /// stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
}

/// `message.read`: a read mark moved. Both users of the conversation get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageRead {
    /// Who has read.
    pub user_id: i64,
    /// The other side of the conversation.
    pub with_user_id: i64,
    /// The message up to which everything counts as read, this one included.
    pub message_id: i64,
    /// That message's `create_time`. Marks only move forward by it.
    pub read_time: i64,
    /// How many of the other side's messages are still unread. Only in the reader's stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
}

/// `follow.new`: somebody follows this user, for the first time ever. Following again after an unfollow tells nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowNew<'a> {
    /// Who follows.
    pub user_id: i64,
    /// Their name at that time.
    pub name: &'a str,
}

/// `comment.new`: somebody else commented on this user's video. Deleting the comment later takes nothing back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommentNew<'a> {
    /// The video.
    pub video_id: i64,
    /// The comment.
    pub comment_id: i64,
    /// Who wrote it.
    pub user_id: i64,
    /// The text, exactly as sent; 1 to 1,000 characters.
    pub content: &'a str,
    /// When it was posted.
    pub create_time: i64,
}

/// `favorite.new`: a video of this user has new likers. One event a video and flush; a liker counts once a video, ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FavoriteNew {
    /// The video.
    pub video_id: i64,
    /// How many like it for the first time.
    pub count: usize,
    /// Up to three of them, the latest first.
    pub user_ids: Vec<i64>,
}

/// A payload of one kind.
pub(crate) trait Payload: Serialize {
    const KIND: EventKind;

    /// The event about it in a user's stream.
    fn to(&self, user: UserId) -> Result<NewEvent, StoreError> {
        let payload = serde_json::to_string(self).map_err(|error| StoreError::Internal(error.to_string()))?;
        Ok(NewEvent {
            user,
            kind: Self::KIND,
            payload,
        })
    }
}

impl Payload for MessageNew<'_> {
    const KIND: EventKind = EventKind::MessageNew;
}

impl Payload for MessageRead {
    const KIND: EventKind = EventKind::MessageRead;
}

impl Payload for FollowNew<'_> {
    const KIND: EventKind = EventKind::FollowNew;
}

impl Payload for CommentNew<'_> {
    const KIND: EventKind = EventKind::CommentNew;
}

impl Payload for FavoriteNew {
    const KIND: EventKind = EventKind::FavoriteNew;
}
