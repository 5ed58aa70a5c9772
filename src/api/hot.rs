//! Answers made of what memory has ready.
//!
//! Owns the body around the pieces and when they have to be read again. Never reads rows itself: `rows` does.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use ovation_actors::overlay::Stale;
use ovation_schema::{StoreError, UserId};

use super::call::Call;
use crate::error::ApiError;
use crate::rows::{Ask, Page, Pen};

/// How often rows are read again that turn out older than the likes in memory, as [`ovation_schema::Store::read`] does.
const ATTEMPTS: usize = 3;

/// A success whose fields `write` writes, each with a comma before it, from what `find` has found. `write` runs under the
/// overlay's lock: one moment of the likes for the whole answer. `bytes` is about how many there will be.
pub async fn answer<W>(
    call: &Call,
    bytes: usize,
    find: impl AsyncFn(Ask) -> Result<W, ApiError>,
) -> Result<HttpResponse, ApiError>
where
    W: FnOnce(&mut Pen<'_>) -> Result<(), Stale>,
{
    let mut ask = Ask::Kept;
    for _ in 0..ATTEMPTS {
        let write = find(ask).await?;
        let likes = call.app.counters.overlay().view();
        let mut pen = Pen::new(&likes, call.base.as_str(), Vec::with_capacity(bytes));
        pen.raw(br#"{"status_code":0,"status_msg":"""#);
        if write(&mut pen).is_ok() {
            pen.raw(b"}");
            let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return Ok(HttpResponse::Ok().insert_header(json).body(pen.out));
        }
        if ask == Ask::Again {
            // Rows of this moment: the mark itself may have gone back, and the flusher looks.
            call.app.counters.suspect_mark();
        }
        ask = Ask::Again;
    }
    Err(StoreError::Conflict(Stale.to_string()).into())
}

/// The field `video_list`, as `viewer` sees it.
pub fn videos(pen: &mut Pen<'_>, page: &Page, viewer: Option<UserId>) -> Result<(), Stale> {
    pen.raw(br#","video_list":["#);
    for (number, (video, author)) in page.videos.iter().enumerate() {
        if number > 0 {
            pen.raw(b",");
        }
        let is_follow = page.follows.as_ref().is_some_and(|ids| ids.contains(author.id().0));
        let is_favorite = match (viewer, &page.favorites) {
            (Some(viewer), Some(stored)) => pen.likes(viewer, video.id(), stored)?,
            _ => false,
        };
        pen.video(video, author, is_follow, is_favorite)?;
    }
    pen.raw(b"]");
    Ok(())
}
