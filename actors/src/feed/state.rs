//! Who listens to the feed, and what waits to be told.
//!
//! Plain. Listeners are in the order of their users, so that a publish can go through them in pieces and ask the store of
//! each piece who follows the author.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashSet;
use ovation_schema::UserId;
use tokio::time::Instant;

use crate::hub::NewVideo;
use crate::hub::throttle::Throttle;
use crate::outbox::Outbox;
use crate::push::{Frame, Push, PushedVideo, Slot};

/// Users of whom the store is asked at a time.
pub const PIECE: usize = 1_000;
/// Publishes that wait to be told at most; one more counts among the newer ones, and is not told by itself.
pub const WAITING: usize = 256;
/// Between two `feed.new` with a number.
pub const NEWER_SPACING: Duration = Duration::from_secs(1);
/// How often the store is asked about one piece. What is told is not stored anywhere as told, and the number of newer
/// videos tells of it as well.
const TRIES: u32 = 3;

/// A user's connection; a user has several.
type Key = (UserId, u64);

/// The feed.
pub struct State {
    listeners: BTreeMap<Key, Listener>,
    waiting: VecDeque<NewVideo>,
    telling: Option<Telling>,
    newer: Throttle<u64>,
    counting: Option<Counting>,
}

struct Listener {
    outbox: Arc<Outbox>,
    /// What its client counted from, less the publishes there were then.
    start: u64,
    /// Publishes at the time it was told last.
    told: u64,
}

/// A publish on its way.
struct Telling {
    author: UserId,
    frame: Frame,
    /// The last user asked about.
    after: Option<UserId>,
    tries: u32,
}

/// A number on its way.
struct Counting {
    published: u64,
    after: Option<Key>,
}

impl State {
    /// Nobody listens yet, to a feed with so many publishes.
    pub fn new(published: u64) -> Self {
        let mut newer = Throttle::new(NEWER_SPACING);
        newer.knows(published);
        Self {
            listeners: BTreeMap::new(),
            waiting: VecDeque::new(),
            telling: None,
            newer,
            counting: None,
        }
    }

    /// Somebody listens who knew of `newer` when there were `published`. A connection listens once: a second time
    /// replaces the first, with whatever number waits from it.
    pub fn join(&mut self, user: UserId, seat: u64, outbox: Arc<Outbox>, newer: u64, published: u64) {
        let of_user = self.listeners.range((user, 0)..=(user, u64::MAX));
        let before = of_user.filter(|(_, listener)| Arc::ptr_eq(&listener.outbox, &outbox));
        let before: Vec<Key> = before.map(|(key, _)| *key).collect();
        for key in before {
            self.listeners.remove(&key);
        }
        outbox.withdraw(Slot::FeedNewer);
        let start = newer.wrapping_sub(published);
        let listener = Listener {
            outbox,
            start,
            told: published,
        };
        self.listeners.insert((user, seat), listener);
        // The others were told of a publish that came after this one asked.
        if self.newer.told().is_some_and(|told| told > published) {
            self.newer.forget();
        }
    }

    /// Somebody does not listen any more.
    pub fn leave(&mut self, user: UserId, seat: u64) {
        if let Some(listener) = self.listeners.remove(&(user, seat)) {
            listener.outbox.withdraw(Slot::FeedNewer);
        }
    }

    /// A video was published.
    pub fn publish(&mut self, video: NewVideo) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(video);
        }
    }

    /// The next question for the store: which of these users follow the author? None when nothing waits. Ask again
    /// after [`State::followers`] only.
    pub fn question(&mut self) -> Option<(UserId, Vec<UserId>)> {
        loop {
            if self.telling.is_none() {
                self.telling = Some(Telling::new(&self.waiting.pop_front()?));
            }
            let telling = self.telling.as_ref()?;
            let from = telling
                .after
                .map_or(Bound::Unbounded, |user| Bound::Excluded((user, u64::MAX)));
            let mut users: Vec<UserId> = Vec::new();
            for ((user, _), _) in self.listeners.range((from, Bound::Unbounded)) {
                if users.last() != Some(user) {
                    if users.len() == PIECE {
                        break;
                    }
                    users.push(*user);
                }
            }
            if !users.is_empty() {
                return Some((telling.author, users));
            }
            self.telling = None;
        }
    }

    /// The answer to the last question, about users up to `last`: those who follow are told.
    pub fn followers(&mut self, followers: &[UserId], last: UserId) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        telling.after = Some(last);
        telling.tries = 0;
        for user in followers.iter().collect::<HashSet<_>>() {
            for listener in self.listeners.range((*user, 0)..=(*user, u64::MAX)) {
                listener.1.outbox.put(None, &telling.frame);
            }
        }
    }

    /// The store could not say. How long to wait before asking again; none when this publish is given up.
    pub fn no_answer(&mut self) -> Option<Duration> {
        let telling = self.telling.as_mut()?;
        telling.tries += 1;
        if telling.tries < TRIES {
            return Some(Duration::from_millis(250) * telling.tries);
        }
        self.telling = None;
        None
    }

    /// Begins to tell the number, if it has changed and may be told; `published` is how many there are.
    pub fn count(&mut self, published: u64, now: Instant) {
        if self.newer.told() != Some(published) {
            self.newer.want();
        }
        if self.counting.is_none() && self.newer.is_open(now) && self.newer.tell(published, now) {
            self.counting = Some(Counting { published, after: None });
        }
    }

    /// When a number is due by itself.
    pub fn due(&self) -> Option<Instant> {
        self.newer.due().filter(|_| self.counting.is_none())
    }

    /// Tells one piece of the listeners the number. True while there is more.
    pub fn piece(&mut self) -> bool {
        let Some(counting) = &mut self.counting else {
            return false;
        };
        let from = counting.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut encoded: Option<(u64, Frame)> = None;
        for (key, listener) in self.listeners.range_mut((from, Bound::Unbounded)).take(PIECE) {
            last = Some(*key);
            // Whoever came meanwhile knows of at least as many.
            if listener.told >= counting.published {
                continue;
            }
            listener.told = counting.published;
            let newer = listener.start.wrapping_add(counting.published);
            let frame = match encoded.take() {
                Some((same, frame)) if same == newer => frame,
                _ => Push::FeedNewer { newer }.frame(),
            };
            listener.outbox.put(Some(Slot::FeedNewer), &frame);
            encoded = Some((newer, frame));
        }
        counting.after = last;
        if last.is_none() {
            self.counting = None;
        }
        last.is_some()
    }

    /// Everybody who listens.
    pub fn outboxes(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        self.listeners.values().map(|listener| &listener.outbox)
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        self.listeners.clear();
    }
}

impl Telling {
    fn new(video: &NewVideo) -> Self {
        let push = Push::FeedVideo {
            video: PushedVideo {
                id: video.id.0,
                author_id: video.author.0,
                title: video.title.as_str().into(),
                publish_time: video.publish_time,
            },
        };
        Self {
            author: video.author,
            frame: push.frame(),
            after: None,
            tries: 0,
        }
    }
}
