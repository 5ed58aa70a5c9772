//! Every setting of the server, in one place.
//!
//! Owns names, defaults, bounds and where a value came from (defaults < TOML file < environment < flags). Never reads
//! a setting after start: what runs is what was checked.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `serve` runs with, after all sources are merged and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where HTTP listens. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder that holds the SQLite store, media, keys and spools. Default `./data`.
    pub data_dir: PathBuf,
    /// `mysql://…`; none means SQLite in the data folder. A secret: it may hold a password.
    pub database_url: Option<String>,
    /// The base of absolute media URLs, without a trailing slash; none means `http://` and the request's `Host`.
    pub public_url: Option<String>,
}
