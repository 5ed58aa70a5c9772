//! Favorites: who likes which video.
//!
//! State decides, not arithmetic: a like is the wish "this pair is on", and only a real change of the pair's row moves
//! a count. The counts (the video's, the liker's, the author's) move in the same transaction.
//!
//! What visitors like comes through the ledger and [`crate::likes`]; [`set`] writes through, for who fills a store that
//! nobody serves.

use std::collections::HashSet;

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::change::Change;
use crate::error::StoreError;
use crate::ids::{UserId, VideoId};
use crate::tables::{favorites, users, videos};
use crate::users::UserRow;
use crate::videos::{self as video_rows, VideoRow};

/// Sets whether `user` likes `video`. Locks the liker and the author (ascending), then the video, then the pair.
pub fn set(
    connection: &mut DbConnection,
    user: UserId,
    video: VideoId,
    on: bool,
    now_ms: i64,
) -> Result<Change, StoreError> {
    let Some(author) = video_rows::author(connection, video)? else {
        return Ok(Change::Unknown);
    };
    backend::lock_users(connection, &[user, author])?;
    let pair = || favorites::table.find((user, video));
    let state: Option<bool> = pair().select(favorites::active).first(connection).optional()?;
    if state.unwrap_or(false) == on {
        return Ok(Change::Nothing);
    }
    let difference = if on { 1 } else { -1 };
    diesel::update(users::table.find(user))
        .set(users::favorite_count.eq(users::favorite_count + difference))
        .execute(connection)?;
    diesel::update(users::table.find(author))
        .set(users::total_favorited.eq(users::total_favorited + difference))
        .execute(connection)?;
    diesel::update(videos::table.find(video))
        .set(videos::favorite_count.eq(videos::favorite_count + difference))
        .execute(connection)?;
    if state.is_some() {
        diesel::update(pair())
            .set((favorites::active.eq(on), favorites::changed_at.eq(now_ms)))
            .execute(connection)?;
    } else {
        diesel::insert_into(favorites::table)
            .values((
                favorites::user_id.eq(user),
                favorites::video_id.eq(video),
                favorites::active.eq(on),
                favorites::changed_at.eq(now_ms),
            ))
            .execute(connection)?;
    }
    Ok(Change::Made)
}

/// Those of `videos` that `viewer` likes. One statement, by primary key.
pub fn among(
    connection: &mut DbConnection,
    viewer: UserId,
    videos: &[VideoId],
) -> Result<HashSet<VideoId>, StoreError> {
    Ok(favorites::table
        .filter(favorites::user_id.eq(viewer))
        .filter(favorites::video_id.eq_any(videos))
        .filter(favorites::active.eq(true))
        .select(favorites::video_id)
        .load(connection)?
        .into_iter()
        .collect())
}

/// Some of the videos that `user` likes, in no order; all of them where there are fewer than `limit`. One statement: a
/// range of the index (user, active, time, video).
pub fn some_of(connection: &mut DbConnection, user: UserId, limit: i64) -> Result<Vec<VideoId>, StoreError> {
    Ok(favorites::table
        .filter(favorites::user_id.eq(user))
        .filter(favorites::active.eq(true))
        .limit(limit)
        .select(favorites::video_id)
        .load(connection)?)
}

/// Where a page of favorites starts: before the pair with this time of change and video.
pub type Cursor = (i64, VideoId);

/// The videos a user likes, latest like first. One statement: a range of the index (user, active, time, video), joined
/// to videos and authors by primary key.
pub fn page(
    connection: &mut DbConnection,
    user: UserId,
    (time, video): Cursor,
    limit: i64,
) -> Result<Vec<(i64, VideoRow, UserRow)>, StoreError> {
    Ok(favorites::table
        .inner_join(videos::table.inner_join(users::table))
        .filter(favorites::user_id.eq(user))
        .filter(favorites::active.eq(true))
        // The first bound is what the index can use; the second one settles ties of the same millisecond.
        .filter(favorites::changed_at.le(time))
        .filter(favorites::changed_at.lt(time).or(favorites::video_id.lt(video)))
        .order((favorites::changed_at.desc(), favorites::video_id.desc()))
        .limit(limit)
        .select((favorites::changed_at, VideoRow::as_select(), UserRow::as_select()))
        .load(connection)?)
}
