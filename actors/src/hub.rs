//! Who is online, and how to reach them.
//!
//! Owns the maps from users to sessions and from videos to rooms, and the seats that connections take there; everything
//! behind it (sessions, rooms, presence, the feed) is an actor that is there while somebody has a seat. Callers see verbs,
//! never addresses. Nothing here waits for a store, except for whoever joins a room.
//!
//! What a caller is told with a seat (counts, presences) was true before every push that seat brings: a push that a client
//! sees before the answer is the newer of the two.

pub(crate) mod alarm;
pub(crate) mod departures;
pub(crate) mod mail;
mod seats;
pub(crate) mod store;
pub(crate) mod tenants;
#[cfg(test)]
mod tests;
pub(crate) mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use departures::Departures;
use foldhash::HashMap;
use mail::{may, must};
use ovation_schema::streams::Event;
use ovation_schema::{Store, UserId, VideoId};
pub use seats::{FeedWatch, PresenceWatch, RoomSeat, Seat};
use store::HubStore;
use tokio::sync::oneshot;

use crate::Overlay;
use crate::close::Close;
use crate::feed::{self, Feed, Feeds};
use crate::outbox::Outbox;
use crate::presence::{self, Watcher, Watchers};
use crate::push::{Frame, Presence};
use crate::room::{self, Joiner, Room, Rooms};
use crate::session::{self, Session, Sessions};

/// Bounds of the hub.
#[derive(Debug, Clone, Copy)]
pub struct HubLimits {
    /// Connections of one user at the same time.
    pub connections_per_user: usize,
}

/// A handle to the hub; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sessions: Arc<Sessions>,
    rooms: Rooms,
    watchers: Watchers,
    feeds: Feeds,
    departures: Arc<Departures>,
    /// Publishes since the start.
    published: Arc<AtomicU64>,
    store: Arc<dyn HubStore>,
    overlay: Overlay,
    limits: HubLimits,
    /// Friendships that ended since the start.
    unfriended: AtomicU64,
    /// The last seat's number.
    seats: AtomicU64,
    doubt: AtomicBool,
}

/// The user has as many connections as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyConnections;

