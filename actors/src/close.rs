//! Why a connection is closed: the one table of close codes.
//!
//! 3000–3499: the client reconnects by itself, with back-off and jitter. 3500–3999: it does not. Below 3000 are those of
//! RFC 6455, section 7.4.1, which the protocol layer uses by itself.

use crate::push::{Frame, Opcode};

/// A close code with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// RFC 6455: the purpose is fulfilled; the answer to a client's own close.
    Normal = 1000,
    /// RFC 6455: the client broke the framing.
    Protocol = 1002,
    /// RFC 6455: a binary message where only text is understood.
    Unsupported = 1003,
    /// RFC 6455: text that is not UTF-8.
    InvalidText = 1007,
    /// RFC 6455: a message over the announced limit.
    TooBig = 1009,
    /// The server restarts.
    Restart = 3001,
    /// The store could not be asked who this is; try again.
    Unavailable = 3002,
    /// The client does not read as fast as it is told; it resumes.
    SlowConsumer = 3008,
    /// What was to be sent could not be.
    WriteError = 3009,
    /// No sign of life within the announced time.
    NoPong = 3012,
    /// More operations than announced.
    TooManyRequests = 3013,
    /// The token is invalid or has expired.
    InvalidToken = 3500,
    /// What was sent makes no sense in this protocol, or no hello came in time.
    BadRequest = 3501,
    /// The token was made void.
    Revoked = 3503,
    /// The user has as many connections as may be.
    TooManyConnections = 3504,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The word in the reason.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Protocol => "protocol_error",
            Self::Unsupported => "binary_unsupported",
            Self::InvalidText => "invalid_text",
            Self::TooBig => "message_too_big",
            Self::Restart => "restart",
            Self::Unavailable => "unavailable",
            Self::SlowConsumer => "slow_consumer",
            Self::WriteError => "write_error",
            Self::NoPong => "no_pong",
            Self::TooManyRequests => "too_many_requests",
            Self::InvalidToken => "invalid_token",
            Self::BadRequest => "bad_request",
            Self::Revoked => "token_revoked",
            Self::TooManyConnections => "too_many_connections",
        }
    }
}

/// A close to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub code: CloseCode,
    /// When to come back, in milliseconds, where the server has a wish.
    pub retry_after_ms: Option<u32>,
}

impl From<CloseCode> for Close {
    fn from(code: CloseCode) -> Self {
        Self {
            code,
            retry_after_ms: None,
        }
    }
}

impl Close {
    /// The reason: short JSON, far below the 123 bytes that a close frame has room for.
    pub fn reason(self) -> String {
        let word = self.code.word();
        match self.retry_after_ms {
            Some(ms) => format!(r#"{{"reason":"{word}","retry_after":{}.{:03}}}"#, ms / 1000, ms % 1000),
            None => format!(r#"{{"reason":"{word}"}}"#),
        }
    }

    /// The frame that says so.
    pub fn frame(self) -> Frame {
        let mut payload = self.code.number().to_be_bytes().to_vec();
        payload.extend(self.reason().bytes());
        Frame::new(Opcode::Close, &payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_a_control_frame() {
        let longest = Close {
            code: CloseCode::TooManyConnections,
            retry_after_ms: Some(u32::MAX),
        };
        assert!(longest.reason().len() <= 123);
        assert_eq!(
            longest.reason(),
            r#"{"reason":"too_many_connections","retry_after":4294967.295}"#
        );
        assert_eq!(longest.frame().bytes()[..4], [0x88, 61, 0x0D, 0xB0]);
    }
}
