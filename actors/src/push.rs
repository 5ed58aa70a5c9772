//! Every event that goes out over a socket, and the frame it travels in.
//!
//! Owns the words of the wire (`t` and the members of `d`) for everything the server says by itself. A frame is encoded
//! once and shared by every connection it goes to. Never knows who is connected.

use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};
use ovation_schema::streams::Event;
use ovation_schema::{UserId, VideoId};
use serde::Serialize;

/// A frame of RFC 6455 from server to client (never masked), ready for the wire. Cloning shares its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

/// The opcodes of RFC 6455, section 5.2, that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A text message.
    Text = 0x1,
    /// A binary message (conformance endpoint only).
    Binary = 0x2,
    /// The close handshake.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// A pong.
    Pong = 0xA,
}

impl Frame {
    /// One whole message or control frame. The caller bounds control payloads to 125 bytes.
    #[expect(clippy::cast_possible_truncation, reason = "each arm's range fits")]
    pub fn new(opcode: Opcode, payload: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(payload.len() + 10);
        frame.put_u8(0x80 | opcode as u8);
        match payload.len() {
            length @ 0..=125 => frame.put_u8(length as u8),
            length @ 126..=0xFFFF => {
                frame.put_u8(126);
                frame.put_u16(length as u16);
            }
            length => {
                frame.put_u8(127);
                frame.put_u64(length as u64);
            }
        }
        frame.put_slice(payload);
        Self(frame.freeze())
    }

    /// A text message.
    pub fn text(text: &str) -> Self {
        Self::new(Opcode::Text, text.as_bytes())
    }

    /// A durable event of a user's stream: `{"t":…,"seq":…,"d":…}`.
    pub fn durable(event: &Event) -> Self {
        Self::text(&format!(
            r#"{{"t":"{}","seq":{},"d":{}}}"#,
            event.kind.name(),
            event.seq,
            event.payload
        ))
    }

    /// The bytes on the wire, header included.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// How many bytes it is on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header at least")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is said without being stored: may be merged or dropped, and has no `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "t", content = "d")]
pub enum Push<'a> {
    /// The counts of a watched video.
    #[serde(rename = "video.counters")]
    VideoCounters {
        /// Which.
        video_id: i64,
        /// Likes, exact at the moment of sending.
        favorite_count: i64,
        /// Comments.
        comment_count: i64,
    },
    /// How many connections watch a video.
    #[serde(rename = "video.viewers")]
    VideoViewers {
        /// Which.
        video_id: i64,
        /// How many.
        viewers: usize,
    },
    /// A new comment under a watched video.
    #[serde(rename = "video.comment")]
    VideoComment {
        /// Which video.
        video_id: i64,
        /// The comment.
        comment: PushedComment<'a>,
    },
    /// Somebody writes, or has stopped writing, to this user.
    #[serde(rename = "typing")]
    Typing {
        /// Who.
        from_user_id: i64,
        /// Whether they are at it.
        on: bool,
    },
    /// A watched friend came or went.
    #[serde(rename = "presence")]
    Presence(Presence),
    /// Somebody one follows has published.
    #[serde(rename = "feed.new")]
    FeedVideo {
        /// What.
        video: PushedVideo<'a>,
    },
    /// How many public videos are newer than those the client has.
    #[serde(rename = "feed.new")]
    FeedNewer {
        /// How many since `feed.watch`.
        newer: u64,
    },
}

/// A comment as the room of its video hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedComment<'a> {
    /// Its id.
    pub id: i64,
    /// Who wrote it.
    pub user_id: i64,
    /// Their name.
    pub user_name: Cow<'a, str>,
    /// The text.
    pub content: Cow<'a, str>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A video as those hear of it who follow its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PushedVideo<'a> {
    /// Its id.
    pub id: i64,
    /// Who published it.
    pub author_id: i64,
    /// Its title.
    pub title: Cow<'a, str>,
    /// Milliseconds since the epoch; the feed's cursor.
    pub publish_time: i64,
}

/// Whether a friend is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// Who.
    pub user_id: i64,
    /// Whether at least one of their connections is open.
    pub online: bool,
    /// When they were last online, in milliseconds since the epoch; absent while they are, and when never seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<i64>,
}

impl Push<'_> {
    /// The frame, encoded once for everybody.
    pub fn frame(&self) -> Frame {
        // Numbers and strings always serialise.
        Frame::text(&serde_json::to_string(self).unwrap_or_default())
    }

    /// Where a newer one takes the place of an older one that still waits; none where each counts for itself.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::VideoCounters { video_id, .. } => Some(Slot::Counters(VideoId(*video_id))),
            Self::VideoViewers { video_id, .. } => Some(Slot::Viewers(VideoId(*video_id))),
            Self::Typing { from_user_id, .. } => Some(Slot::Typing(UserId(*from_user_id))),
            Self::Presence(presence) => Some(Slot::Presence(UserId(presence.user_id))),
            Self::FeedNewer { .. } => Some(Slot::FeedNewer),
            Self::VideoComment { .. } | Self::FeedVideo { .. } => None,
        }
    }
}

/// What ephemeral events of one kind about one thing replace each other by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// A video's counts.
    Counters(VideoId),
    /// A video's viewers.
    Viewers(VideoId),
    /// Whether this user writes.
    Typing(UserId),
    /// Whether this user is online.
    Presence(UserId),
    /// How many videos are newer.
    FeedNewer,
}
