//! The overlay: what was acknowledged and may be missing from what a reader has just read.
//!
//! Owns, in memory, every change past its floor: how each count moved and at which position, and the latest state of each
//! pair. A reader brings a row and the mark its statement selected; the row plus the differences past that mark is the
//! count, whenever the flush commits. Never asks the store or the ledger, and knows nothing of batches: a difference is
//! kept by position (24 bytes each), so that it is exact at any mark, also one that a halved batch or another process
//! left behind. The price was weighed against steps by batch: pairs and users cost the same either way.

mod history;
#[cfg(test)]
#[expect(clippy::cast_possible_wrap, reason = "a handful of users and videos")]
mod model;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::{HashMap, HashSet};
use history::History;
use ovation_schema::{UserId, VideoId};

use crate::{Entry, Like};

/// The mark is older than what is kept: the caller reads its rows again, with a new mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was read is older than what memory can bring up to date")]
pub struct Stale;

/// A handle to the overlay; clones share it.
#[derive(Clone, Default)]
pub struct Overlay(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    /// Nothing at or below this position is kept.
    floor: i64,
    /// The highest position there is.
    last: i64,
    log: VecDeque<Entry>,
    videos: HashMap<VideoId, History<()>>,
    users: HashMap<UserId, Person>,
    pairs: HashMap<(UserId, VideoId), Pending>,
}

/// The two counts of a user.
#[derive(Default)]
struct Person {
    given: History<VideoId>,
    received: History<()>,
}

/// The latest acknowledged state of a pair.
#[derive(Clone, Copy)]
struct Pending {
    position: i64,
    author: UserId,
    on: bool,
    at_ms: i64,
}

/// A pair's latest acknowledged state, and whose video it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) on: bool,
    pub(crate) author: UserId,
}

/// How much has not reached the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Entries.
    pub(crate) entries: usize,
    /// When the oldest was acknowledged: milliseconds since the epoch.
    pub(crate) oldest_ms: Option<i64>,
}

impl Overlay {
    /// An overlay over a store whose mark stands at `mark`, with nothing past it yet.
    pub(crate) fn starting_at(mark: i64) -> Self {
        Self(Arc::new(RwLock::new(State {
            floor: mark,
            last: mark,
            ..State::default()
        })))
    }

    /// Looks at one moment of it. Hold the view only as long as it takes to bring rows up to date: the writer of likes
    /// waits meanwhile, so never across an await.
    pub fn view(&self) -> View<'_> {
        View(self.read())
    }

    /// Adds entries that the ledger has, in order, all past [`Self::last`].
    pub(crate) fn apply(&self, entries: &[Entry]) {
        let mut state = self.write();
        for entry in entries {
            state.append(*entry);
        }
    }

    /// Adds entries the store has forgotten again: those past `mark`, up to the floor, in order.
    pub(crate) fn prepend(&self, mark: i64, entries: &[Entry]) {
        let mut state = self.write();
        state.prepend(entries);
        state.floor = state.floor.min(mark);
    }

    /// Forgets everything up to `position`, which every reader's mark has passed by now.
    pub(crate) fn forget_through(&self, position: i64) {
        self.write().forget_through(position);
    }

    /// The highest position there is.
    pub(crate) fn last(&self) -> i64 {
        self.read().last
    }

    /// Marks below this are stale.
    pub(crate) fn floor(&self) -> i64 {
        self.read().floor
    }

    /// The first `limit` entries past `mark`, in order.
    pub(crate) fn entries_after(&self, mark: i64, limit: usize) -> Vec<Entry> {
        let state = self.read();
        let from = state.index_after(mark);
        state.log.range(from..).take(limit).copied().collect()
    }

    /// What lies past `mark`.
    pub(crate) fn waiting_after(&self, mark: i64) -> Waiting {
        let state = self.read();
        let from = state.index_after(mark);
        Waiting {
            entries: state.log.len() - from,
            oldest_ms: state.log.get(from).map(|entry| entry.like.at_ms),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Whoever panics while writing ends the process; a reader in between need not panic as well.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One moment of the overlay.
pub struct View<'a>(RwLockReadGuard<'a, State>);

impl View<'_> {
    /// Refuses a mark older than what is kept. The counts ask by themselves; a reader of pairs alone asks here.
    pub fn check(&self, mark: i64) -> Result<(), Stale> {
        if mark < self.0.floor { Err(Stale) } else { Ok(()) }
    }

    /// A video's count of likes, from its row and the mark read in the same statement.
    pub fn video_count(&self, video: VideoId, row_count: i64, mark: i64) -> Result<i64, Stale> {
        self.check(mark)?;
        let newer = self.0.videos.get(&video).map_or(0, |history| history.newer_than(mark));
        Ok((row_count + newer).max(0))
    }

    /// A user's counts of likes given and received, from the user's row and the mark read in the same statement.
    pub fn user_counts(
        &self,
        user: UserId,
        favorite_count: i64,
        total_favorited: i64,
        mark: i64,
    ) -> Result<(i64, i64), Stale> {
        self.check(mark)?;
        let (given, received) = self.0.users.get(&user).map_or((0, 0), |person| {
            (person.given.newer_than(mark), person.received.newer_than(mark))
        });
        Ok(((favorite_count + given).max(0), (total_favorited + received).max(0)))
    }

    /// Whether `user` likes `video`, if memory knows; it then knows better than any row, however old the row: the
    /// counters are the only writer, and a pair is kept for longer than any read takes.
    pub fn pair(&self, user: UserId, video: VideoId) -> Option<bool> {
        self.known(user, video).map(|known| known.on)
    }

    /// What memory knows of a user's likes, the latest change first, as (video, liked, milliseconds since the epoch).
    /// Costs a step for each change of the user that is kept.
    pub fn likes_of(&self, user: UserId) -> Vec<(VideoId, bool, i64)> {
        let Some(person) = self.0.users.get(&user) else {
            return Vec::new();
        };
        let latest = person.given.newest_first().filter_map(|(position, video)| {
            let pending = self.0.pairs.get(&(user, video))?;
            (pending.position == position).then_some((video, pending.on, pending.at_ms))
        });
        latest.collect()
    }

    pub(crate) fn known(&self, user: UserId, video: VideoId) -> Option<Known> {
        self.0.pairs.get(&(user, video)).map(|pending| Known {
            on: pending.on,
            author: pending.author,
        })
    }
}

