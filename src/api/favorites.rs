//! Likes (contract 6.1 and 6.2).

use actix_web::HttpResponse;
use ovation_schema::{Change, VideoId, favorites, now_ms};

use super::answer::{Nothing, success};
use super::call::Call;
use super::feed::show;
use super::list::{self, Page};
use super::params::Action;
use crate::error::ApiError;

/// `POST /douyin/favorite/action/`: likes or unlikes a video. A repeat is a success that changes nothing.
pub async fn set_favorite(call: Call) -> Result<HttpResponse, ApiError> {
    let video = VideoId(call.params.required_id("video_id")?);
    let on = call.params.action("action_type")? == Action::Do;
    let now = now_ms();
    match call
        .change(move |connection, user| favorites::set(connection, user, video, on, now))
        .await?
    {
        Change::Unknown => Err(ApiError::NotFound("this video")),
        Change::Made | Change::Nothing => Ok(success(Nothing {})),
    }
}

/// `GET /douyin/favorite/list/`: the videos a user likes, latest like first.
pub async fn favorite_list(call: Call) -> Result<HttpResponse, ApiError> {
    let (user, access) = call.subject()?;
    let base = call.base.clone();
    let start = (i64::MAX, VideoId(i64::MAX));
    list::answer(&call, "video_list", access, start, move |connection, viewer, cursor| {
        let rows = favorites::page(connection, user, cursor, list::PAGE)?;
        let last = rows.last().map(|(time, video, _)| (*time, video.id));
        let rows = rows.into_iter().map(|(_, video, author)| (video, author)).collect();
        Ok(Page::new(show(connection, viewer, rows, &base)?, last))
    })
    .await
}
