//! The store against its two databases: plans, storms, faults. MariaDB is a private one; without it these tests fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod batches;
mod faults;
mod mariadb;
mod plans;
mod sqlite;
mod storms;
mod streams;
mod world;
