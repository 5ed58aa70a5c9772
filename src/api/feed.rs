//! Pages of videos: the feed and an author's own list (contract 5.1 and 5.6).

use actix_web::HttpResponse;
use ovation_schema::users::UserRow;
use ovation_schema::videos::{self, VideoRow};
use ovation_schema::{DbConnection, StoreError, UserId, favorites, follows, now_ms};
use serde::Serialize;

use super::answer::{Flags, Lens, Video, success};
use super::call::Call;
use super::hot;
use super::list::{self, Page};
use crate::error::ApiError;
use crate::rows::Pen;

/// The contract's largest page.
const FEED_PAGE: u8 = 30;

#[derive(Serialize)]
struct Feed {
    video_list: Vec<Video>,
    next_time: i64,
}

/// `GET /douyin/feed/`: at most 30 videos published before `latest_time`, newest first. Without any statement where the
/// page is hot.
pub async fn feed(call: Call) -> Result<HttpResponse, ApiError> {
    let (now, latest_time) = (now_ms(), call.params.latest_time());
    let Some(places) = call.app.rows.places(latest_time, now, FEED_PAGE.into()).await? else {
        return old_feed(&call, latest_time, now).await;
    };
    let viewer = call.viewer(call.guest()).await?;
    // On an empty page "now" lets the client start again at the top.
    let next_time = places.last().map_or(now, |place| place.0);
    hot::answer(&call, 512 + 850 * places.len(), async |ask| {
        let page = call.app.rows.page(&places, viewer, ask).await?;
        Ok(move |pen: &mut Pen<'_>| {
            hot::videos(pen, &page, viewer)?;
            pen.raw(br#","next_time":"#);
            pen.number(next_time);
            Ok(())
        })
    })
    .await
}

/// A page that the timeline does not reach. One statement for a guest, four for a user, whatever the number of videos.
async fn old_feed(call: &Call, latest_time: Option<i64>, now: i64) -> Result<HttpResponse, ApiError> {
    let lens = call.lens();
    let page = call.read(call.guest(), move |connection, viewer| {
        let before = bound(connection, latest_time, now)?;
        let rows = videos::feed(connection, before, FEED_PAGE.into())?;
        let next_time = rows.last().map_or(now, |(video, _)| video.publish_time);
        Ok(Feed {
            video_list: show(connection, viewer, rows, &lens)?,
            next_time,
        })
    });
    Ok(success(page.await?))
}

/// What a page ends before. No bound, not "now", where none is given: a fresh upload is visible even when the clock has
/// stepped back.
///
/// A time in the future counts as none (contract 5.1), unless a video has exactly that publish time: then it is the
/// `next_time` of an earlier page, from before the clock stepped back or from a burst that ran ahead of it, and to
/// ignore it would give the first page for ever. The look costs a statement in that rare case only.
fn bound(connection: &mut DbConnection, latest_time: Option<i64>, now: i64) -> Result<i64, StoreError> {
    match latest_time {
        Some(time) if time <= now || videos::is_publish_time(connection, time)? => Ok(time),
        _ => Ok(i64::MAX),
    }
}

/// `GET /douyin/publish/list/`: everything a user has published, newest first.
pub async fn publish_list(call: Call) -> Result<HttpResponse, ApiError> {
    let (author, access) = call.subject()?;
    let lens = call.lens();
    list::answer(
        &call,
        "video_list",
        access,
        i64::MAX,
        move |connection, viewer, before| {
            let rows = videos::by_author(connection, author, before, list::PAGE)?;
            let next = rows.last().map(|(video, _)| video.publish_time);
            Ok(Page::new(show(connection, viewer, rows, &lens)?, next))
        },
    )
    .await
}

/// Rows as the viewer sees them: two more statements for a viewer, none for a guest.
pub(super) fn show(
    connection: &mut DbConnection,
    viewer: Option<UserId>,
    rows: Vec<(VideoRow, UserRow)>,
    lens: &Lens,
) -> Result<Vec<Video>, StoreError> {
    let flags = match viewer {
        Some(viewer) if !rows.is_empty() => {
            let ids: Vec<_> = rows.iter().map(|(video, _)| video.id).collect();
            let mut authors: Vec<_> = rows.iter().map(|(_, author)| author.id).collect();
            authors.sort_unstable();
            authors.dedup();
            Flags {
                favorites: favorites::among(connection, viewer, &ids)?,
                followed: follows::among(connection, viewer, &authors)?,
            }
        }
        _ => Flags::default(),
    };
    let sight = lens.look(viewer, flags);
    rows.into_iter().map(|row| Video::new(row, &sight)).collect()
}
