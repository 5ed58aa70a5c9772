//! The handles that a request may need, built in one place and cheap to clone.
//!
//! Owns nothing but references; `server` builds it and takes it apart. There are no globals beside it.

use std::sync::Arc;

use ovation_actors::connection::{Limits, Sockets};
use ovation_actors::counters::Counters;
use ovation_actors::hub::Hub;
use ovation_schema::Store;
use tokio::sync::{Semaphore, watch};

use crate::auth::{Confirmed, PasswordHasher, Tokens, Versions};
use crate::config::Config;
use crate::media::Media;
use crate::rows::Rows;
use crate::sending::Sending;

/// Everything a handler may use.
#[derive(Clone)]
pub struct App(Arc<Handles>);

/// What is behind an [`App`].
pub struct Handles {
    /// The settings the server runs with.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The likes: every change of one, and what reads lay over their rows.
    pub counters: Counters,
    /// Who is online, and how to reach them.
    pub hub: Hub,
    /// How many sockets there are, and the way to end them all.
    pub sockets: Sockets,
    /// What one socket may do; shared by all of them.
    pub connection_limits: Arc<Limits>,
    /// Tokens that the database has confirmed a moment ago.
    pub confirmed: Confirmed,
    /// Looks users' token versions up in groups.
    pub versions: Versions,
    /// Messages on their way into the store.
    pub sending: Sending,
    /// What is hot, so that reading it needs no database.
    pub rows: Rows,
    /// Issues and checks tokens.
    pub tokens: Tokens,
    /// Hashes passwords on threads of its own.
    pub passwords: PasswordHasher,
    /// Uploads, videos and covers.
    pub media: Media,
    /// How many long lists may stream at once.
    pub list_streams: Arc<Semaphore>,
    /// Set once the server has begun to stop.
    pub draining: Arc<std::sync::atomic::AtomicBool>,
    /// True once the server has begun to stop, for those that wait for something else.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// Bundles the handles.
    pub fn new(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl std::ops::Deref for App {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}
