//! Likes (contract 6.1 and 6.2).

use std::collections::HashSet;
use std::sync::Arc;

use actix_web::HttpResponse;
use ovation_actors::counters::Outcome;
use ovation_schema::{DbConnection, StoreError, UserId, VideoId, favorites, videos};

use super::answer::{Lens, Video, done};
use super::call::Call;
use super::feed::show;
use super::list::{self, Page};
use super::params::Action;
use crate::error::ApiError;

/// `POST /douyin/favorite/action/`: likes or unlikes a video. A repeat is a success that changes nothing. The answer
/// comes when the ledger has it on disk; the database follows within seconds.
pub async fn set_favorite(call: Call) -> Result<HttpResponse, ApiError> {
    let viewer = call.confirmed(call.claims()?.ok_or(ApiError::InvalidToken)?).await?;
    let video = VideoId(call.params.required_id("video_id")?);
    let on = call.params.action("action_type")? == Action::Do;
    match call.app.counters.set_favorite(viewer, video, on).await? {
        Outcome::UnknownVideo => Err(ApiError::NotFound("this video")),
        Outcome::Changed | Outcome::Unchanged => Ok(done()),
    }
}

/// Where a favorite list goes on. Likes that the overlay knows of come first; which they were is taken at the start, so
/// that one that reaches its row meanwhile is neither sent twice nor passed over.
#[derive(Clone)]
struct Cursor {
    /// Newest first, from the overlay.
    pending: Arc<[VideoId]>,
    /// How many of them have been sent.
    sent: usize,
    /// Everything the overlay knew of this user, liked or not: rows about these are not looked at.
    known: Arc<HashSet<VideoId>>,
    /// Where the rows go on.
    rows: favorites::Cursor,
}

impl Cursor {
    fn start(lens: &Lens, user: UserId) -> Self {
        let known = lens.counters.overlay().view().likes_of(user);
        Self {
            pending: known
                .iter()
                .filter(|(_, on, _)| *on)
                .map(|(video, ..)| *video)
                .collect(),
            sent: 0,
            known: Arc::new(known.iter().map(|(video, ..)| *video).collect()),
            rows: (i64::MAX, VideoId(i64::MAX)),
        }
    }
}

/// `GET /douyin/favorite/list/`: the videos a user likes, latest like first.
pub async fn favorite_list(call: Call) -> Result<HttpResponse, ApiError> {
    let (user, access) = call.subject()?;
    let lens = call.lens();
    list::answer(
        &call,
        "video_list",
        access,
        None,
        move |connection, viewer, cursor: Option<Cursor>| {
            let cursor = cursor.unwrap_or_else(|| Cursor::start(&lens, user));
            page(connection, viewer, user, cursor, &lens)
        },
    )
    .await
}

fn page(
    connection: &mut DbConnection,
    viewer: Option<UserId>,
    user: UserId,
    mut cursor: Cursor,
    lens: &Lens,
) -> Result<Page<Video, Option<Cursor>>, StoreError> {
    let most = usize::try_from(list::PAGE).unwrap_or(usize::MAX);
    let upto = cursor.pending.len().min(cursor.sent + most);
    let mut rows = videos::by_ids(connection, &cursor.pending[cursor.sent..upto])?;
    let mut more = upto < cursor.pending.len();
    cursor.sent = upto;
    if !more {
        let stored = favorites::page(connection, user, cursor.rows, list::PAGE)?;
        more = stored.len() >= most;
        if let Some((time, video, _)) = stored.last() {
            cursor.rows = (*time, video.id);
        }
        let unknown = stored
            .into_iter()
            .filter(|(_, video, _)| !cursor.known.contains(&video.id));
        rows.extend(unknown.map(|(_, video, author)| (video, author)));
    }
    let videos = show(connection, viewer, rows, lens)?;
    Ok(Page::with_next(videos, more.then_some(Some(cursor))))
}
