//! Ovation's actors, and who talks to whom.
//!
//! ```text
//! api ──set_favorite──▶ counters ──append──▶ ledger (its own file, its own thread)
//!                          │  │ └──▶ overlay ◀──reads── api (every count and every is_favorite), rooms
//!                          │  └──liked──▶ hub
//!                          ▼
//!                       flusher ──one transaction a batch──▶ store
//!
//! api ──verbs──▶ hub ─┬─▶ session    one a user who is online: events, typing
//!                     ├─▶ room       one a watched video: counts (store and overlay), comments, viewers
//!                     ├─▶ presence   one, while somebody watches friends: looks who has a session
//!                     └─▶ feed       one, while somebody looks: asks the store who of them follows an author
//! session, room, presence, feed ──frames──▶ outbox (one a connection, bounded) ──▶ connection ──▶ client
//! client ──▶ connection ──operator──▶ api
//! ```
//!
//! `counters` is the single writer of every like. It answers when the ledger has the change on disk. The flusher brings
//! changes to the store in batches; until then, and a while longer, the overlay adds them to whatever is read.
//!
//! Behind the `hub` an actor is there while somebody has a seat at it: the first seat starts it on the thread it was taken
//! on, the last one given up ends it. None of them waits for another, and putting
//! a frame into an outbox never waits. What must not be lost (an event's `seq`, "likes changed", the
//! number of publishes) is a number or a flag beside the mailbox, so a full mailbox loses nothing but the short way.

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
