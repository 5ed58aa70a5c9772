//! What goes over the wire: the contract's objects (section 3) and the envelope around them.
//!
//! Owns names and types of fields. Nothing here is ever omitted or null. Rows come from `ovation-schema`; what depends on
//! who looks (`is_follow`, `is_favorite`) and on where the request came from (absolute URLs) is added here.

use std::collections::HashSet;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use ovation_actors::Counters;
use ovation_actors::overlay::{Stale, View};
use ovation_schema::comments::CommentRow;
use ovation_schema::follows::LastMessage;
use ovation_schema::messages::MessageRow;
use ovation_schema::users::UserRow;
use ovation_schema::videos::VideoRow;
use ovation_schema::{StoreError, UserId, VideoId};
use serde::Serialize;
use time::{OffsetDateTime, UtcOffset};

use super::base::Base;
use crate::error::ApiError;
use crate::{media, pictures};

/// A success with its payload's fields beside the envelope's.
#[derive(Serialize)]
pub struct Success<T> {
    status_code: i32,
    status_msg: &'static str,
    #[serde(flatten)]
    payload: T,
}

/// The answer of a request that went well and has nothing else to say.
pub fn done() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(DONE)
}

/// [`Success`] without a payload, as it is serialised.
const DONE: &str = r#"{"status_code":0,"status_msg":""}"#;

/// The answer of a request that went well.
pub fn success(payload: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(Success {
        status_code: 0,
        status_msg: "",
        payload,
    })
}

/// The envelope of a failure, for the few that are not an [`ApiError`]'s own answer.
#[derive(Serialize)]
pub struct Failure {
    status_code: i32,
    status_msg: String,
}

impl Failure {
    /// The envelope that goes with an error.
    pub fn of(error: &ApiError) -> Self {
        Self {
            status_code: error.code(),
            status_msg: error.to_string(),
        }
    }
}

/// Contract 3.1.
#[derive(Debug, Serialize)]
pub struct User {
    id: i64,
    name: String,
    follow_count: i64,
    follower_count: i64,
    is_follow: bool,
    avatar: String,
    background_image: String,
    signature: String,
    total_favorited: i64,
    work_count: i64,
    favorite_count: i64,
}

/// What turns rows into answers, apart from who looks: where URLs begin, and the likes that no row has yet.
#[derive(Clone)]
pub struct Lens {
    /// Where absolute URLs begin.
    pub base: Base,
    /// Who knows what was acknowledged and may not be in the rows.
    pub counters: Counters,
}

/// One look at rows that have been read: by whom, and with which likes on top. Holds the overlay's lock, so it is made
/// after the last query.
pub struct Sight<'a> {
    base: &'a Base,
    likes: View<'a>,
    counters: &'a Counters,
    viewer: Option<UserId>,
    flags: Flags,
}

/// What the store says of a viewer and a page.
#[derive(Debug, Default)]
pub struct Flags {
    /// Those of the page's videos that the viewer likes.
    pub favorites: HashSet<VideoId>,
    /// Those of the page's users whom the viewer follows.
    pub followed: HashSet<UserId>,
}

impl Flags {
    /// For pages without videos.
    pub fn following(followed: HashSet<UserId>) -> Self {
        Self {
            favorites: HashSet::new(),
            followed,
        }
    }
}

impl Lens {
    /// Looks as `viewer`, of whom the store says `flags`.
    pub fn look(&self, viewer: Option<UserId>, flags: Flags) -> Sight<'_> {
        Sight {
            base: &self.base,
            likes: self.counters.overlay().view(),
            counters: &self.counters,
            viewer,
            flags,
        }
    }
}

impl Sight<'_> {
    /// A row's counts brought up to date. Rows older than what memory keeps are read again, which the store does for a
    /// conflict; and the flusher looks where the mark is, since it may have gone back.
    fn fresh<T>(&self, counts: Result<T, Stale>) -> Result<T, StoreError> {
        counts.map_err(|stale| {
            self.counters.suspect_mark();
            StoreError::Conflict(stale.to_string())
        })
    }

    fn likes(&self, video: VideoId) -> bool {
        let pending = self.viewer.and_then(|viewer| self.likes.pair(viewer, video));
        pending.unwrap_or_else(|| self.flags.favorites.contains(&video))
    }
}

