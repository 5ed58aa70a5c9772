//! Ovation's actors, and who talks to whom.
//!
//! ```text
//! api ──set_favorite──▶ counters ──append──▶ ledger (its own file, its own thread)
//!                          │  └──▶ overlay ◀──reads── api (every count and every is_favorite)
//!                          ▼
//!                       flusher ──one transaction a batch──▶ store
//! ```
//!
//! `counters` is the single writer of every like. It answers when the ledger has the change on disk. The flusher brings
//! changes to the store in batches; until then, and a while longer, the overlay adds them to whatever is read.

pub mod close;
pub mod connection;
pub mod counters;
mod feed;
mod flusher;
pub mod hot;
pub mod hub;
pub mod ledger;
mod like;
pub mod operator;
pub mod outbox;
pub mod overlay;
mod presence;
pub mod push;
mod room;
mod session;

pub use counters::Counters;
pub use like::{Entry, Like};
pub use overlay::Overlay;
