//! Comments on videos.

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::change::Change;
use crate::error::StoreError;
use crate::events::{CommentNew, Payload as _};
use crate::ids::{CommentId, UserId, VideoId};
use crate::streams::{self, Event};
use crate::tables::{comments, users, videos};
use crate::users::UserRow;

/// A comment as every answer shows it (contract 3.3), without its user.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = comments)]
pub struct CommentRow {
    /// Which.
    pub id: CommentId,
    /// The text, exactly as sent.
    pub content: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A comment about to be posted.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// A fresh id.
    pub id: CommentId,
    /// On which video.
    pub video_id: VideoId,
    /// By whom.
    pub user_id: UserId,
    /// 1 to 1,000 characters.
    pub content: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A comment that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Who wrote it.
    pub user: UserRow,
    /// What the video's author is told; nothing of their own comment.
    pub events: Vec<Event>,
}

/// Posts a comment, counts it and tells the video's author; none when there is no such video. The video's row is locked
/// by its count, then the author's stream.
pub fn insert(connection: &mut DbConnection, comment: &NewComment) -> Result<Option<Posted>, StoreError> {
    let counted = diesel::update(videos::table.find(comment.video_id))
        .set(videos::comment_count.eq(videos::comment_count + 1))
        .execute(connection)?;
    if counted == 0 {
        return Ok(None);
    }
    diesel::insert_into(comments::table)
        .values((
            comments::id.eq(comment.id),
            comments::video_id.eq(comment.video_id),
            comments::user_id.eq(comment.user_id),
            comments::content.eq(&comment.content),
            comments::created_at.eq(comment.created_at),
        ))
        .execute(connection)?;
    let user = crate::users::find(connection, comment.user_id)?
        .ok_or_else(|| StoreError::Internal("a comment's user does not exist".into()))?;
    let events = tell(connection, comment)?;
    Ok(Some(Posted { user, events }))
}

fn tell(connection: &mut DbConnection, comment: &NewComment) -> Result<Vec<Event>, StoreError> {
    let author = crate::videos::author(connection, comment.video_id)?;
    let Some(author) = author.filter(|author| *author != comment.user_id) else {
        return Ok(Vec::new());
    };
    let told = CommentNew {
        video_id: comment.video_id.0,
        comment_id: comment.id.0,
        user_id: comment.user_id.0,
        content: &comment.content,
        create_time: comment.created_at,
    };
    streams::append(connection, &[told.to(author)?], comment.created_at)
}

/// Why a comment was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone now, or was gone before.
    Yes(Change),
    /// It belongs to somebody else; nothing changed.
    NotYours,
}

/// Deletes a user's own comment and takes it out of the video's count, once. `video` must be the one it stands under.
pub fn delete(
    connection: &mut DbConnection,
    comment: CommentId,
    video: VideoId,
    user: UserId,
    now_ms: i64,
) -> Result<Deleted, StoreError> {
    // Neither author nor video of a comment ever changes, so they can be read before the lock.
    let found: Option<(UserId, VideoId)> = comments::table
        .find(comment)
        .select((comments::user_id, comments::video_id))
        .first(connection)
        .optional()?;
    let Some((author, on)) = found.filter(|(_, on)| *on == video) else {
        return Ok(Deleted::Yes(Change::Unknown));
    };
    if author != user {
        return Ok(Deleted::NotYours);
    }
    crate::backend::lock_video(connection, on)?;
    let marked = diesel::update(comments::table.find(comment).filter(comments::deleted_at.is_null()))
        .set(comments::deleted_at.eq(now_ms))
        .execute(connection)?;
    if marked == 0 {
        return Ok(Deleted::Yes(Change::Nothing));
    }
    diesel::update(videos::table.find(on))
        .set(videos::comment_count.eq(videos::comment_count - 1))
        .execute(connection)?;
    Ok(Deleted::Yes(Change::Made))
}

/// Where a page of comments starts: before the one with this time and id.
pub type Cursor = (i64, CommentId);

/// The comments of a video with their users, newest first. One statement: a range of the index (video, deleted, time, id).
pub fn page(
    connection: &mut DbConnection,
    video: VideoId,
    (time, id): Cursor,
    limit: i64,
) -> Result<Vec<(CommentRow, UserRow)>, StoreError> {
    Ok(comments::table
        .inner_join(users::table)
        .filter(comments::video_id.eq(video))
        .filter(comments::deleted_at.is_null())
        // The first bound is what the index can use; the second one settles ties of the same millisecond.
        .filter(comments::created_at.le(time))
        .filter(comments::created_at.lt(time).or(comments::id.lt(id)))
        .order((comments::created_at.desc(), comments::id.desc()))
        .limit(limit)
        .select((CommentRow::as_select(), UserRow::as_select()))
        .load(connection)?)
}
