//! Comments (contract 6.3 and 6.4).

use std::collections::HashSet;

use actix_web::HttpResponse;
use ovation_actors::hub;
use ovation_schema::comments::{self, Deleted, NewComment, Posted};
use ovation_schema::{Change, CommentId, DbConnection, StoreError, VideoId, follows, now_ms};
use serde::Serialize;

use super::answer::{Comment, Flags, User, done, success};
use super::call::Call;
use super::list::{self, Page};
use super::params::{Action, Controls};
use crate::commit::News;
use crate::error::ApiError;

/// Characters of a comment. The contract wants 200 to pass; the store's column holds four times this.
const COMMENT_CHARS: std::ops::RangeInclusive<usize> = 1..=1000;

#[derive(Serialize)]
struct Answer {
    comment: Comment,
}

/// `POST /douyin/comment/action/`: posts a comment or deletes an own one.
pub async fn comment_action(call: Call) -> Result<HttpResponse, ApiError> {
    let video = VideoId(call.params.required_id("video_id")?);
    match call.params.action("action_type")? {
        Action::Do => post(&call, video).await,
        Action::Undo => delete(&call, video).await,
    }
}

async fn post(call: &Call, video_id: VideoId) -> Result<HttpResponse, ApiError> {
    let content = call
        .params
        .required_text("comment_text", COMMENT_CHARS, Controls::Lines)?
        .to_owned();
    // Before an id is spent on somebody without a token.
    call.user()?;
    let (id, created_at): (CommentId, _) = (call.app.store.next_id().await?, now_ms());
    let text = content.clone();
    let touch = call.app.rows.touch_video(video_id);
    let hold = touch.hold();
    let insert = move |connection: &mut DbConnection, user_id| {
        let _ = &hold;
        let comment = NewComment {
            id,
            video_id,
            user_id,
            content: text.clone(),
            created_at,
        };
        comments::insert(connection, &comment)
    };
    let text = content.clone();
    let news = move |posted: &mut Option<Posted>| {
        let Some(posted) = posted else {
            return News::default();
        };
        let comment = hub::NewComment {
            id: id.0,
            user: posted.user.id,
            user_name: posted.user.name.clone(),
            content: text,
            created_at,
        };
        News::from(std::mem::take(&mut posted.events)).also(move |hub| hub.commented(video_id, Some(comment)))
    };
    let write = call.tell(insert, news);
    let posted = touch.during(write).await?;
    let author = posted.ok_or(ApiError::NotFound("this video"))?.user;
    // Nobody follows themselves, and the comment's user is the viewer.
    let user = User::new(author, &call.lens().look(None, Flags::default()))?;
    let row = comments::CommentRow {
        id,
        content,
        created_at,
    };
    Ok(success(Answer {
        comment: Comment::new(row, user, call.app.config.utc_offset),
    }))
}

async fn delete(call: &Call, video: VideoId) -> Result<HttpResponse, ApiError> {
    let comment = CommentId(call.params.required_id("comment_id")?);
    // Before anything is taken out of memory for somebody without a token.
    call.user()?;
    let now = now_ms();
    let touch = call.app.rows.touch_video(video);
    let hold = touch.hold();
    let delete = move |connection: &mut DbConnection, user| {
        let _ = &hold;
        comments::delete(connection, comment, video, user, now)
    };
    let news = move |deleted: &mut Deleted| match deleted {
        Deleted::Yes(Change::Made) => News::default().also(move |hub| hub.commented(video, None)),
        _ => News::default(),
    };
    let write = call.tell(delete, news);
    match touch.during(write).await? {
        Deleted::Yes(Change::Made | Change::Nothing) => Ok(done()),
        Deleted::Yes(Change::Unknown) => Err(ApiError::NotFound("this comment")),
        Deleted::NotYours => Err(ApiError::Forbidden("only its author can delete a comment")),
    }
}

/// `GET /douyin/comment/list/`: every comment of a video, newest first.
pub async fn comment_list(call: Call) -> Result<HttpResponse, ApiError> {
    let video = VideoId(call.params.required_id("video_id")?);
    let (lens, zone) = (call.lens(), call.app.config.utc_offset);
    let start = (i64::MAX, CommentId(i64::MAX));
    list::answer(
        &call,
        "comment_list",
        call.guest(),
        start,
        move |connection, viewer, cursor| {
            let rows = comments::page(connection, video, cursor, list::PAGE)?;
            let last = rows.last().map(|(comment, _)| (comment.created_at, comment.id));
            let followed = match viewer {
                Some(viewer) if !rows.is_empty() => {
                    let mut users: Vec<_> = rows.iter().map(|(_, user)| user.id).collect();
                    users.sort_unstable();
                    users.dedup();
                    follows::among(connection, viewer, &users)?
                }
                _ => HashSet::new(),
            };
            let sight = lens.look(viewer, Flags::following(followed));
            let show = |(comment, user)| Ok(Comment::new(comment, User::new(user, &sight)?, zone));
            Ok(Page::new(
                rows.into_iter().map(show).collect::<Result<_, StoreError>>()?,
                last,
            ))
        },
    )
    .await
}