/// What an entry adds to the counts where the pair's state before it is known from another entry; where it is not, what
/// the like itself says. A wish counts as a change until its flush has compared it with the row: from the flush's mark
/// on the row is the truth, whatever was guessed here.
fn difference(before: Option<bool>, like: &Like) -> i64 {
    match before {
        Some(before) => i64::from(like.on) - i64::from(before),
        None => like.difference(),
    }
}

impl State {
    fn index_after(&self, mark: i64) -> usize {
        self.log.partition_point(|entry| entry.position <= mark)
    }

    fn append(&mut self, entry: Entry) {
        let Entry { position, like } = entry;
        let pair = (like.user, like.video);
        let pending = Pending {
            position,
            author: like.author,
            on: like.on,
            at_ms: like.at_ms,
        };
        let before = self.pairs.insert(pair, pending).map(|pending| pending.on);
        let by = difference(before, &like);
        self.videos.entry(like.video).or_default().push(position, by, ());
        self.users
            .entry(like.user)
            .or_default()
            .given
            .push(position, by, like.video);
        self.users
            .entry(like.author)
            .or_default()
            .received
            .push(position, by, ());
        self.log.push_back(entry);
        self.last = position;
    }

    fn prepend(&mut self, entries: &[Entry]) {
        let mut states = HashMap::default();
        let differences: Vec<i64> = entries
            .iter()
            .map(|Entry { like, .. }| difference(states.insert((like.user, like.video), like.on), like))
            .collect();
        let mut newer = HashSet::default();
        for (entry, by) in entries.iter().zip(differences).rev() {
            let Entry { position, like } = *entry;
            self.videos.entry(like.video).or_default().push_front(position, by, ());
            self.users
                .entry(like.user)
                .or_default()
                .given
                .push_front(position, by, like.video);
            self.users
                .entry(like.author)
                .or_default()
                .received
                .push_front(position, by, ());
            if newer.insert((like.user, like.video)) {
                self.pairs.entry((like.user, like.video)).or_insert(Pending {
                    position,
                    author: like.author,
                    on: like.on,
                    at_ms: like.at_ms,
                });
            }
            self.log.push_front(*entry);
        }
    }

    fn forget_through(&mut self, position: i64) {
        while let Some(entry) = self.log.pop_front_if(|entry| entry.position <= position) {
            let like = entry.like;
            forget(&mut self.videos, like.video, |history| history.forget_through(position));
            forget(&mut self.users, like.user, |person| person.forget_through(position));
            forget(&mut self.users, like.author, |person| person.forget_through(position));
            let pair = (like.user, like.video);
            if self
                .pairs
                .get(&pair)
                .is_some_and(|pending| pending.position <= position)
            {
                self.pairs.remove(&pair);
            }
        }
        self.floor = self.floor.max(position);
        self.shrink();
    }

    /// Gives back what a long absence of the store has taken.
    fn shrink(&mut self) {
        const WORTH_IT: usize = 16_384;
        if self.log.capacity() > WORTH_IT && self.log.len() < self.log.capacity() / 8 {
            self.log.shrink_to(self.log.len() * 2);
            self.pairs.shrink_to(self.pairs.len() * 2);
            self.videos.shrink_to(self.videos.len() * 2);
            self.users.shrink_to(self.users.len() * 2);
        }
    }
}

impl Person {
    fn forget_through(&mut self, position: i64) -> bool {
        let given = self.given.forget_through(position);
        let received = self.received.forget_through(position);
        given && received
    }
}

/// Forgets within the value of `key`, and the value itself when nothing is left of it.
fn forget<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, within: impl FnOnce(&mut V) -> bool) {
    if let std::collections::hash_map::Entry::Occupied(mut occupied) = map.entry(key)
        && within(occupied.get_mut())
    {
        occupied.remove();
    }
}
