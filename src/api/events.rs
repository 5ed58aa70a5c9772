//! `GET /events`: the durable events by long poll, for clients that can't hold a socket (docs/protocol.md).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use ovation_actors::operator::{Resume, Start};
use ovation_actors::outbox::{Outbox, OutboxLimits};
use ovation_schema::streams::{self, Event, Position};
use ovation_schema::{DbConnection, StoreError, UserId, now_ms, users};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::success;
use super::params::{Params, bearer_token};
use crate::app::App;
use crate::auth::Claims;
use crate::error::ApiError;
use crate::socket::start_of;

/// Events in one answer at most.
const PAGE: i64 = 500;
/// Seconds that are waited when the request does not say, and at most.
const WAIT: i64 = 25;
const MAX_WAIT: i64 = 60;
/// Only the number of the newest event is of interest here, not its frame.
const OUTBOX: OutboxLimits = OutboxLimits { frames: 0, bytes: 0 };

#[derive(Serialize)]
struct Answer {
    epoch: String,
    events: Vec<Shown>,
    /// The `since` of the next request.
    next_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
}

#[derive(Serialize)]
struct Gap {
    oldest: i64,
    newest: i64,
}

#[derive(Serialize)]
struct Shown {
    t: &'static str,
    seq: i64,
    d: Box<RawValue>,
}

/// Where the client says its stream goes on; without `since` it begins with what comes from now on.
struct Ask {
    user: UserId,
    claims: Claims,
    resume: Option<Resume>,
    wait: Duration,
}

/// Answers at once when there is something past `since`, else as soon as there is, else empty after `wait` seconds.
pub async fn events(request: HttpRequest, app: Data<App>) -> Result<HttpResponse, ApiError> {
    let ask = ask(&request, &app)?;
    let outbox = Arc::new(Outbox::new(OUTBOX));
    // Before anything is read: what is committed from here on is announced. Counts as a connection while it waits.
    let _seat = app
        .hub
        .attach(ask.user, ask.claims.version, Arc::clone(&outbox))
        .map_err(|_| ApiError::Busy)?;
    let (answer, newest) = look(&app, &ask, ask.resume.clone()).await?;
    if !answer.events.is_empty() || answer.gap.is_some() || ask.resume.is_none() || ask.wait.is_zero() {
        return Ok(success(answer));
    }
    let mut stopping = app.stopping.clone();
    let waited = tokio::select! {
        waited = news(&outbox, newest) => waited,
        () = tokio::time::sleep(ask.wait) => Ok(()),
        // An error means the same.
        _ = stopping.wait_for(|stopping| *stopping) => Err(ApiError::Unavailable),
    };
    waited?;
    let (answer, _) = look(&app, &ask, ask.resume.clone()).await?;
    Ok(success(answer))
}

fn ask(request: &HttpRequest, app: &App) -> Result<Ask, ApiError> {
    let token = bearer_token(request).ok_or(ApiError::InvalidToken)?;
    let claims = app.tokens.check(&token, now_ms() / 1000)?;
    let params = Params::from_query(request)?;
    let number = |name: &'static str| match params.text(name)?.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Some(number)),
            _ => Err(ApiError::invalid(format!("{name} is not a valid number"))),
        },
    };
    let epoch = params.text("epoch")?.unwrap_or_default().to_owned();
    let wait = number("wait")?.unwrap_or(WAIT);
    if wait > MAX_WAIT {
        return Err(ApiError::invalid(format!("wait must be at most {MAX_WAIT}")));
    }
    Ok(Ask {
        user: UserId(claims.user_id),
        claims,
        resume: number("since")?.map(|seq| Resume { epoch, seq }),
        wait: Duration::from_secs(u64::try_from(wait).unwrap_or(0)),
    })
}

/// Waits until there is an event past `newest`, or the connection is to end.
async fn news(outbox: &Outbox, newest: i64) -> Result<(), ApiError> {
    loop {
        let taken = poll_fn(|context| outbox.poll_take(context, None)).await;
        if taken.close.is_some() {
            return Err(ApiError::InvalidToken);
        }
        if taken.newest > newest {
            return Ok(());
        }
    }
}

async fn look(app: &App, ask: &Ask, resume: Option<Resume>) -> Result<(Answer, i64), ApiError> {
    let (user, version) = (ask.user, i64::from(ask.claims.version));
    let read = app
        .store
        .read(move |connection| read(connection, user, version, resume.as_ref()));
    let (position, start, next, events) = read.await?.ok_or(ApiError::InvalidToken)?;
    let gap = match start {
        Start::Gap { oldest, newest } => Some(Gap { oldest, newest }),
        Start::Live | Start::Replay { .. } => None,
    };
    let next_seq = events.last().map_or(next - 1, |event| event.seq);
    let events = events.into_iter().map(show).collect::<Result<_, _>>()?;
    let answer = Answer {
        epoch: position.epoch,
        events,
        next_seq,
        gap,
    };
    Ok((answer, position.newest))
}

type Found = (Position, Start, i64, Vec<Event>);

fn read(
    connection: &mut DbConnection,
    user: UserId,
    version: i64,
    resume: Option<&Resume>,
) -> Result<Option<Found>, StoreError> {
    if users::token_version(connection, user)? != Some(version) {
        return Ok(None);
    }
    let Some(position) = streams::position(connection, user)? else {
        return Ok(None);
    };
    let (start, next) = start_of(&position, resume);
    let events = if next <= position.newest {
        streams::page(connection, user, next, PAGE)?
    } else {
        Vec::new()
    };
    Ok(Some((position, start, next, events)))
}

fn show(event: Event) -> Result<Shown, ApiError> {
    let d = RawValue::from_string(event.payload).map_err(|error| {
        tracing::error!(%error, seq = event.seq, "a stored event is no JSON");
        ApiError::Internal
    })?;
    Ok(Shown {
        t: event.kind.name(),
        seq: event.seq,
        d,
    })
}
