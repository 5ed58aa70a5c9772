//! Publishing a video (contract 5.5).
//!
//! Owns the walk through the multipart body: the file goes to a spool as it comes, whether the token stands before or
//! behind it. Nothing is kept and nobody's count moves before the sender is known and the file was looked into.

use std::net::{IpAddr, Ipv4Addr};

use actix_multipart::{Field, Multipart};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::TryStreamExt as _;
use ovation_actors::hub;
use ovation_schema::videos::{self, NewVideo};
use ovation_schema::{DbConnection, StoreError, UserId, VideoId, now_ms};

use super::answer::done;
use super::call::{Access, Call};
use super::params::{Controls, Params, is_file, multipart_error};
use crate::commit::News;
use crate::error::ApiError;
use crate::media::{Received, Sender};
use crate::net::{BodyDeadline, BodyLimits, declared_length};

/// Characters of a title. The contract wants 50 to pass; the store's column holds four times this.
const TITLE_CHARS: usize = 100;
/// What an upload may hold beside its file: boundaries, headers and the text parts.
const FORM_BYTES: u64 = 64 * 1024;
/// Parts of one upload at most.
const PARTS: usize = 64;

/// `POST /douyin/publish/action/`: `data` is the file; token and title may stand before it, behind it or in the query.
pub async fn publish(request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let mut call = Call::new(&request, Params::from_query(&request)?)?;
    let limit = call.app.config.upload_max_bytes;
    // Refused before the body, where the head says enough.
    let sender = if call.params.token()?.is_some() {
        Some(confirm(&call).await?)
    } else {
        None
    };
    if declared_length(request.headers()).is_some_and(|length| length > limit + FORM_BYTES) {
        return Err(TOO_LARGE);
    }
    let body = BodyDeadline::new(payload.into_inner(), BodyLimits::upload(limit + FORM_BYTES));
    let parts = Multipart::new(request.headers(), body);
    let (file, sender) = receive(&mut call, parts, sender).await?;
    // The same answer whatever else is wrong: who sends without a token learns nothing more.
    let user = match sender {
        Some(user) => user,
        None => confirm(&call).await?,
    };
    let title = call
        .params
        .optional_text("title", TITLE_CHARS, Controls::None)?
        .to_owned();
    let mut file = file.ok_or(ApiError::Invalid("data is missing: the file of the video".into()))?;
    file.promote(user.0)?;
    // A task of its own: a client that leaves now must not leave a file without a row.
    let stored = actix_web::rt::spawn(async move { store(&call, user, title, file).await });
    stored.await.map_err(|_| ApiError::Internal)??;
    Ok(done())
}

const TOO_LARGE: ApiError = ApiError::TooLarge("the file is larger than this server takes");

/// The user of the token that is among the parameters.
async fn confirm(call: &Call) -> Result<UserId, ApiError> {
    let claims = call.claims()?.ok_or(ApiError::InvalidToken)?;
    call.read(Access::User(claims), |_, viewer| Ok(viewer))
        .await?
        .ok_or(ApiError::InvalidToken)
}

/// Takes the parts as they come. Texts become parameters; the first file part called `data` becomes the spool. A token
/// among the texts is checked when it arrives, so that a bad one stops what follows.
async fn receive(
    call: &mut Call,
    mut parts: Multipart,
    mut sender: Option<UserId>,
) -> Result<(Option<Received>, Option<UserId>), ApiError> {
    let mut file = None;
    let mut count = 0;
    while let Some(mut part) = parts.try_next().await.map_err(|error| multipart_error(&error))? {
        count += 1;
        if count > PARTS {
            return Err(ApiError::invalid("the upload has too many parts"));
        }
        let name = part.name().unwrap_or_default().to_owned();
        if !is_file(&part) {
            call.params.add(&name, text(&mut part).await?)?;
            if sender.is_none() && name == "token" && call.params.token()?.is_some() {
                sender = Some(confirm(call).await?);
            }
        } else if name == "data" && file.is_none() {
            file = Some(spool(call, &mut part, sender).await?);
        } else {
            skip(&mut part).await?;
        }
    }
    Ok((file, sender))
}

/// A text part, whole: the form as a whole is bounded, this makes the bound one for texts.
async fn text(part: &mut Field) -> Result<Vec<u8>, ApiError> {
    let mut value = Vec::new();
    while let Some(chunk) = part.try_next().await.map_err(|error| multipart_error(&error))? {
        if (value.len() + chunk.len()) as u64 > FORM_BYTES {
            return Err(ApiError::TooLarge("a text of the upload is too long"));
        }
        value.extend_from_slice(&chunk);
    }
    Ok(value)
}

/// A file nobody asked for. It can't be longer than the body may be.
async fn skip(part: &mut Field) -> Result<(), ApiError> {
    while part
        .try_next()
        .await
        .map_err(|error| multipart_error(&error))?
        .is_some()
    {}
    Ok(())
}

async fn spool(call: &Call, part: &mut Field, sender: Option<UserId>) -> Result<Received, ApiError> {
    let sender = match sender {
        Some(user) => Sender::User(user.0),
        None => Sender::Address(call.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
    };
    let mut spool = call.app.media.spool(sender, 0).await?;
    while let Some(chunk) = part.try_next().await.map_err(|error| multipart_error(&error))? {
        spool.write(&chunk).await?;
    }
    Ok(spool.finish().await?)
}

/// Makes the upload durable, then visible: file first, row second, so that no row ever names a file that is not there.
async fn store(call: &Call, user: UserId, title: String, file: Received) -> Result<(), ApiError> {
    let app = &call.app;
    // Also begins the cover, behind the answer: who asks for it before it is there waits for it.
    let (kept, _) = app.media.keep(file).await?;
    let hash = kept.hash();
    let id: VideoId = match app.store.next_id().await {
        Ok(id) => id,
        Err(error) => {
            kept.discard().await;
            return Err(error.into());
        }
    };
    let video = NewVideo {
        id,
        author_id: user,
        title,
        media_hash: hash.to_string(),
    };
    let title = video.title.clone();
    let news = move |publish_time: &mut i64| {
        let video = hub::NewVideo {
            id,
            author: user,
            title,
            publish_time: *publish_time,
        };
        News::default().also(move |hub| hub.published(video))
    };
    let touch = app.rows.publishing(user);
    let hold = touch.hold();
    let publish = move |connection: &mut DbConnection| {
        let _ = &hold;
        videos::publish(connection, &video, now_ms())
    };
    let write = app.commit(publish, news);
    match touch.during(write).await {
        Ok(_) => {
            kept.commit();
            Ok(())
        }
        // The commit's answer may be what was lost; the file stays, and the sweep of the next start decides.
        Err(error @ StoreError::Unavailable(_)) => Err(error.into()),
        Err(error) => {
            kept.discard().await;
            Err(error.into())
        }
    }
}