impl User {
    /// A user as somebody sees it.
    pub fn new(row: UserRow, sight: &Sight<'_>) -> Result<Self, StoreError> {
        let counts = sight
            .likes
            .user_counts(row.id, row.favorite_count, row.total_favorited, row.mark.0);
        let (favorite_count, total_favorited) = sight.fresh(counts)?;
        let base = sight.base;
        let picture = |path: String, default: &'static str| base.join(if path.is_empty() { default } else { &path });
        Ok(Self {
            id: row.id.0,
            is_follow: sight.flags.followed.contains(&row.id),
            avatar: picture(row.avatar, pictures::avatar_path(row.id.0)),
            background_image: picture(row.background_image, pictures::background_path(row.id.0)),
            name: row.name,
            follow_count: row.follow_count,
            follower_count: row.follower_count,
            signature: if row.signature.is_empty() {
                pictures::DEFAULT_SIGNATURE.to_owned()
            } else {
                row.signature
            },
            total_favorited,
            work_count: row.work_count,
            favorite_count,
        })
    }
}

/// Contract 3.2.
#[derive(Debug, Serialize)]
pub struct Video {
    id: i64,
    author: User,
    play_url: String,
    cover_url: String,
    favorite_count: i64,
    comment_count: i64,
    is_favorite: bool,
    title: String,
}

impl Video {
    /// A video as somebody sees it.
    pub fn new((row, author): (VideoRow, UserRow), sight: &Sight<'_>) -> Result<Self, StoreError> {
        let base = sight.base;
        let count = sight.likes.video_count(row.id, row.favorite_count, row.mark.0);
        let favorite_count = sight.fresh(count)?;
        Ok(Self {
            id: row.id.0,
            author: User::new(author, sight)?,
            play_url: base.join(&media::video_url_path(&row.media_hash)),
            cover_url: base.join(&media::cover_url_path(&row.media_hash)),
            favorite_count,
            comment_count: row.comment_count,
            is_favorite: sight.likes(row.id),
            title: row.title,
        })
    }
}

/// Contract 3.3.
#[derive(Debug, Serialize)]
pub struct Comment {
    id: i64,
    user: User,
    content: String,
    create_date: String,
}

impl Comment {
    /// A comment, dated in the zone of the server's users.
    pub fn new(row: CommentRow, user: User, zone: UtcOffset) -> Self {
        Self {
            id: row.id.0,
            user,
            content: row.content,
            create_date: month_and_day(row.created_at, zone),
        }
    }
}

/// `MM-DD`, zero-padded. A time no calendar knows (a corrupted row) is the epoch's day.
fn month_and_day(ms: i64, zone: UtcOffset) -> String {
    let date = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(zone);
    format!("{:02}-{:02}", u8::from(date.month()), date.day())
}

/// Contract 3.4.
#[derive(Debug, Serialize)]
pub struct Message {
    id: i64,
    to_user_id: i64,
    from_user_id: i64,
    content: String,
    create_time: i64,
}

impl Message {
    /// A message of the conversation between `a` and `b`.
    pub fn new(row: MessageRow, (a, b): (UserId, UserId)) -> Self {
        let to = if row.from_user_id == a { b } else { a };
        Self {
            id: row.id.0,
            to_user_id: to.0,
            from_user_id: row.from_user_id.0,
            content: row.content,
            create_time: row.create_time,
        }
    }
}

/// Contract 3.5: a user with the last message of the conversation.
#[derive(Debug, Serialize)]
pub struct Friend {
    #[serde(flatten)]
    user: User,
    message: String,
    /// 0: the viewer received that message (or there is none). 1: the viewer sent it. The client's own spelling.
    #[serde(rename = "msgType")]
    msg_type: i64,
}

impl Friend {
    /// A friend of `viewer`.
    pub fn new(user: User, last: Option<LastMessage>, viewer: UserId) -> Self {
        let msg_type = i64::from(last.as_ref().is_some_and(|last| last.from == viewer));
        Self {
            user,
            message: last.map(|last| last.content).unwrap_or_default(),
            msg_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_answer_without_more_is_a_success_without_a_payload() {
        #[derive(Serialize)]
        struct Nothing {}
        let (done, same) = (done(), success(Nothing {}));
        assert_eq!(done.headers().get(CONTENT_TYPE), same.headers().get(CONTENT_TYPE));
        let [done, same] = [done, same].map(|response| actix_web::body::to_bytes(response.into_body()));
        assert_eq!(done.await.unwrap(), same.await.unwrap());
    }

    #[test]
    fn a_comment_is_dated_in_the_configured_zone() {
        let zone = UtcOffset::from_hms(8, 0, 0).unwrap();
        // 2026-03-04T20:00:00Z is already the fifth in Shanghai.
        assert_eq!(month_and_day(1_772_654_400_000, zone), "03-05");
        assert_eq!(month_and_day(1_772_654_400_000, UtcOffset::UTC), "03-04");
        assert_eq!(month_and_day(i64::MAX, zone), "01-01");
    }
}
