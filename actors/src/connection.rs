//! One connection: everything between a client's WebSocket and the server behind it.
//!
//! ```text
//! transport ──bytes──▶ codec, message ──messages──▶ state ──questions──▶ Operator
//!     ▲                                              │                     │ pages
//!     └──writes── outgoing ◀──frames── driver ◀──────┴── stream ◀──────────┘
//!                                        ▲                  ▲
//!                  keeper ──pings, ends──┴─── Outbox ───────┘ ◀── sessions, rooms, feed
//! ```
//!
//! Owns RFC 6455, the order of a connection's operations and events, and its end. Never knows what an operation means,
//! nor who else is connected.

mod codec;
mod driver;
mod handshake;
mod keeper;
mod limits;
mod message;
mod outgoing;
mod protocol;
mod rate;
mod request;
mod sockets;
mod state;
mod stream;
mod transport;

pub use codec::{Decoder, Violation};
pub use handshake::{HandshakeError, SUBPROTOCOL};
pub use limits::Limits;
pub use message::Message;
pub use sockets::{Refused, SocketLimits, SocketStatus, SocketTicket, Sockets};
pub use transport::{EchoSetup, Setup, upgrade, upgrade_echo};
