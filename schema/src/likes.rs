//! Likes on their way into the store, in batches.
//!
//! Owns the mark (which ledger entries the store has), the look-up of pair states before a change is recorded, and the
//! flush. State decides, not arithmetic: a wish "this pair is on" is compared with the row, and only a real change moves
//! a count, so replaying entries changes nothing.

mod sql;

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::events::{FavoriteNew, Payload as _};
use crate::ids::{UserId, VideoId};
use crate::streams::{self, Event, NewEvent};
use crate::tables::{ledger_mark, videos};
use crate::text::CHUNK;

/// How far the store has got in which ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The ledger's random id.
    pub ledger_id: String,
    /// The last position that is in the store; 0 for none.
    pub position: i64,
}

/// What is known of some pairs before they change.
#[derive(Debug, Clone, Default)]
pub struct PairStates {
    /// The authors of those videos that exist.
    pub authors: HashMap<VideoId, UserId>,
    /// The pairs whose row says "liked".
    pub active: HashSet<(UserId, VideoId)>,
}

/// The last wish about a pair within a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Who.
    pub user: UserId,
    /// What.
    pub video: VideoId,
    /// Liked or not.
    pub on: bool,
    /// When it was acknowledged: milliseconds since the epoch.
    pub at_ms: i64,
}

/// Consecutive ledger entries as one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The ledger they come from.
    pub ledger_id: String,
    /// Where the mark must stand: the last position of the batch before. Elsewhere the batch would leave a hole, or be
    /// counted into a store that forgot what came before it.
    pub after: i64,
    /// The position of the first entry.
    pub first: i64,
    /// The position of the last entry; where the mark stands afterwards.
    pub last: i64,
    /// One a pair, ascending by user and video.
    pub wishes: Vec<Wish>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flushed {
    /// It is in the store. `dropped` wishes were about users or videos that do not exist.
    Applied {
        /// How many wishes were dropped.
        dropped: usize,
        /// What authors are told, as it was stored with the batch.
        events: Vec<Event>,
    },
    /// The mark stands elsewhere than right before the batch: nothing was done. Where it is says what to do.
    Misplaced(Mark),
}

/// Reads the mark; none while the store has no ledger yet. One statement.
pub fn mark(connection: &mut DbConnection) -> Result<Option<Mark>, StoreError> {
    let (ledger_id, position): (String, i64) = ledger_mark::table
        .find(1)
        .select((ledger_mark::ledger_id, ledger_mark::position))
        .first(connection)?;
    Ok((!ledger_id.is_empty()).then_some(Mark { ledger_id, position }))
}

/// Makes `ledger_id` the store's ledger, at position `position`, if it has none. Returns the mark that stands.
pub fn adopt(connection: &mut DbConnection, ledger_id: &str, position: i64) -> Result<Mark, StoreError> {
    diesel::update(ledger_mark::table.find(1).filter(ledger_mark::ledger_id.eq("")))
        .set((ledger_mark::ledger_id.eq(ledger_id), ledger_mark::position.eq(position)))
        .execute(connection)?;
    mark(connection)?.ok_or_else(|| StoreError::Internal("the store's mark is missing".into()))
}

/// Makes `ledger_id` the store's ledger whichever it had, at position `position`. For a person who has lost the old one:
/// what only that one held is lost to this store.
pub fn replace_ledger(connection: &mut DbConnection, ledger_id: &str, position: i64) -> Result<(), StoreError> {
    backend::lock_mark(connection)?;
    diesel::update(ledger_mark::table.find(1))
        .set((ledger_mark::ledger_id.eq(ledger_id), ledger_mark::position.eq(position)))
        .execute(connection)?;
    Ok(())
}

