//! Ovation's store: tables, migrations and every query, written once for SQLite and MySQL.
//!
//! Knows neither actix nor HTTP nor Redis. `store` is the door, `backend` what must differ between the two, `tables` the
//! columns; then one file a noun with its rows and its queries. A query is a plain function of a connection, so that a
//! caller puts as many as belong together into one [`Store::read`] or [`Store::write`].
//!
//! Locks are taken in one order everywhere: the mark, users, clocks, videos, pairs, conversations, streams; ascending within
//! each.

mod backend;
pub mod bulk;
mod change;
mod claim;
mod clocks;
pub mod comments;
mod error;
pub mod events;
pub mod favorites;
pub mod follows;
mod id_source;
mod ids;
pub mod likes;
pub mod mark;
pub mod messages;
pub mod migrate;
mod mysql;
mod pool;
mod store;
pub mod streams;
mod tables;
mod text;
pub mod users;
pub mod verify;
pub mod videos;
mod writer;

pub use backend::DbConnection;
pub use change::Change;
pub use claim::Claim;
pub use error::StoreError;
pub use id_source::{Kind, reserve};
pub use ids::{CommentId, MessageId, UserId, VideoId};
pub use mysql::is_usable_address;
pub use store::{Database, Options, Store};

/// The wall clock in integer milliseconds since the epoch: the unit of every time in the store.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Opens one connection outside any pool, for commands. Blocks.
pub fn connect(options: &Options) -> Result<DbConnection, StoreError> {
    pool::connect(options, backend::Role::Admin)
}
