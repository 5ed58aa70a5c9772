//! What a connection holds while it takes part in something.
//!
//! Each gives its place up when dropped, on whatever thread that happens.

use std::sync::Arc;

use ovation_schema::{UserId, VideoId, now_ms};

use super::Inner;
use super::mail::must;
use crate::outbox::Outbox;
use crate::{feed, presence, room, session};

/// A connection's place in its user's session; given up when dropped.
pub struct Seat {
    pub(super) inner: Arc<Inner>,
    pub(super) user: UserId,
    pub(super) number: u64,
}

/// A connection's place in a room; given up when dropped.
pub struct RoomSeat {
    pub(super) inner: Arc<Inner>,
    pub(super) video: VideoId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) number: u64,
}

/// A connection's watch over friends; ends when dropped.
pub struct PresenceWatch {
    pub(super) inner: Arc<Inner>,
    pub(super) number: u64,
}

/// A connection's watch over the feed; ends when dropped.
pub struct FeedWatch {
    pub(super) inner: Arc<Inner>,
    pub(super) user: UserId,
    pub(super) number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let inner = &self.inner;
        inner.sessions.leave(&self.user, |session, last| {
            must(&session.address, session::Mail::Leave(self.number));
            if last {
                must(&session.address, session::Mail::End);
                inner.departures.record(self.user, now_ms());
                inner.tell_watcher(presence::Mail::Changed(self.user));
            }
        });
    }
}

impl Drop for RoomSeat {
    fn drop(&mut self) {
        self.inner.rooms.leave(&self.video, |room, last| {
            if last {
                // Here, before a new room of this video can begin to fill the same slots.
                room::withdraw(self.video, &self.outbox);
                must(&room.address, room::Mail::End);
            } else {
                must(&room.address, room::Mail::Leave(self.number));
            }
        });
    }
}

impl Drop for PresenceWatch {
    fn drop(&mut self) {
        self.inner.watchers.leave(&(), |watcher, last| {
            let mail = if last {
                presence::Mail::End
            } else {
                presence::Mail::Unwatch(self.number)
            };
            must(&watcher.address, mail);
        });
    }
}

impl Drop for FeedWatch {
    fn drop(&mut self) {
        self.inner.feeds.leave(&(), |feed, last| {
            let mail = if last {
                feed::Mail::End
            } else {
                feed::Mail::Leave(self.user, self.number)
            };
            must(&feed.address, mail);
        });
    }
}
