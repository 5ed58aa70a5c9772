//! What stands between the socket and the handlers: deadlines, request ids, the access log and the panic guard.
//!
//! Owns how long a peer may take and what is recorded about a request. Never knows an endpoint, a user or a database.
//!
//! The wiring:
//!
//! ```ignore
//! let limits = ConnectionLimits::default();
//! HttpServer::new(|| {
//!     App::new().wrap(from_fn(track_requests))
//! })
//! .on_connect(on_connect(limits))
//! .keep_alive(limits.keep_alive)
//! .client_request_timeout(limits.head)
//! .client_disconnect_timeout(limits.head) // so that a client still uploading gets to read its refusal
//! ```

pub mod body;
mod connection;
mod panic_guard;
mod request_log;
mod sweeper;
mod track;

pub use body::{BodyDeadline, BodyLimits, body_error, declared_length};
pub use connection::{ConnectionLimits, hangup, on_connect, prepare_for_pushes};
pub use panic_guard::install_panic_hook;
pub use request_log::{ACCESS_TARGET, RequestId};
pub use track::track_requests;

#[cfg(test)]
mod tests;