/// Looks up the authors of videos and the states of pairs. One statement each for up to 1,000, by primary keys.
pub fn look_up(connection: &mut DbConnection, pairs: &[(UserId, VideoId)]) -> Result<PairStates, StoreError> {
    let mut states = PairStates::default();
    let videos: Vec<VideoId> = sorted(pairs.iter().map(|(_, video)| *video));
    for videos in videos.chunks(CHUNK) {
        states.authors.extend(authors(connection, videos)?);
    }
    let pairs = sorted(pairs.iter().copied());
    for pairs in pairs.chunks(CHUNK) {
        let rows = sql::pair_rows(connection, pairs)?;
        states
            .active
            .extend(rows.into_iter().filter(|row| row.active).map(|row| row.pair()));
    }
    Ok(states)
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

fn authors(connection: &mut DbConnection, ids: &[VideoId]) -> Result<Vec<(VideoId, UserId)>, StoreError> {
    Ok(videos::table
        .filter(videos::id.eq_any(ids))
        .select((videos::id, videos::author_id))
        .load(connection)?)
}

/// Brings one batch into the store, in the caller's transaction: locks and reads the mark first, then users, videos,
/// pairs and the authors' streams in ascending order, compares each wish with its row, and moves the counts by what really changed.
pub fn flush(connection: &mut DbConnection, batch: &Batch) -> Result<Flushed, StoreError> {
    backend::lock_mark(connection)?;
    match mark(connection)? {
        Some(mark) if mark.ledger_id == batch.ledger_id && mark.position == batch.after => {}
        Some(mark) => return Ok(Flushed::Misplaced(mark)),
        None => return Err(StoreError::Internal("the store has no ledger".into())),
    }
    let mut change = Change::default();
    let wishes = existing(connection, &batch.wishes, &mut change)?;
    for wishes in wishes.chunks(CHUNK) {
        let pairs: Vec<_> = wishes.iter().map(|wish| (wish.user, wish.video)).collect();
        let rows = sql::pair_rows(connection, &pairs)?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.pair(), row)).collect();
        let upserts: Vec<_> = wishes
            .iter()
            .filter_map(|wish| change.take(wish, rows.get(&(wish.user, wish.video))))
            .collect();
        sql::upsert_pairs(connection, &upserts)?;
    }
    change.write(connection)?;
    diesel::update(ledger_mark::table.find(1))
        .set(ledger_mark::position.eq(batch.last))
        .execute(connection)?;
    // Told as of the batch's latest wish: the same batch makes the same events, whenever it is brought in.
    let now_ms = batch.wishes.iter().map(|wish| wish.at_ms).max().unwrap_or(0);
    let events = streams::append(connection, &change.events()?, now_ms)?;
    Ok(Flushed::Applied {
        dropped: batch.wishes.len() - wishes.len(),
        events,
    })
}

/// Locks everybody and everything the wishes are about, and keeps those wishes whose user and video exist.
fn existing(connection: &mut DbConnection, wishes: &[Wish], change: &mut Change) -> Result<Vec<Wish>, StoreError> {
    let ids = sorted(wishes.iter().map(|wish| wish.video));
    for ids in ids.chunks(CHUNK) {
        change.authors.extend(authors(connection, ids)?);
    }
    let people = sorted(
        wishes
            .iter()
            .map(|wish| wish.user)
            .chain(change.authors.values().copied()),
    );
    for people in people.chunks(CHUNK) {
        change.people.extend(backend::lock_users(connection, people)?);
    }
    for ids in ids.chunks(CHUNK) {
        backend::lock_videos(connection, ids)?;
    }
    let exists = |wish: &&Wish| {
        change.people.contains(&wish.user)
            && change
                .authors
                .get(&wish.video)
                .is_some_and(|author| change.people.contains(author))
    };
    Ok(wishes.iter().filter(exists).copied().collect())
}

/// What a batch really changes, gathered pair by pair and written at the end.
#[derive(Default)]
struct Change {
    authors: HashMap<VideoId, UserId>,
    /// Every user that exists.
    people: HashSet<UserId>,
    videos: BTreeMap<VideoId, i64>,
    given: BTreeMap<UserId, i64>,
    received: BTreeMap<UserId, i64>,
    /// The likers an author has not been told of, by video, with the time of each.
    new_likers: BTreeMap<VideoId, Vec<(i64, UserId)>>,
}

impl Change {
    /// Counts one wish and returns the row to write, or none when the row says so already.
    fn take(&mut self, wish: &Wish, row: Option<&sql::PairRow>) -> Option<sql::Upsert> {
        let (was, noticed) = row.map_or((false, false), |row| (row.active, row.noticed));
        if was == wish.on {
            return None;
        }
        let author = *self.authors.get(&wish.video)?;
        let difference = if wish.on { 1 } else { -1 };
        *self.videos.entry(wish.video).or_default() += difference;
        *self.given.entry(wish.user).or_default() += difference;
        *self.received.entry(author).or_default() += difference;
        // Nobody is told of their own like.
        if wish.on && !noticed && author != wish.user {
            self.new_likers
                .entry(wish.video)
                .or_default()
                .push((wish.at_ms, wish.user));
        }
        Some(sql::Upsert {
            wish: *wish,
            noticed: noticed || wish.on,
        })
    }

    fn write(&self, connection: &mut DbConnection) -> Result<(), StoreError> {
        sql::add(
            connection,
            sql::Count::Given,
            self.given.iter().map(|(user, by)| (user.0, *by)),
        )?;
        sql::add(
            connection,
            sql::Count::Received,
            self.received.iter().map(|(user, by)| (user.0, *by)),
        )?;
        sql::add(
            connection,
            sql::Count::Video,
            self.videos.iter().map(|(video, by)| (video.0, *by)),
        )
    }

    /// One event a video, with up to three of its new likers, the latest first.
    fn events(self) -> Result<Vec<NewEvent>, StoreError> {
        let mut events = Vec::new();
        for (video, mut likers) in self.new_likers {
            likers.sort_unstable_by(|a, b| b.cmp(a));
            let Some(author) = self.authors.get(&video) else {
                continue;
            };
            let told = FavoriteNew {
                video_id: video.0,
                count: likers.len(),
                user_ids: likers.iter().take(3).map(|(_, liker)| liker.0).collect(),
            };
            events.push(told.to(*author)?);
        }
        Ok(events)
    }
}
