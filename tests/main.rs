//! The stories: what people do with Ovation, told over real HTTP against the production wiring.
//!
//! One binary, so that linking happens once. `harness` holds the servers, the personas and the strict reading of
//! answers; `stories` one file a noun. Every story is a plain blocking function that runs once on SQLite and once on
//! MariaDB, each time with a fresh data folder and a fresh database. Never talks to a server it did not start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets something unexpected has failed, and says where"
)]
#![allow(clippy::missing_panics_doc, reason = "assertions are what all of this is for")]

mod harness;
mod stories;
