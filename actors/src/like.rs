//! One change of one like, as it travels.

use ovation_schema::{UserId, VideoId};

/// A change of whether a user likes a video, about to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Like {
    /// Who.
    pub user: UserId,
    /// What.
    pub video: VideoId,
    /// Whose video it is.
    pub author: UserId,
    /// Liked from now on, or not any more.
    pub on: bool,
    /// The state before; none where it could not be looked up, so that this is only a wish: the flush finds out whether
    /// it changes anything.
    pub was: Option<bool>,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
}

impl Like {
    /// What it adds to the counts, as far as that is known: 1, -1 or 0.
    pub fn difference(&self) -> i64 {
        match (self.was.unwrap_or(!self.on), self.on) {
            (false, true) => 1,
            (true, false) => -1,
            _ => 0,
        }
    }
}

/// A recorded change with its place in the ledger. Positions are positive and never repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its place.
    pub position: i64,
    /// The change.
    pub like: Like,
}
