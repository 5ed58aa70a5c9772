//! What is hot, so that reading it needs no database.
//!
//! Owns ready-made users and videos, the timeline of the newest videos, and whom and what viewers follow and like; how
//! they are read when they are missing, and when they stop being true. What is answered from here is as exact as from the
//! store: a write that was answered is seen by every request that begins later. Counts of likes are laid over by the mark,
//! as over any row. Bounded by weight. Never writes, and never knows a request's `Host`.
//!
//! Why so: `docs/decisions/0010-row-cache.md`.

mod load;
mod piece;
mod shelf;
#[cfg(test)]
mod tests;
mod timeline;
mod touch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ovation_schema::videos::Place;
use ovation_schema::{Store, StoreError, UserId, VideoId, favorites, follows, mark};

use crate::config::Config;
use load::{Found, Lane, Want};
use shelf::Shelf;
use timeline::Timeline;
use touch::Key;

pub use piece::{Pen, UserPiece, VideoPiece};
pub use touch::{Touch, Unsure};

/// Reads that may be under way at the same time, each for a group of requests.
const LANES: usize = 4;

/// A handle to what is kept; clones share it.
#[derive(Clone)]
pub struct Rows(Arc<Inner>);

struct Inner {
    store: Store,
    users: Shelf<UserPiece>,
    videos: Shelf<VideoPiece>,
    /// Whom a viewer follows.
    follows: Shelf<Ids>,
    /// What a viewer likes, as far as the store knew at its mark.
    favorites: Shelf<Ids>,
    timeline: Timeline,
    lanes: [Lane; LANES],
    linger: Duration,
    #[cfg(test)]
    held_up: tests::HeldUp,
}

/// The users somebody follows, or the videos somebody likes.
pub struct Ids {
    /// Ascending; no more memory than is weighed.
    sorted: Box<[i64]>,
    /// False where there are too many to keep.
    whole: bool,
    /// What the store has of the ledger, at least.
    mark: i64,
}

impl Ids {
    fn of(mut sorted: Vec<i64>, whole: bool, mark: i64) -> Self {
        sorted.sort_unstable();
        let sorted = sorted.into_boxed_slice();
        Self { sorted, whole, mark }
    }

    /// Whether it is among them.
    pub fn contains(&self, id: i64) -> bool {
        self.sorted.binary_search(&id).is_ok()
    }

    /// The mark they were read with: they contain at least the likes up to it.
    pub const fn mark(&self) -> i64 {
        self.mark
    }
}

/// Whether what is kept will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// It will.
    Kept,
    /// It has turned out older than the likes in memory: everything is read again.
    Again,
}

/// A page of videos as a viewer's request found it.
pub struct Page {
    /// In order, each with its author.
    pub videos: Vec<(Arc<VideoPiece>, Arc<UserPiece>)>,
    /// Whom the viewer follows among the authors; none for a guest.
    pub follows: Option<Arc<Ids>>,
    /// What the viewer likes among the videos, without what the overlay knows; none for a guest.
    pub favorites: Option<Arc<Ids>>,
}

