//! Lists that come whole (contract 8: "complete, uncut").
//!
//! Owns how a long list travels: page by page, each read by its cursor when the one before is on its way, so that
//! memory stays the same however long the list is. Never holds a connection while it waits for the client. A list that
//! fits into one page is answered as one body with a length.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream};
use ovation_schema::{DbConnection, StoreError, UserId};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::call::{Access, Call};
use crate::app::App;
use crate::error::ApiError;

/// Items a page. A page of users is about 60 KiB; two pages are in memory for each list that streams.
pub const PAGE: i64 = 200;
/// How long a client may leave a page unread before its list is given up and the place goes to somebody else.
const STALL: Duration = Duration::from_secs(30);
/// How long a list waits for a place among those that stream.
const QUEUE: Duration = Duration::from_secs(2);

/// A page and where the next one starts.
pub struct Page<T, C> {
    items: Vec<T>,
    next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page read with the limit [`PAGE`]; `last` is the cursor of its last row. A page that is not full is the last.
    pub fn new(items: Vec<T>, last: Option<C>) -> Self {
        let full = i64::try_from(items.len()).is_ok_and(|length| length >= PAGE);
        Self {
            items,
            next: if full { last } else { None },
        }
    }

    /// A page whose follower is known by other means than its length.
    pub fn with_next(items: Vec<T>, next: Option<C>) -> Self {
        Self { items, next }
    }
}

/// Answers the list that `page` reads from `start` on, as the field `field` of a success.
pub async fn answer<T, C, F>(
    call: &Call,
    field: &'static str,
    access: Access,
    start: C,
    page: F,
) -> Result<HttpResponse, ApiError>
where
    T: Serialize + 'static,
    C: Clone + Send + 'static,
    F: Fn(&mut DbConnection, Option<UserId>, C) -> Result<Page<T, C>, StoreError> + Clone + Send + 'static,
{
    let first = page.clone();
    let (mut body, next, viewer) = call
        .read(access, move |connection, viewer| {
            let page = first(connection, viewer, start.clone())?;
            let mut body = format!(r#"{{"status_code":0,"status_msg":"","{field}":["#).into_bytes();
            write_items(&mut body, &page.items, true)?;
            Ok((body, page.next, viewer))
        })
        .await?;
    let Some(next) = next else {
        body.extend_from_slice(END);
        return Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body));
    };
    let place = place(&call.app).await?;
    // One page waits while the client takes another; the next is read when there is room.
    let (sender, receiver) = mpsc::channel(1);
    actix_web::rt::spawn(produce(call.app.clone(), place, sender, body, next, viewer, page));
    let body = pages(receiver);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).streaming(body))
}

/// What travels from the reading task to the connection.
struct Chunk {
    bytes: Bytes,
    /// The list ends with it.
    last: bool,
}

/// The body. One whose task is gone before the last page ends with an error, so without its last chunk: every client
/// sees a broken answer, never a shorter list.
fn pages(receiver: mpsc::Receiver<Chunk>) -> impl Stream<Item = Result<Bytes, ApiError>> {
    stream::try_unfold(Some(receiver), |receiver| async move {
        let Some(mut receiver) = receiver else { return Ok(None) };
        let Some(chunk) = receiver.recv().await else {
            return Err(ApiError::Unavailable);
        };
        Ok(Some((chunk.bytes, (!chunk.last).then_some(receiver))))
    })
}

const END: &[u8] = b"]}";

fn write_items<T: Serialize>(body: &mut Vec<u8>, items: &[T], mut first: bool) -> Result<(), StoreError> {
    for item in items {
        if !first {
            body.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut *body, item).map_err(|error| StoreError::Internal(error.to_string()))?;
    }
    Ok(())
}

async fn place(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let streams = Arc::clone(&app.list_streams);
    match tokio::time::timeout(QUEUE, streams.acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(ApiError::Busy),
    }
}

/// Reads the pages after the first and hands them over as the client takes them; [`pages`] notices when it gives up.
async fn produce<T, C, F>(
    app: App,
    place: OwnedSemaphorePermit,
    sender: mpsc::Sender<Chunk>,
    mut body: Vec<u8>,
    next: C,
    viewer: Option<UserId>,
    page: F,
) where
    T: Serialize + 'static,
    C: Clone + Send + 'static,
    F: Fn(&mut DbConnection, Option<UserId>, C) -> Result<Page<T, C>, StoreError> + Clone + Send + 'static,
{
    let _place = place;
    let mut following = Some(next);
    loop {
        let last = following.is_none();
        // An empty chunk would end a chunked body.
        if !body.is_empty() {
            let bytes = body.into();
            if !send(&sender, Chunk { bytes, last }, STALL).await {
                return;
            }
        }
        let Some(next) = following else { return };
        let query = page.clone();
        let read = app.store.read(move |connection| {
            let page = query(connection, viewer, next.clone())?;
            let mut body = Vec::new();
            write_items(&mut body, &page.items, false)?;
            if page.next.is_none() {
                body.extend_from_slice(END);
            }
            Ok((body, page.next))
        });
        match read.await {
            Ok(read) => (body, following) = read,
            Err(error) => {
                // Only for the log: a head that says success has gone long ago.
                let _ = ApiError::from(error);
                return;
            }
        }
    }
}

/// False when the client has gone or does not take what it asked for.
async fn send(sender: &mpsc::Sender<Chunk>, chunk: Chunk, patience: Duration) -> bool {
    matches!(tokio::time::timeout(patience, sender.send(chunk)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn chunk(text: &'static str, last: bool) -> Chunk {
        let bytes = Bytes::from_static(text.as_bytes());
        Chunk { bytes, last }
    }

    #[tokio::test]
    async fn a_list_that_is_whole_ends_well() {
        let (sender, receiver) = mpsc::channel(2);
        assert!(send(&sender, chunk("[1", false), STALL).await && send(&sender, chunk("]", true), STALL).await);
        drop(sender);
        let body: Vec<_> = pages(receiver).map(Result::unwrap).collect().await;
        assert_eq!(body, ["[1", "]"]);
    }

    #[tokio::test]
    async fn a_list_given_up_ends_as_a_broken_answer() {
        let (sender, receiver) = mpsc::channel(1);
        assert!(send(&sender, chunk("[1", false), STALL).await);
        assert!(
            !send(&sender, chunk(",2", false), Duration::from_millis(20)).await,
            "nobody takes the first"
        );
        drop(sender);
        let body: Vec<_> = pages(receiver).collect().await;
        assert!(matches!(&body[..], [Ok(first), Err(_)] if first == "[1"), "{body:?}");
    }
}
