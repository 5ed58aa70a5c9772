//! What is missing, read in groups.
//!
//! Owns the requests that wait for a read: those that come while one is under way share the next one, which begins after
//! all of them. So a hot row that is missing costs one statement however many ask for it, and nobody is given what was
//! read before they came. Keeps what it reads under the stamps taken before. Never decides what is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ovation_schema::{DbConnection, StoreError, UserId, VideoId, favorites, follows, mark, users, videos};
use tokio::sync::oneshot;

use super::piece::{UserPiece, VideoPiece};
use super::shelf::{Stamps, Weight};
use super::timeline::Look;
use super::{Ids, Rows};

/// Requests in one read: 32 cold feed pages are about 2,000 rows.
const GROUP: usize = 32;
/// Requests that may wait in one lane; past it the answer is "busy".
const WAITING: usize = 5_000;
/// What somebody likes or follows is kept as a whole up to so many, 8 bytes each; beyond it, it is asked for page by page.
const IDS: i64 = 1_000;

/// What a request needs and has not found.
#[derive(Debug, Default, Clone)]
pub(super) struct Want {
    pub users: Vec<UserId>,
    pub videos: Vec<VideoId>,
    /// Whom these follow.
    pub follows: Vec<UserId>,
    /// What these like.
    pub favorites: Vec<UserId>,
    /// Newer places than the timeline has.
    pub timeline: bool,
}

/// What was read for a group. What does not exist is left out.
#[derive(Default)]
pub(super) struct Found {
    pub users: HashMap<i64, Arc<UserPiece>>,
    pub videos: HashMap<i64, Arc<VideoPiece>>,
    pub follows: HashMap<i64, Arc<Ids>>,
    pub favorites: HashMap<i64, Arc<Ids>>,
    places: Option<Vec<videos::Place>>,
}

type Answer = Result<Arc<Found>, StoreError>;

/// One read at a time, and those that wait for the next.
#[derive(Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<(Want, oneshot::Sender<Answer>)>,
    reading: bool,
}

impl Want {
    pub fn is_empty(&self) -> bool {
        let lists = self.users.len() + self.videos.len() + self.follows.len() + self.favorites.len();
        lists == 0 && !self.timeline
    }

    fn join(group: &[(Self, oneshot::Sender<Answer>)]) -> Self {
        let mut all = Self::default();
        for (want, _) in group {
            all.users.extend(&want.users);
            all.videos.extend(&want.videos);
            all.follows.extend(&want.follows);
            all.favorites.extend(&want.favorites);
            all.timeline |= want.timeline;
        }
        for users in [&mut all.users, &mut all.follows, &mut all.favorites] {
            users.sort_unstable();
            users.dedup();
        }
        all.videos.sort_unstable();
        all.videos.dedup();
        all
    }
}

/// Reads what is wanted, in the lane with that number. Inside a tokio runtime.
pub(super) async fn load(rows: &Rows, lane: usize, want: Want) -> Answer {
    let (sender, answer) = oneshot::channel();
    let begin = {
        let mut state = rows.lane(lane).lock();
        if state.waiting.len() >= WAITING {
            return Err(StoreError::Busy);
        }
        state.waiting.push((want, sender));
        !std::mem::replace(&mut state.reading, true)
    };
    if begin {
        // A task of its own: whoever happened to come first may go away, the others still wait.
        let rows = rows.clone();
        let armed = true;
        tokio::spawn(read(Reading { rows, lane, armed }));
    }
    answer
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".into())))
}

/// Reads until nobody waits.
async fn read(mut reading: Reading) {
    loop {
        let group = {
            let mut state = reading.rows.lane(reading.lane).lock();
            let count = state.waiting.len().min(GROUP);
            if count == 0 {
                state.reading = false;
                // From here on the next request begins anew, and its task is none of this guard's business.
                reading.armed = false;
                return;
            }
            state.waiting.drain(..count).collect::<Vec<_>>()
        };
        let found = reading.rows.read(Want::join(&group)).await;
        for (_, sender) in group {
            // Whoever has gone needs no answer.
            let _ = sender.send(share(&found));
        }
    }
}

