//! Videos: publishing, and the pages of the feed and of one author.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::clocks;
use crate::error::StoreError;
use crate::ids::{UserId, VideoId};
use crate::mark;
use crate::tables::{users, videos};
use crate::users::UserRow;

/// A video as every answer shows it (contract 3.2), without what depends on who looks.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = videos)]
pub struct VideoRow {
    /// Which.
    pub id: VideoId,
    /// The title, exactly as sent.
    pub title: String,
    /// SHA-256 of the file in lower-case hex: the names of the video's and the cover's file.
    pub media_hash: String,
    /// Milliseconds since the epoch; unique.
    pub publish_time: i64,
    /// Likes.
    pub favorite_count: i64,
    /// Comments.
    pub comment_count: i64,
    /// The mark this row was read with, in the same statement: which likes `favorite_count` contains.
    #[diesel(select_expression = mark::now())]
    #[diesel(select_expression_type = mark::Now)]
    #[diesel(deserialize_as = Option<i64>)]
    pub mark: mark::Position,
}

/// What changes about a video, for who watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = videos)]
pub struct VideoCounts {
    /// Likes.
    pub favorite_count: i64,
    /// Comments.
    pub comment_count: i64,
    /// The mark this row was read with, in the same statement: which likes `favorite_count` contains.
    #[diesel(select_expression = mark::now())]
    #[diesel(select_expression_type = mark::Now)]
    #[diesel(deserialize_as = Option<i64>)]
    pub mark: mark::Position,
}

/// A video with its author.
pub type VideoWithAuthor = (VideoRow, UserRow);

/// A video about to be published.
#[derive(Debug, Clone)]
pub struct NewVideo {
    /// A fresh id.
    pub id: VideoId,
    /// Who publishes; must exist.
    pub author_id: UserId,
    /// At most 100 characters.
    pub title: String,
    /// SHA-256 of the file in lower-case hex.
    pub media_hash: String,
}

/// Publishes a video and returns its publish time: `now_ms`, or later where that one is taken or past already.
///
/// The clock's row stays locked until the commit, so videos become visible in the order of their times and a feed
/// that scrolls by time loses none.
pub fn publish(connection: &mut DbConnection, video: &NewVideo, now_ms: i64) -> Result<i64, StoreError> {
    let updated = diesel::update(users::table.find(video.author_id))
        .set(users::work_count.eq(users::work_count + 1))
        .execute(connection)?;
    if updated == 0 {
        return Err(StoreError::Internal("a video's author does not exist".into()));
    }
    let publish_time = clocks::tick(connection, clocks::PUBLISH, now_ms)?;
    diesel::insert_into(videos::table)
        .values((
            videos::id.eq(video.id),
            videos::author_id.eq(video.author_id),
            videos::title.eq(&video.title),
            videos::media_hash.eq(&video.media_hash),
            videos::publish_time.eq(publish_time),
            videos::favorite_count.eq(0),
            videos::comment_count.eq(0),
        ))
        .execute(connection)?;
    Ok(publish_time)
}

/// The newest videos published before `before` (milliseconds, exclusive), newest first. One statement: a range of the
/// unique index of publish times, joined to the authors by primary key.
pub fn feed(connection: &mut DbConnection, before: i64, limit: i64) -> Result<Vec<VideoWithAuthor>, StoreError> {
    Ok(videos::table
        .inner_join(users::table)
        .filter(videos::publish_time.lt(before))
        .order(videos::publish_time.desc())
        .limit(limit)
        .select((VideoRow::as_select(), UserRow::as_select()))
        .load(connection)?)
}

/// A place in the order of publishing: the publish time (milliseconds, unique), the video and its author.
pub type Place = (i64, VideoId, UserId);

/// The places of the newest videos published after `after` (milliseconds, exclusive), newest first. One statement: a
/// range of the unique index of publish times.
pub fn newest(connection: &mut DbConnection, after: i64, limit: i64) -> Result<Vec<Place>, StoreError> {
    Ok(videos::table
        .filter(videos::publish_time.gt(after))
        .order(videos::publish_time.desc())
        .limit(limit)
        .select((videos::publish_time, videos::id, videos::author_id))
        .load(connection)?)
}

/// Whether a video was published at exactly that time. One statement, by the unique index of publish times.
pub fn is_publish_time(connection: &mut DbConnection, time: i64) -> Result<bool, StoreError> {
    let found: Option<i64> = videos::table
        .filter(videos::publish_time.eq(time))
        .select(videos::publish_time)
        .first(connection)
        .optional()?;
    Ok(found.is_some())
}

/// One author's videos published before `before`, newest first. One statement: a range of the index (author, time).
pub fn by_author(
    connection: &mut DbConnection,
    author: UserId,
    before: i64,
    limit: i64,
) -> Result<Vec<VideoWithAuthor>, StoreError> {
    Ok(videos::table
        .inner_join(users::table)
        .filter(videos::author_id.eq(author))
        .filter(videos::publish_time.lt(before))
        .order(videos::publish_time.desc())
        .limit(limit)
        .select((VideoRow::as_select(), UserRow::as_select()))
        .load(connection)?)
}

/// The author of a video; none when there is no such video. Never changes, so it needs no lock. By primary key.
pub fn author(connection: &mut DbConnection, video: VideoId) -> Result<Option<UserId>, StoreError> {
    Ok(videos::table
        .find(video)
        .select(videos::author_id)
        .first(connection)
        .optional()?)
}

/// Those of `hashes` that some video uses, for the sweep of orphaned files. One statement, by the index of hashes.
pub fn referenced_media(connection: &mut DbConnection, hashes: &[String]) -> Result<HashSet<String>, StoreError> {
    Ok(videos::table
        .filter(videos::media_hash.eq_any(hashes))
        .select(videos::media_hash)
        .distinct()
        .load(connection)?
        .into_iter()
        .collect())
}

/// Videos by id, in the order of `ids`; those that do not exist are left out. One statement, by primary key.
pub fn by_ids(connection: &mut DbConnection, ids: &[VideoId]) -> Result<Vec<VideoWithAuthor>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<VideoWithAuthor> = videos::table
        .inner_join(users::table)
        .filter(videos::id.eq_any(ids))
        .select((VideoRow::as_select(), UserRow::as_select()))
        .load(connection)?;
    let mut rows: HashMap<VideoId, VideoWithAuthor> = rows.into_iter().map(|row| (row.0.id, row)).collect();
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}

/// The counts of a video; none when there is no such video. One statement, by primary key.
pub fn counts(connection: &mut DbConnection, video: VideoId) -> Result<Option<VideoCounts>, StoreError> {
    Ok(videos::table
        .find(video)
        .select(VideoCounts::as_select())
        .first(connection)
        .optional()?)
}

/// How many videos were published after `publish_time` (milliseconds, exclusive), counted up to `cap`. One statement: a
/// range of the unique index of publish times, of which no more than `cap` entries are read.
pub fn newer_than(connection: &mut DbConnection, publish_time: i64, cap: i64) -> Result<i64, StoreError> {
    let newer: Vec<i64> = videos::table
        .filter(videos::publish_time.gt(publish_time))
        .order(videos::publish_time.asc())
        .limit(cap.max(0))
        .select(videos::publish_time)
        .load(connection)?;
    Ok(i64::try_from(newer.len()).unwrap_or(cap))
}
