//! What one connection may do and for how long; announced in `welcome` by the server.

use std::time::Duration;

use crate::outbox::OutboxLimits;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, its fragments together. More is 1009.
    pub message_bytes: usize,
    /// Operations a second, as a mean; twice as many may come at once. More is 3013.
    pub operations_per_second: u32,
    /// Operations that wait for the one before. More are refused with `try_later`.
    pub queued_operations: usize,
    /// Bytes of those. One waits whatever its size.
    pub queued_bytes: usize,
    /// What may wait to be sent.
    pub outbox: OutboxLimits,
    /// From the handshake to `hello`.
    pub hello: Duration,
    /// Between two pings.
    pub heartbeat: Duration,
    /// Without a byte from the client. Then 3012.
    pub silent: Duration,
    /// For how long the client may take nothing of what waits. Then 3008.
    pub stall: Duration,
    /// From asking a connection to end to ending it from outside.
    pub hangup: Duration,
    /// From a close frame to the end of the TCP stream.
    pub close: Duration,
}

impl Limits {
    /// The bound of the conformance endpoint's messages: the largest of section 9 of the Autobahn test suite.
    pub const ECHO_MESSAGE_BYTES: usize = 16 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 32 << 10,
            operations_per_second: 50,
            queued_operations: 128,
            queued_bytes: 256 << 10,
            outbox: OutboxLimits {
                frames: 256,
                bytes: 256 << 10,
            },
            hello: Duration::from_secs(5),
            heartbeat: Duration::from_secs(25),
            silent: Duration::from_mins(1),
            stall: Duration::from_secs(10),
            hangup: Duration::from_secs(3),
            close: Duration::from_secs(5),
        }
    }
}
