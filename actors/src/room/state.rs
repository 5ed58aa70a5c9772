//! What a room knows, apart from its actor.
//!
//! Plain: methods take the time and leave frames in the fan-out. A count is the row plus the overlay's differences past
//! the mark the row was read with, as for every other reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldhash::HashMap;
use ovation_schema::VideoId;
use ovation_schema::videos::VideoCounts;
use tokio::time::Instant;

use super::base::Base;
use super::fanout::{Fanout, Listeners};
use crate::hub::throttle::{Rate, Throttle};
use crate::hub::{Counts, NewComment};
use crate::outbox::Outbox;
use crate::overlay::Overlay;
use crate::push::{Push, PushedComment, Slot};

/// Between two `video.counters`. The protocol says at most 4 a second, which is what the room says; a client that counts
/// arrivals may find a fifth at the end of a second whose first frame was more than 4 ms on its way. With 275 ms it would
/// not have, at the price of 24 ms of age for every count.
pub const COUNTERS_SPACING: Duration = Duration::from_millis(251);
/// Between two `video.viewers`.
pub const VIEWERS_SPACING: Duration = Duration::from_secs(1);
/// `video.comment` a second; the rest is in `comment_count` and in the list.
pub const COMMENTS_A_SECOND: usize = 20;

/// What changed since the room looked last. Raised by anybody, from any thread; a mailbox gets a message only with the
/// first raise, so a storm of likes is one message.
#[derive(Default)]
pub struct Signals {
    /// Likes in the overlay.
    pub likes: AtomicBool,
    /// Comments in the store.
    pub comments: AtomicBool,
}

/// The room.
pub struct State {
    video: VideoId,
    listeners: Listeners,
    /// How often each outbox listens, by its address: twice for a moment, where a connection watches again what it
    /// watches.
    times: HashMap<usize, usize>,
    signals: Arc<Signals>,
    overlay: Overlay,
    pub base: Base,
    counters: Throttle<(i64, i64)>,
    viewers: Throttle<usize>,
    comments: Rate,
    fanout: Fanout,
}

impl State {
    /// An empty room.
    pub fn new(video: VideoId, signals: Arc<Signals>, overlay: Overlay) -> Self {
        Self {
            video,
            listeners: Listeners::new(),
            times: HashMap::default(),
            signals,
            overlay,
            base: Base::unread(),
            counters: Throttle::steady(COUNTERS_SPACING),
            viewers: Throttle::new(VIEWERS_SPACING),
            comments: Rate::new(COMMENTS_A_SECOND, Duration::from_secs(1)),
            fanout: Fanout::default(),
        }
    }

    /// The counts at this moment; none while the row has to be read first.
    pub fn counts(&mut self) -> Option<(i64, i64)> {
        let row = self.base.row()?;
        let comment_count = row.comment_count;
        let view = self.overlay.view();
        let count = view.video_count(self.video, row.favorite_count, row.mark.0);
        drop(view);
        if count.is_err() {
            self.base.is_stale();
        }
        Some((count.ok()?, comment_count))
    }

    /// Lets somebody in who is told these counts, from [`State::counts`] and in the same turn. `number` is higher than
    /// every one before.
    pub fn admit(&mut self, number: u64, outbox: Arc<Outbox>, counts: (i64, i64)) -> Counts {
        let alone = self.listeners.is_empty();
        *self.times.entry(Arc::as_ptr(&outbox).addr()).or_default() += 1;
        self.listeners.insert(number, outbox);
        let viewers = self.listeners.len();
        if alone {
            self.counters.knows(counts);
            self.viewers.knows(viewers);
        } else {
            self.viewers.forget();
            if self.counters.told() != Some(counts) {
                self.counters.forget();
            }
        }
        Counts {
            favorite_count: counts.0,
            comment_count: counts.1,
            viewers,
        }
    }

    /// Somebody left. What waits for them in this room's slots is forgotten, unless they are here a second time.
    pub fn leave(&mut self, number: u64) {
        let Some(gone) = self.listeners.remove(&number) else {
            return;
        };
        self.viewers.want();
        let address = Arc::as_ptr(&gone).addr();
        match self.times.get_mut(&address) {
            Some(times) if *times > 1 => *times -= 1,
            _ => {
                self.times.remove(&address);
                withdraw(self.video, &gone);
            }
        }
    }

    /// A comment was stored.
    pub fn comment(&mut self, comment: &NewComment, now: Instant) {
        if self.listeners.is_empty() || !self.comments.admit(now) {
            return;
        }
        let push = Push::VideoComment {
            video_id: self.video.0,
            comment: PushedComment {
                id: comment.id,
                user_id: comment.user.0,
                user_name: comment.user_name.as_str().into(),
                content: comment.content.as_str().into(),
                created_at: comment.created_at,
            },
        };
        self.say(&push);
    }

    /// Puts what is due into the fan-out.
    pub fn step(&mut self, now: Instant) {
        if self.signals.comments.swap(false, Ordering::AcqRel) {
            self.base.want();
        }
        // Left raised until it is looked at: meanwhile nobody sends a message for it.
        if self.signals.likes.load(Ordering::Acquire) {
            self.counters.want();
        }
        if self.counters.is_open(now) && self.base.row().is_some() {
            self.signals.likes.swap(false, Ordering::AcqRel);
            if let Some((favorite_count, comment_count)) = self.counts()
                && self.counters.tell((favorite_count, comment_count), now)
            {
                let video_id = self.video.0;
                self.say(&Push::VideoCounters {
                    video_id,
                    favorite_count,
                    comment_count,
                });
            }
        }
        let viewers = self.listeners.len();
        if self.viewers.is_open(now) && self.viewers.tell(viewers, now) {
            let video_id = self.video.0;
            self.say(&Push::VideoViewers { video_id, viewers });
        }
    }

    /// The row arrived.
    pub fn loaded(&mut self, row: VideoCounts) {
        self.base.loaded(row);
        self.counters.want();
    }

    /// When something is due by itself, after a [`State::step`].
    pub fn due(&self) -> Option<Instant> {
        // Without a row no count can be told: its arrival comes first.
        let counters = self.base.row().and_then(|_| self.counters.due());
        [counters, self.viewers.due(), self.base.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends one piece of what is in the fan-out. True while there is more.
    pub fn piece(&mut self) -> bool {
        self.fanout.piece(&self.listeners)
    }

    /// Everybody who is here, taken out.
    pub fn clear(&mut self) -> Listeners {
        self.times.clear();
        std::mem::take(&mut self.listeners)
    }

    fn say(&mut self, push: &Push<'_>) {
        self.fanout.push(push.slot(), push.frame(), &self.listeners);
    }
}

/// Whoever left wants none of it any more.
pub fn withdraw(video: VideoId, outbox: &Outbox) {
    outbox.withdraw(Slot::Counters(video));
    outbox.withdraw(Slot::Viewers(video));
}
