//! The server package: the REST contract, accounts, media and the wiring that starts and stops them.
//!
//! `ARCHITECTURE.md` holds the map. Direction: `api` may use every other room; `auth`, `media` and `net` know nothing of
//! `api`.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod commit;
pub mod config;
pub mod control;
pub mod demo;
pub mod demo_world;
pub mod epoch;
pub mod error;
pub mod identity;
pub mod keeping;
pub mod likes;
pub mod logging;
pub mod media;
pub mod memory;
pub mod net;
pub mod pictures;
pub mod rows;
pub mod seed;
pub mod sending;
pub mod server;
pub mod socket;
pub mod version;
