//! The first request: who is it, and where does their stream go on?

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use ovation_actors::close::CloseCode;
use ovation_actors::operator::{Denied, Greeting, Hello, Member, Refusal, Resume, Start};
use ovation_schema::streams::{self, Position};
use ovation_schema::{DbConnection, StoreError, UserId, messages, now_ms, users};
use serde::Serialize;

use super::Peer;
use super::refusal::{internal, limit_exceeded, of, of_store, unauthorized};
use crate::app::App;
use crate::auth::{Claims, TokenError};
use crate::config::Config;
use crate::error::ApiError;

/// The `d` of `welcome`.
#[derive(Serialize)]
struct Welcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    session_id: String,
    #[serde(flatten)]
    stream: Option<Stream<'a>>,
    /// Seconds between two pings.
    heartbeat: u64,
    limits: Limits,
}

#[derive(Serialize)]
struct Stream<'a> {
    epoch: &'a str,
    seq: i64,
    replay: i64,
    unread: i64,
}

#[derive(Serialize)]
struct Limits {
    message_bytes: usize,
    operations_per_second: u32,
    rooms: usize,
    connections: usize,
    presence: usize,
}

impl Limits {
    fn of(config: &Config) -> Self {
        Self {
            message_bytes: ovation_actors::connection::Limits::default().message_bytes,
            operations_per_second: config.operations_per_second,
            rooms: config.rooms_per_connection,
            connections: config.connections_per_user,
            presence: super::presence::MOST,
        }
    }
}

pub(super) async fn greet(state: &Peer, hello: Hello) -> Result<Greeting, Denied> {
    let header_token = state.header_token.take();
    let Some(token) = hello.token.or(header_token) else {
        return Ok(guest(&state.app));
    };
    let claims = claims(&state.app, &token)?;
    let user = UserId(claims.user_id);
    // Before the stream is read: what is committed from here on is announced to this outbox.
    let seat = state
        .app
        .hub
        .attach(user, claims.version, std::sync::Arc::clone(&state.outbox))
        .map_err(|_| {
            let refusal = limit_exceeded("as many connections of this user are open as may be");
            denied(refusal, CloseCode::TooManyConnections)
        })?;
    let read = state.app.store.read(move |connection| look(connection, user));
    let look = read
        .await
        .map_err(|error| denied(of_store(error), CloseCode::Unavailable))?;
    let Some(look) = look.filter(|look| look.token_version == i64::from(claims.version)) else {
        return Err(denied(of(&ApiError::InvalidToken), CloseCode::Revoked));
    };
    let (start, next) = start_of(&look.position, hello.resume.as_ref());
    let welcome = Welcome {
        user_id: Some(user.0),
        session_id: session_id(),
        stream: Some(Stream {
            epoch: &look.position.epoch,
            seq: look.position.newest,
            replay: look.position.newest + 1 - next,
            unread: look.unread,
        }),
        heartbeat: state.app.config.heartbeat.as_secs(),
        limits: Limits::of(&state.app.config),
    };
    let welcome = serde_json::to_string(&welcome).map_err(|_| denied(internal(), CloseCode::Unavailable))?;
    state.user.set(Some(user));
    *state.seat.borrow_mut() = Some(seat);
    Ok(Greeting {
        welcome,
        member: Some(Member {
            user,
            next,
            start,
            expires_at: claims.expires_at,
        }),
    })
}

/// What one statement after the other says of a user.
struct Look {
    token_version: i64,
    position: Position,
    unread: i64,
}

fn look(connection: &mut DbConnection, user: UserId) -> Result<Option<Look>, StoreError> {
    let Some(token_version) = users::token_version(connection, user)? else {
        return Ok(None);
    };
    let Some(position) = streams::position(connection, user)? else {
        return Ok(None);
    };
    Ok(Some(Look {
        token_version,
        position,
        unread: messages::unread_total(connection, user)?,
    }))
}

/// What comes between `welcome` and live, and the `seq` that is sent next.
pub fn start_of(position: &Position, resume: Option<&Resume>) -> (Start, i64) {
    let live = position.newest + 1;
    let Some(resume) = resume else {
        return (Start::Live, live);
    };
    let known = resume.epoch == position.epoch && (0..=position.newest).contains(&resume.seq);
    if known && resume.seq + 1 >= position.oldest {
        return (Start::Replay { until: live }, resume.seq + 1);
    }
    let gap = Start::Gap {
        oldest: position.oldest,
        newest: position.newest,
    };
    (gap, live)
}

fn guest(app: &App) -> Greeting {
    let welcome = Welcome {
        user_id: None,
        session_id: session_id(),
        stream: None,
        heartbeat: app.config.heartbeat.as_secs(),
        limits: Limits::of(&app.config),
    };
    Greeting {
        welcome: serde_json::to_string(&welcome).unwrap_or_default(),
        member: None,
    }
}

fn claims(app: &App, token: &str) -> Result<Claims, Denied> {
    app.tokens.check(token, now_ms() / 1000).map_err(|error| {
        let refusal = match error {
            TokenError::Expired => unauthorized("the token has expired, please log in again"),
            _ => of(&ApiError::InvalidToken),
        };
        denied(refusal, CloseCode::InvalidToken)
    })
}

fn denied(refusal: Refusal, close: CloseCode) -> Denied {
    Denied {
        refusal,
        close: close.into(),
    }
}

/// A name for this connection in conversations with people; nothing hangs on it.
fn session_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::time::Instant::now()))
}