/// Why a room can't be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomError {
    /// No such video.
    UnknownVideo,
    /// The store can't say at the moment.
    Unavailable,
}

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
    pub fn new(store: Store, overlay: Overlay, limits: HubLimits) -> Self {
        Self::over(Arc::new(store), overlay, limits)
    }

    pub(crate) fn over(store: Arc<dyn HubStore>, overlay: Overlay, limits: HubLimits) -> Self {
        Self(Arc::new(Inner {
            sessions: Arc::new(Sessions::new()),
            rooms: Rooms::new(),
            watchers: Watchers::new(),
            feeds: Feeds::new(),
            departures: Arc::default(),
            published: Arc::default(),
            store,
            overlay,
            limits,
            unfriended: AtomicU64::new(0),
            seats: AtomicU64::new(0),
            doubt: AtomicBool::new(false),
        }))
    }

    /// Registers a connection at its user's session, which starts with its first one on the current thread (one that runs
    /// actors). `token_version` is that of the connection's token.
    pub fn attach(&self, user: UserId, token_version: u32, outbox: Arc<Outbox>) -> Result<Seat, TooManyConnections> {
        let inner = &self.0;
        let start = |missed: &Arc<_>| Session::new(user, Arc::clone(missed), Arc::clone(&inner.sessions));
        let joined = inner
            .sessions
            .join_within(inner.limits.connections_per_user, user, start, |session, first| {
                let seat = inner.next_seat();
                must(
                    &session.address,
                    session::Mail::Join {
                        seat,
                        token_version,
                        outbox,
                    },
                );
                if first {
                    inner.tell_watcher(presence::Mail::Changed(user));
                }
                seat
            });
        let number = joined.map_err(|tenants::Full| TooManyConnections)?;
        let inner = Arc::clone(inner);
        Ok(Seat { inner, user, number })
    }

    /// Events that were just committed reach every connection of their users. Never refused, never waits.
    pub fn announce(&self, events: &[Event]) {
        for event in events {
            session::announce(&self.0.sessions, event.user, event.seq, || Frame::durable(event));
        }
    }

    /// Events of `user` up to `newest` are committed; whoever does not have them reads them from the store.
    pub fn raise(&self, user: UserId, newest: i64) {
        session::raise(&self.0.sessions, user, newest);
    }

    /// A commit's answer was lost: there may be events that nobody was told of. See [`Hub::take_doubt`].
    pub fn doubt(&self) {
        self.0.doubt.store(true, Ordering::Release);
    }

    /// Whether there was a doubt since the last call. Whoever asks compares [`Hub::online`] with the store then, and calls
    /// [`Hub::raise`].
    pub fn take_doubt(&self) -> bool {
        self.0.doubt.swap(false, Ordering::AcqRel)
    }

    /// Everybody who is online, more or less: some come and go meanwhile.
    pub fn online(&self) -> Vec<UserId> {
        self.0.sessions.keys()
    }

    /// `from` writes to `to`, or has stopped. Expires by itself after 6 s without a renewal. Dropped when `from` is not
    /// online.
    pub fn typing(&self, from: UserId, to: UserId, on: bool) {
        self.0.sessions.with(&from, |session| {
            may(&session.address, session::Mail::Typing { to, on });
        });
    }

    /// Joins the room of a video: live counters, comments, viewers. The room starts with its first watcher on the current
    /// thread (one that runs actors). A caller that stops waiting has joined nothing.
    pub async fn watch_video(&self, video: VideoId, outbox: Arc<Outbox>) -> Result<(RoomSeat, Counts), RoomError> {
        let inner = &self.0;
        let (reply, answer) = oneshot::channel();
        let start = |signals: &Arc<_>| {
            let (signals, store) = (Arc::clone(signals), Arc::clone(&inner.store));
            Room::new(video, signals, inner.overlay.clone(), store)
        };
        let number = inner.rooms.join(video, start, |room, _| {
            let number = inner.next_seat();
            let outbox = Arc::clone(&outbox);
            must(&room.address, room::Mail::Join(Joiner { number, outbox, reply }));
            number
        });
        let inner = Arc::clone(inner);
        let seat = RoomSeat {
            inner,
            video,
            outbox,
            number,
        };
        let counts = answer.await.unwrap_or(Err(RoomError::Unavailable))?;
        Ok((seat, counts))
    }

    /// Watches friends (the caller has checked that they are): how each is now, and `presence` whenever it changes; a
    /// departure is told when the friend has stayed away for 3 s. `last_seen` is filled from memory where known, else the
    /// caller's business. Call it on a thread that runs actors.
    pub fn watch_presence(
        &self,
        watcher: UserId,
        friends: &[UserId],
        outbox: Arc<Outbox>,
    ) -> (PresenceWatch, Vec<Presence>) {
        let inner = &self.0;
        let state = |friend: &UserId| (*friend, inner.sessions.contains(friend));
        let told: HashMap<UserId, bool> = friends.iter().map(state).collect();
        let presences = friends.iter().filter_map(|friend| {
            let online = *told.get(friend)?;
            Some(presence::of(*friend, online, &inner.departures))
        });
        let presences = presences.collect();
        let start = |_: &Arc<()>| Watcher::new(Arc::clone(&inner.sessions), Arc::clone(&inner.departures));
        let number = inner.watchers.join((), start, |actor, _| {
            let id = inner.next_seat();
            must(
                &actor.address,
                presence::Mail::Watch {
                    id,
                    watcher,
                    outbox,
                    told,
                },
            );
            id
        });
        let inner = Arc::clone(inner);
        (PresenceWatch { inner, number }, presences)
    }

    /// Tells the connection of publishes by authors its user follows, and of the number of newer videos, which starts at
    /// `newer`. A connection has one watch; a second one takes the first one's place. Call it on a thread that runs
    /// actors.
    pub fn watch_feed(&self, user: UserId, outbox: Arc<Outbox>, newer: u64) -> FeedWatch {
        let inner = &self.0;
        let start = |_: &Arc<()>| Feed::new(Arc::clone(&inner.published), Arc::clone(&inner.store));
        let number = inner.feeds.join((), start, |feed, _| {
            let seat = inner.next_seat();
            let published = inner.published.load(Ordering::Acquire);
            let join = feed::Mail::Join {
                user,
                seat,
                outbox,
                newer,
                published,
            };
            must(&feed.address, join);
            seat
        });
        let inner = Arc::clone(inner);
        FeedWatch { inner, user, number }
    }

    /// A comment was stored (`None`: one was deleted): the room of its video hears of it. Call it after the commit.
    pub fn commented(&self, video: VideoId, comment: Option<NewComment>) {
        if self.0.rooms.is_needed() {
            room::commented(&self.0.rooms, video, comment);
        }
    }

    /// Likes of these videos changed: called by the counters for each group, on their thread, after the overlay has them.
    pub fn liked(&self, videos: &mut dyn Iterator<Item = VideoId>) {
        if self.0.rooms.is_needed() {
            for video in videos {
                room::liked(&self.0.rooms, video);
            }
        }
    }

    /// A video was published. Never waits, whatever the number of followers. Call it after the commit.
    pub fn published(&self, video: NewVideo) {
        self.0.published.fetch_add(1, Ordering::AcqRel);
        self.0.feeds.with(&(), |feed| {
            // Refused, it counts among the newer ones: the feed looks at the number with every message.
            may(&feed.address, feed::Mail::Published(video));
        });
    }

    /// Two users are not friends any more: neither watches the other's presence from here on.
    pub fn unfriended(&self, one: UserId, other: UserId) {
        // First: a watch that begins after the message was sent, and so is not met by it, sees the number changed.
        self.0.unfriended.fetch_add(1, Ordering::SeqCst);
        self.0.tell_watcher(presence::Mail::Unfriended(one, other));
    }

    /// How many friendships have ended. Whoever reads who is a friend, and watches them then, compares the numbers of
    /// before and after: where they differ, one of them may have ended in between.
    pub fn unfriendings(&self) -> u64 {
        self.0.unfriended.load(Ordering::SeqCst)
    }

    /// Closes those connections of a user whose token is older than `token_version`.
    pub fn revoke(&self, user: UserId, token_version: u32, close: Close) {
        self.0.sessions.with(&user, |session| {
            must(&session.address, session::Mail::Revoke { token_version, close });
        });
    }

    /// Whether at least one connection of the user is open.
    pub fn is_online(&self, user: UserId) -> bool {
        self.0.sessions.contains(&user)
    }

    /// Users who went offline since the last call, with the time in milliseconds since the epoch: for the store's
    /// `last_seen`. Bounded to 100,000; the oldest are forgotten first. A user may be back by now.
    pub fn departures(&self) -> Vec<(UserId, i64)> {
        self.0.departures.take()
    }

    /// How many are there.
    pub fn status(&self) -> HubStatus {
        HubStatus {
            connections: self.0.sessions.seats(),
            users: self.0.sessions.actors(),
            rooms: self.0.rooms.actors(),
        }
    }
}

impl Inner {
    fn next_seat(&self) -> u64 {
        self.seats.fetch_add(1, Ordering::Relaxed)
    }

    /// Under the lock of a user's session where it tells of a change, so that a watch that begins meanwhile either is
    /// told or sees it.
    fn tell_watcher(&self, mail: presence::Mail) {
        self.watchers.with(&(), |watcher| must(&watcher.address, mail));
    }
}
