//! Answers GET and HEAD for stored videos and covers.
//!
//! Owns the HTTP of media: ranges, validators, cache life (RFC 9110 and 9111). A content hash names bytes that never
//! change, so what is found may be cached for ever. `actix-files` was refused: it knows no `If-Range`, its validators
//! come from the clock of the file, and what we serve is one file by a checked name, never a folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::http::header::{self, EntityTag, Header, IfMatch, IfNoneMatch, IfRange};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde_json::json;

use super::Media;
use super::cover::Cover;
use super::error::{MediaError, blocking};
use super::hash::ContentHash;
use super::range::{self, Selection};
use crate::error::ApiError;

/// Bytes read and held at a time for one answer.
const CHUNK: u64 = 64 * 1024;
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Mounts `/media/`. Needs `web::Data<Media>`. Methods other than GET and HEAD get 405; whatever else is below
/// `/media/` does not exist.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/media")
            .service(
                web::resource("/videos/{name}")
                    .route(web::get().to(video))
                    .route(web::head().to(video)),
            )
            .service(
                web::resource("/covers/{name}")
                    .route(web::get().to(cover))
                    .route(web::head().to(cover)),
            )
            .default_service(web::to(|| async { not_found() })),
    );
}

async fn video(request: HttpRequest, name: web::Path<String>, media: web::Data<Media>) -> HttpResponse {
    let Some(hash) = hash_of(&name, ".mp4") else {
        return not_found();
    };
    let path = media.store().video_path(&hash);
    match open(path).await {
        Ok(file) => answer(&request, file, hash.to_string(), "video/mp4"),
        Err(error) => failure(&error),
    }
}

async fn cover(request: HttpRequest, name: web::Path<String>, media: web::Data<Media>) -> HttpResponse {
    let Some(hash) = hash_of(&name, ".jpg") else {
        return not_found();
    };
    match media.covers().get(hash).await {
        Ok(Cover::Stored(path)) => match open(path).await {
            // A cover may be made anew, by another decoder than before, from the same video.
            Ok(file) => {
                let tag = format!("{hash}-{}", file.length);
                answer(&request, file, tag, "image/jpeg")
            }
            Err(error) => failure(&error),
        },
        Ok(Cover::Interim(jpeg)) => interim(jpeg),
        Err(error) => failure(&error),
    }
}

/// The hash in `<64 hex digits><ending>`.
fn hash_of(name: &str, ending: &str) -> Option<ContentHash> {
    ContentHash::parse(name.strip_suffix(ending)?)
}

struct Opened {
    file: Arc<File>,
    length: u64,
}

async fn open(path: PathBuf) -> Result<Opened, MediaError> {
    blocking(move || {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MediaError::NotFound,
            _ => error.into(),
        })?;
        let length = file.metadata()?.len();
        let file = Arc::new(file);
        Ok(Opened { file, length })
    })
    .await
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2, then the range.
fn answer(request: &HttpRequest, opened: Opened, tag: String, kind: &'static str) -> HttpResponse {
    let tag = EntityTag::new_strong(tag);
    if is_stale(request, &tag) {
        return headed(StatusCode::PRECONDITION_FAILED, &tag).finish();
    }
    if is_known(request, &tag) {
        return headed(StatusCode::NOT_MODIFIED, &tag).finish();
    }
    let length = opened.length;
    let (status, first, count) = match selection(request, &tag, length) {
        Selection::Whole => (StatusCode::OK, 0, length),
        Selection::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Selection::Unsatisfiable => {
            return base(StatusCode::RANGE_NOT_SATISFIABLE)
                .insert_header((header::CONTENT_RANGE, format!("bytes */{length}")))
                .insert_header((header::ACCEPT_RANGES, "bytes"))
                .finish();
        }
    };
    let mut response = headed(status, &tag);
    response.insert_header((header::CONTENT_TYPE, kind));
    if status == StatusCode::PARTIAL_CONTENT {
        response.insert_header((
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{length}", first + count - 1),
        ));
    }
    if request.method() == Method::HEAD {
        return response.body(SizedStream::new(count, stream::empty::<io::Result<Bytes>>()));
    }
    response.body(SizedStream::new(
        count,
        Box::pin(chunks(opened.file, first, first + count)),
    ))
}

/// `If-Match` that names another version.
fn is_stale(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfMatch::parse(request) {
        Ok(IfMatch::Items(tags)) if !tags.is_empty() => !tags.iter().any(|known| known.strong_eq(tag)),
        _ => false,
    }
}

/// `If-None-Match` that names this version.
fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// Ranges are defined for GET alone (14.2). `If-Range` with another tag, or with a date, which we never gave out, makes
/// the answer whole (13.1.5).
fn selection(request: &HttpRequest, tag: &EntityTag, length: u64) -> Selection {
    let headers = request.headers();
    let Some(range) = headers.get(header::RANGE).filter(|_| request.method() == Method::GET) else {
        return Selection::Whole;
    };
    if headers.get_all(header::RANGE).count() > 1 {
        return Selection::Whole;
    }
    let unchanged = !headers.contains_key(header::IF_RANGE)
        || matches!(IfRange::parse(request), Ok(IfRange::EntityTag(known)) if known.strong_eq(tag));
    if unchanged {
        range::select(range.as_bytes(), length)
    } else {
        Selection::Whole
    }
}

/// Reads ahead of the peer by one chunk at most: the next read begins when the connection asks for it, on the blocking
/// pool, and between reads an answer holds a file descriptor and nothing else.
fn chunks(file: Arc<File>, first: u64, end: u64) -> impl Stream<Item = Result<Bytes, io::Error>> {
    stream::try_unfold(first, move |from| {
        let file = Arc::clone(&file);
        async move {
            if from >= end {
                return Ok(None);
            }
            let size = usize::try_from(CHUNK.min(end - from)).unwrap_or(0);
            let read = blocking(move || {
                let mut chunk = vec![0; size];
                file.read_exact_at(&mut chunk, from)?;
                Ok(chunk)
            });
            let chunk = read.await.map_err(io::Error::other)?;
            Ok(Some((Bytes::from(chunk), from + size as u64)))
        }
    })
}

fn base(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

fn headed(status: StatusCode, tag: &EntityTag) -> HttpResponseBuilder {
    let mut response = base(status);
    response
        .insert_header(header::ETag(tag.clone()))
        .insert_header((header::CACHE_CONTROL, FOREVER))
        .insert_header((header::ACCEPT_RANGES, "bytes"));
    response
}

/// A drawing that stands in for a cover not made yet: good for this once, so neither a validator nor ranges.
fn interim(jpeg: Bytes) -> HttpResponse {
    base(StatusCode::OK)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_TYPE, "image/jpeg"))
        .body(jpeg)
}

fn failure(error: &MediaError) -> HttpResponse {
    match error {
        MediaError::NotFound => not_found(),
        MediaError::Busy => envelope(StatusCode::SERVICE_UNAVAILABLE, &ApiError::Busy),
        _ => {
            tracing::error!(%error, disk = ?error.disk(), "a media file could not be read");
            envelope(StatusCode::SERVICE_UNAVAILABLE, &ApiError::Unavailable)
        }
    }
}

/// Also what a name that is none of ours gets. Real HTTP statuses here: players and browsers read them, the camp's
/// client never sees these bodies.
fn not_found() -> HttpResponse {
    envelope(StatusCode::NOT_FOUND, &ApiError::NotFound("this media file"))
}

fn envelope(status: StatusCode, error: &ApiError) -> HttpResponse {
    base(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "status_code": error.code(), "status_msg": error.to_string() }))
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
