//! What stands between the socket and the handlers: deadlines, request ids, the access log and the panic guard.
//!
//! Owns how long a peer may take and what is recorded about a request. Never knows an endpoint, a user or a database.

pub mod body;

pub use body::{BodyDeadline, BodyLimits, body_error};
