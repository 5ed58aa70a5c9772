//! A session of the real-time protocol: hello, requests, and events whose numbers have no holes.
//!
//! Owns the envelope, and the position in a user's stream: each durable event must be the one after the last
//! (docs/protocol.md, "Resume"). Never decides what an event means.

use std::time::Instant;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::Socket;
use crate::accounts::{Account, PATIENCE};
use crate::failure::{Failure, excerpt};
use crate::http::Target;

/// Where the socket is.
const PATH: &str = "/ws";

/// How far a user's stream was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The stream's life.
    pub epoch: String,
    /// The last event that was seen.
    pub seq: i64,
}

/// Whatever the server sends.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// What it is.
    pub t: String,
    /// The request that it answers.
    pub id: Option<String>,
    /// The number of a durable event.
    pub seq: Option<i64>,
    /// Of an `err`.
    pub code: Option<String>,
    /// Of an `err`.
    pub msg: Option<String>,
    /// Everything else.
    #[serde(default)]
    pub d: Data,
}

/// The members of all events that scenarios look at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Data {
    pub user_id: Option<i64>,
    pub epoch: Option<String>,
    pub seq: Option<i64>,
    pub message_id: Option<i64>,
    pub from_user_id: Option<i64>,
    pub to_user_id: Option<i64>,
    pub content: Option<String>,
    pub key: Option<String>,
    pub video_id: Option<i64>,
    pub favorite_count: Option<i64>,
    pub messages: Vec<Message>,
    pub comment: Option<Message>,
    pub video: Option<NewVideo>,
    pub newer: Option<u64>,
}

/// A video that somebody published.
#[derive(Debug, Deserialize)]
pub struct NewVideo {
    pub author_id: i64,
    pub title: String,
}

/// A message of a page of history, or a comment.
#[derive(Debug, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub from_user_id: i64,
    pub content: String,
}

impl Event {
    /// Which request it answers, where that has a number.
    pub fn answers(&self) -> Option<u64> {
        self.id.as_deref()?.parse().ok()
    }

    /// An `err` as an error.
    pub fn ok(self) -> Result<Self, Failure> {
        if self.t != "err" {
            return Ok(self);
        }
        Err(Failure::Refused {
            code: self.code.unwrap_or_default(),
            message: self.msg.unwrap_or_default(),
        })
    }
}

/// A connection that has said hello.
pub struct Session {
    socket: Socket,
    /// How far its user's stream was seen; `None` for a guest.
    pub position: Option<Position>,
}

impl Session {
    /// Opens one, of a guest without an account, and resumes where there is a position.
    pub async fn open(target: &Target, account: Option<&Account>, resume: Option<Position>) -> Result<Self, Failure> {
        let opening = Self::open_patiently(target, account, resume);
        tokio::time::timeout(PATIENCE, opening)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn open_patiently(
        target: &Target,
        account: Option<&Account>,
        resume: Option<Position>,
    ) -> Result<Self, Failure> {
        let mut session = Self {
            socket: Socket::open(target, PATH).await?,
            position: None,
        };
        let mut d = serde_json::json!({"client": "ovation-bench"});
        if let Some(account) = account {
            d["token"] = percent_decode_str(&account.token).decode_utf8_lossy().into();
        }
        if let Some(position) = &resume {
            d["resume"] = serde_json::json!({"epoch": position.epoch, "seq": position.seq});
        }
        let hello = serde_json::json!({"t": "hello", "id": "0", "d": d}).to_string();
        session.socket.send(&hello).await?;
        let (welcome, _) = session.next().await?;
        let welcome = welcome.ok()?;
        if welcome.t != "welcome" || welcome.d.user_id != account.map(|account| account.id) {
            return Err(Failure::Untrue(format!(
                "hello was answered with {:?} for user {:?}",
                welcome.t, welcome.d.user_id
            )));
        }
        if account.is_some() {
            let (Some(epoch), Some(seq)) = (welcome.d.epoch, welcome.d.seq) else {
                return Err(Failure::Untrue("a welcome without a position".to_owned()));
            };
            session.position = Some(match resume {
                Some(seen) if seen.epoch == epoch && seen.seq <= seq => seen,
                Some(seen) => {
                    return Err(Failure::Untrue(format!(
                        "the stream was at event {} and is at {seq}, or lives another life",
                        seen.seq
                    )));
                }
                None => Position { epoch, seq },
            });
        }
        Ok(session)
    }

    /// Sends a request.
    pub async fn send(&mut self, request: &str) -> Result<(), Failure> {
        self.socket.send(request).await
    }

    /// The next text as it came, and when; for events without a number, which are the same for many.
    pub async fn text(&mut self) -> Result<(&str, Instant), Failure> {
        self.socket.receive().await
    }

    /// The next answer or event, and when it came. A durable event is exactly the one after the last.
    pub async fn next(&mut self) -> Result<(Event, Instant), Failure> {
        let (text, at) = self.socket.receive().await?;
        let event = parse(text)?;
        if event.t == "gap" {
            return Err(Failure::Untrue("events are missing: the server says gap".to_owned()));
        }
        if let (Some(seq), Some(position)) = (event.seq, &mut self.position) {
            if seq != position.seq + 1 {
                return Err(Failure::Untrue(format!("event {seq} follows event {}", position.seq)));
            }
            position.seq = seq;
        }
        Ok((event, at))
    }

    /// One request and its answer, outside of the measurement; events before the answer go to `seen`.
    pub async fn ask(
        &mut self,
        request: &str,
        id: u64,
        mut seen: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<Event, Failure> {
        let asked = async {
            self.send(request).await?;
            loop {
                let (event, _) = self.next().await?;
                if event.answers() == Some(id) {
                    return event.ok();
                }
                seen(event)?;
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }
}

/// Reads an envelope.
pub fn parse(text: &str) -> Result<Event, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Shape {
        reason: error.to_string(),
        body: excerpt(text.as_bytes()),
    })
}

/// Whether there is an Ovation socket at all; a server that only refuses this one says so itself.
pub async fn assert_socket(target: &Target) -> Result<(), Failure> {
    match Session::open(target, None, None).await {
        Ok(_) => Ok(()),
        Err(failure @ (Failure::Connect(_) | Failure::Status { status: 429 | 503, .. })) => Err(failure),
        Err(failure) => Err(Failure::NoSocket(failure.to_string())),
    }
}