impl Rows {
    /// Keeps rows of `store`, as many bytes as the configuration says.
    pub fn new(store: Store, config: &Config) -> Self {
        let bytes = usize::try_from(config.cache_bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            store,
            users: Shelf::new(bytes / 100 * 45),
            videos: Shelf::new(bytes / 100 * 35),
            follows: Shelf::new(bytes / 100 * 8),
            favorites: Shelf::new(bytes / 100 * 12),
            timeline: Timeline::default(),
            lanes: Default::default(),
            linger: config.db_acquire_timeout + config.db_statement_timeout + Duration::from_secs(1),
            #[cfg(test)]
            held_up: tests::HeldUp::default(),
        }))
    }

    /// The places of at most `limit` videos before `latest` (milliseconds, exclusive), newest first; none where the
    /// timeline does not reach back that far. A time after `now` counts only if a video has exactly that one.
    pub async fn places(&self, latest: Option<i64>, now: i64, limit: usize) -> Result<Option<Vec<Place>>, StoreError> {
        let timeline = &self.0.timeline;
        let mut page = timeline.page(latest, now, limit);
        if page == timeline::Page::Behind {
            let want = Want {
                timeline: true,
                ..Want::default()
            };
            // Always the same lane, so that one look serves all.
            load::load(self, 0, want).await?;
            page = timeline.page_as_it_is(latest, now, limit);
        }
        Ok(match page {
            timeline::Page::Is(places) => Some(places),
            timeline::Page::Beyond | timeline::Page::Behind => None,
        })
    }

    /// The videos at these places, and what `viewer` follows and likes of them.
    pub async fn page(&self, places: &[Place], viewer: Option<UserId>, ask: Ask) -> Result<Page, StoreError> {
        let now = Instant::now();
        let videos = &self.0.videos;
        let users = &self.0.users;
        let mut kept = Vec::with_capacity(places.len());
        let mut want = Want::default();
        for (_, video, author) in places {
            let piece = videos.get(video.0, now).filter(|_| ask == Ask::Kept);
            let user = users.get(author.0, now).filter(|_| ask == Ask::Kept);
            match (&piece, &user) {
                (None, _) => want.videos.push(*video),
                (_, None) => want.users.push(*author),
                _ => {}
            }
            kept.push((piece, user));
        }
        let viewer = viewer.filter(|_| !places.is_empty());
        let (followed, liked) = self.of_viewer(viewer, now, ask, &mut want);
        let found = self.find(want).await?;
        let videos = places
            .iter()
            .zip(kept)
            .filter_map(|((_, video, author), (piece, user))| {
                // Where the video was missing its author has come with it, newer than the kept one.
                let user = found.users.get(&author.0).cloned().or(user)?;
                let piece = piece.or_else(|| found.videos.get(&video.0).cloned())?;
                Some((piece, user))
            });
        let videos = videos.collect();
        let mut page = Page {
            videos,
            follows: viewer.and_then(|viewer| followed.or_else(|| found.follows.get(&viewer.0).cloned())),
            favorites: viewer.and_then(|viewer| liked.or_else(|| found.favorites.get(&viewer.0).cloned())),
        };
        if let Some(viewer) = viewer {
            self.complete(viewer, &mut page).await?;
        }
        Ok(page)
    }

    fn of_viewer(
        &self,
        viewer: Option<UserId>,
        now: Instant,
        ask: Ask,
        want: &mut Want,
    ) -> (Option<Arc<Ids>>, Option<Arc<Ids>>) {
        let Some(viewer) = viewer else { return (None, None) };
        let follows = self.0.follows.get(viewer.0, now).filter(|_| ask == Ask::Kept);
        let favorites = self.0.favorites.get(viewer.0, now).filter(|_| ask == Ask::Kept);
        if follows.is_none() {
            want.follows.push(viewer);
        }
        if favorites.is_none() {
            want.favorites.push(viewer);
        }
        (follows, favorites)
    }

    /// Who follows or likes more than is kept is asked about for the page.
    async fn complete(&self, viewer: UserId, page: &mut Page) -> Result<(), StoreError> {
        let too_many = |ids: &Option<Arc<Ids>>| ids.as_ref().is_some_and(|ids| !ids.whole);
        if too_many(&page.follows) {
            let authors = page.videos.iter().map(|(_, author)| author.id()).collect();
            page.follows = Some(self.followed_among(viewer, authors).await?);
        }
        if too_many(&page.favorites) {
            let videos: Vec<VideoId> = page.videos.iter().map(|(video, _)| video.id()).collect();
            let read = self.0.store.read(move |connection| {
                // Before the pairs: they hold at least what is up to it.
                let mark = mark::read(connection)?;
                let liked = favorites::among(connection, viewer, &videos)?;
                Ok(Ids::of(liked.into_iter().map(|video| video.0).collect(), true, mark.0))
            });
            page.favorites = Some(Arc::new(read.await?));
        }
        Ok(())
    }

    async fn followed_among(&self, viewer: UserId, mut users: Vec<UserId>) -> Result<Arc<Ids>, StoreError> {
        users.sort_unstable();
        users.dedup();
        let read = self.0.store.read(move |connection| {
            let followed = follows::among(connection, viewer, &users)?;
            Ok(Ids::of(
                followed.into_iter().map(|user| user.0).collect(),
                true,
                i64::MAX,
            ))
        });
        Ok(Arc::new(read.await?))
    }

    /// A user, and whether `viewer` follows them; none when there is no such user.
    pub async fn user(
        &self,
        user: UserId,
        viewer: Option<UserId>,
        ask: Ask,
    ) -> Result<Option<(Arc<UserPiece>, bool)>, StoreError> {
        let now = Instant::now();
        // Nobody follows themselves.
        let viewer = viewer.filter(|viewer| *viewer != user);
        let piece = self.0.users.get(user.0, now).filter(|_| ask == Ask::Kept);
        let followed = viewer.and_then(|viewer| self.0.follows.get(viewer.0, now));
        let want = Want {
            users: if piece.is_none() { vec![user] } else { Vec::new() },
            follows: viewer.filter(|_| followed.is_none()).into_iter().collect(),
            ..Want::default()
        };
        let found = self.find(want).await?;
        let Some(piece) = piece.or_else(|| found.users.get(&user.0).cloned()) else {
            return Ok(None);
        };
        let Some(viewer) = viewer else {
            return Ok(Some((piece, false)));
        };
        let followed = followed.or_else(|| found.follows.get(&viewer.0).cloned());
        let is_follow = match followed {
            Some(ids) if ids.whole => ids.contains(user.0),
            Some(_) => self.followed_among(viewer, vec![user]).await?.contains(user.0),
            None => false,
        };
        Ok(Some((piece, is_follow)))
    }

    async fn find(&self, want: Want) -> Result<Arc<Found>, StoreError> {
        if want.is_empty() {
            return Ok(Arc::default());
        }
        let ids = want.videos.iter().map(|video| video.0);
        let ids = ids.chain(
            want.users
                .iter()
                .chain(&want.follows)
                .chain(&want.favorites)
                .map(|user| user.0),
        );
        let first = ids.into_iter().next().unwrap_or(0);
        // By what is wanted, so that those who want the same wait in the same lane.
        let lane = usize::try_from(first.rem_euclid(4)).unwrap_or(0) % LANES;
        load::load(self, lane, want).await
    }

    /// Something of a user's row is about to change.
    pub fn touch_user(&self, user: UserId) -> Touch {
        Touch::new(self, vec![Key::User(user)])
    }

    /// Something of a video's row is about to change, other than its likes.
    pub fn touch_video(&self, video: VideoId) -> Touch {
        Touch::new(self, vec![Key::Video(video)])
    }

    /// `follower` is about to follow `other`, or to stop it.
    pub fn following(&self, follower: UserId, other: UserId) -> Touch {
        Touch::new(
            self,
            vec![Key::User(follower), Key::User(other), Key::Follows(follower)],
        )
    }

    /// `author` is about to publish a video.
    pub fn publishing(&self, author: UserId) -> Touch {
        Touch::new(self, vec![Key::User(author), Key::Timeline])
    }

    /// Forgets everything, for who has changed the store behind the server's back.
    pub fn clear(&self) {
        self.0.users.clear();
        self.0.videos.clear();
        self.0.follows.clear();
        self.0.favorites.clear();
        self.0.timeline.clear();
    }

    fn begin(&self, key: Key) {
        match key {
            Key::User(user) => self.0.users.begin(user.0),
            Key::Video(video) => self.0.videos.begin(video.0),
            Key::Follows(user) => self.0.follows.begin(user.0),
            Key::Timeline => self.0.timeline.begin(),
        }
    }

    fn end(&self, key: Key) {
        match key {
            Key::User(user) => self.0.users.end(user.0),
            Key::Video(video) => self.0.videos.end(video.0),
            Key::Follows(user) => self.0.follows.end(user.0),
            Key::Timeline => self.0.timeline.end(),
        }
    }

    /// How long a write may commit after its caller has gone.
    fn linger(&self) -> Duration {
        self.0.linger
    }

    fn lane(&self, number: usize) -> &Lane {
        &self.0.lanes[number % LANES]
    }
}