/// Armed while the task runs, from before it begins: where it is dropped half-way, or a runtime that ends never runs it,
/// those that wait are told at once and the lane is free.
struct Reading {
    rows: Rows,
    lane: usize,
    armed: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.armed {
            let mut state = self.rows.lane(self.lane).lock();
            state.reading = false;
            state.waiting.clear();
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer of a group's, whose error is not made for sharing.
fn share(found: &Answer) -> Answer {
    match found {
        Ok(found) => Ok(Arc::clone(found)),
        Err(StoreError::Busy) => Err(StoreError::Busy),
        Err(StoreError::Unavailable(reason)) => Err(StoreError::Unavailable(reason.clone())),
        Err(other) => Err(StoreError::Internal(other.to_string())),
    }
}

/// The stamps of every shelf, taken before a read.
struct Before {
    users: Stamps,
    videos: Stamps,
    follows: Stamps,
    favorites: Stamps,
    look: Look,
}

impl Rows {
    /// Reads what is wanted and keeps it.
    async fn read(&self, want: Want) -> Answer {
        let before = Before {
            users: self.0.users.stamps(),
            videos: self.0.videos.stamps(),
            follows: self.0.follows.stamps(),
            favorites: self.0.favorites.stamps(),
            look: self.0.timeline.look(),
        };
        let after = before.look.after;
        let read = self.0.store.read(move |connection| find(connection, &want, after));
        #[cfg(test)]
        let read = self.0.held_up.hold(read);
        let mut found = read.await?;
        if let Some(places) = found.places.take() {
            self.0.timeline.take(before.look, places);
        }
        for (id, user) in &found.users {
            self.0.users.keep(*id, user, &before.users);
        }
        for (id, video) in &found.videos {
            self.0.videos.keep(*id, video, &before.videos);
        }
        for (id, ids) in &found.follows {
            self.0.follows.keep(*id, ids, &before.follows);
        }
        for (id, ids) in &found.favorites {
            self.0.favorites.keep(*id, ids, &before.favorites);
        }
        Ok(Arc::new(found))
    }
}

/// One statement for places, one for all videos with their authors, one for all other users, and one a viewer for each of
/// follows and favorites.
fn find(connection: &mut DbConnection, want: &Want, after: i64) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if want.timeline {
        found.places = Some(videos::newest(connection, after, Look::MOST)?);
    }
    for (video, author) in videos::by_ids(connection, &want.videos)? {
        found.videos.insert(video.id.0, Arc::new(VideoPiece::new(&video)));
        let piece = || Arc::new(UserPiece::new(&author));
        found.users.entry(author.id.0).or_insert_with(piece);
    }
    let missing = |user: &&UserId| !found.users.contains_key(&user.0);
    let others: Vec<UserId> = want.users.iter().filter(missing).copied().collect();
    for user in users::by_ids(connection, &others)? {
        found.users.insert(user.id.0, Arc::new(UserPiece::new(&user)));
    }
    for viewer in &want.follows {
        let ids = follows::some_followees(connection, *viewer, IDS + 1)?;
        let ids = Ids::new(ids.into_iter().map(|user| user.0).collect(), i64::MAX);
        found.follows.insert(viewer.0, Arc::new(ids));
    }
    if !want.favorites.is_empty() {
        // Before the pairs: they hold at least what is up to it.
        let mark = mark::read(connection)?;
        for viewer in &want.favorites {
            let ids = favorites::some_of(connection, *viewer, IDS + 1)?;
            let ids = Ids::new(ids.into_iter().map(|video| video.0).collect(), mark.0);
            found.favorites.insert(viewer.0, Arc::new(ids));
        }
    }
    Ok(found)
}

impl Ids {
    fn new(ids: Vec<i64>, mark: i64) -> Self {
        let whole = i64::try_from(ids.len()).is_ok_and(|count| count <= IDS);
        // Where there are too many it is only kept that there are.
        Self::of(if whole { ids } else { Vec::new() }, whole, mark)
    }
}

impl Weight for Ids {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.sorted.len() * size_of::<i64>()
    }
}
