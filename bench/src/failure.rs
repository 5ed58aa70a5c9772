//! What can be wrong with an answer, by kind.
//!
//! Owns the kinds under which errors are counted and which of them say that the server told an untruth. Never decides
//! whether a run failed: `outcome` does.

use std::io;

/// Bytes of a body that are kept to show a person what came.
const EXCERPT: usize = 300;

/// One operation that did not do what the contract says.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("can't connect: {0}")]
    Connect(io::Error),
    /// The connection ended before the answer did.
    #[error("the connection broke: {0}")]
    Closed(io::Error),
    /// No answer within the time that a single question may take.
    #[error("no answer in time")]
    Timeout,
    /// Not HTTP, or beyond the bounds of this client.
    #[error("not an HTTP answer: {0}")]
    Protocol(String),
    /// An HTTP status other than 200.
    #[error("HTTP status {status}: {body}")]
    Status {
        /// The status.
        status: u16,
        /// How the body begins.
        body: String,
    },
    /// The envelope says that it failed.
    #[error("status_code {code}: {message}")]
    Code {
        /// `status_code`.
        code: i64,
        /// `status_msg`.
        message: String,
    },
    /// A request over the socket was answered with an error.
    #[error("refused with {code}: {message}")]
    Refused {
        /// The word for programs.
        code: String,
        /// The sentence for people.
        message: String,
    },
    /// The target does not speak the socket protocol.
    #[error("this target has no Ovation socket: {0}")]
    NoSocket(String),
    /// The body is no JSON of the contract's shape.
    #[error("a malformed body ({reason}): {body}")]
    Shape {
        /// What is wrong with it.
        reason: String,
        /// How the body begins.
        body: String,
    },
    /// The shape is right and what it says is not.
    #[error("an untrue answer: {0}")]
    Untrue(String),
}

impl Failure {
    /// The name under which it is counted.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Closed(_) => "closed",
            Self::Timeout => "timeout",
            Self::Protocol(_) => "protocol",
            Self::Status { .. } => "http-status",
            Self::Code { .. } => "status-code",
            Self::Refused { .. } => "refused",
            Self::NoSocket(_) => "no-socket",
            Self::Shape { .. } => "shape",
            Self::Untrue(_) => "untrue",
        }
    }

    /// Whether the connection can't be used any more, so that whoever goes on should take a breath first.
    pub const fn breaks_connection(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Closed(_) | Self::Timeout | Self::Protocol(_)
        )
    }

    /// A body of the wrong shape.
    pub fn shape(reason: &impl ToString, body: &[u8]) -> Self {
        Self::Shape {
            reason: reason.to_string(),
            body: excerpt(body),
        }
    }
}

/// How a body begins, as text.
pub fn excerpt(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT)]).into_owned();
    if body.len() > EXCERPT {
        text.push('…');
    }
    text
}
