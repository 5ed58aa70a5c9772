//! What a connection asks of the server behind it.
//!
//! Owns the seam between the socket (framing, order, bounds; in `connection`) and what operations mean (in the server's
//! package, which knows tokens and shares its acts with the REST endpoints). One operator serves one connection; dropping
//! it undoes whatever the connection had joined.

use std::borrow::Cow;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use ovation_schema::UserId;
use ovation_schema::streams::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::close::Close;

/// The first request's `d`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Hello {
    /// The token; a guest has none.
    pub token: Option<String>,
    /// What the client calls itself; for logs.
    pub client: Option<String>,
    /// Where its stream goes on.
    pub resume: Option<Resume>,
}

/// The last event a client has seen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resume {
    /// The life of the stream it saw.
    pub epoch: String,
    /// Its `seq`; 0 for none.
    pub seq: i64,
}

/// What a connection is after a good hello.
#[derive(Debug)]
pub struct Greeting {
    /// The whole `d` of `welcome`, as JSON.
    pub welcome: String,
    /// The user, with where their stream goes on; none for a guest.
    pub member: Option<Member>,
}

/// A user's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The `seq` that is sent next.
    pub next: i64,
    /// What comes between `welcome` and live.
    pub start: Start,
    /// When the token ends: seconds since the epoch.
    pub expires_at: i64,
}

/// What comes between `welcome` and live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Live,
    /// The events before this `seq`, then `synced`.
    Replay {
        /// The first one that is live.
        until: i64,
    },
    /// `gap` with these; the client fetches its lists again.
    Gap {
        /// The oldest event that is kept.
        oldest: i64,
        /// The newest one; what comes is newer.
        newest: i64,
    },
}

/// One request of a client, past its hello.
#[derive(Debug)]
pub struct Request {
    /// The operation's name.
    pub t: String,
    /// Its parameters; an empty object when absent.
    pub d: Box<RawValue>,
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// One word for programs.
    pub code: RefusalCode,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// When to try again, in seconds.
    pub retry_after: Option<f64>,
}

/// The words in `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The operation or its parameters make no sense.
    BadRequest,
    /// Guests may not.
    Unauthorized,
    /// This user may not.
    Forbidden,
    /// What an id names does not exist.
    NotFound,
    /// The key was used for another message.
    KeyConflict,
    /// More of something than announced.
    LimitExceeded,
    /// Not now. The same request may be sent again, a message with the same key: where a commit's answer was lost it may
    /// have been done.
    TryLater,
    /// The server's fault.
    Internal,
}

/// Why a hello was refused: the connection sends `err`, then closes.
#[derive(Debug, Clone, PartialEq)]
pub struct Denied {
    /// What stands in the `err`.
    pub refusal: Refusal,
    /// How the connection ends.
    pub close: Close,
}

/// The server behind one connection; shared with what it is asked for, which may outlive the question.
pub trait Operator: 'static {
    /// Who is it, and where does their stream go on? Registers the connection before it reads the stream's position, so
    /// that nothing falls between.
    fn greet(self: Rc<Self>, hello: Hello) -> LocalBoxFuture<'static, Result<Greeting, Denied>>;

    /// The events of `user` from `next` on, ascending, at most one page; empty where there is none.
    fn page(self: Rc<Self>, user: UserId, next: i64) -> LocalBoxFuture<'static, Result<Vec<Event>, Refusal>>;

    /// Does what a request asks; the `d` of its `ack`, as JSON. Called for one request at a time, in the order received.
    fn call(self: Rc<Self>, request: Request) -> LocalBoxFuture<'static, Result<String, Refusal>>;
}
