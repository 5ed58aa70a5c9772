//! What a write is about to change.
//!
//! Owns the span in which what it changes is not kept: from before the write begins until its outcome is known. Never
//! writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ovation_schema::{StoreError, UserId, VideoId};

use super::Rows;
use crate::error::ApiError;

#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    User(UserId),
    Video(VideoId),
    /// Whom a user follows.
    Follows(UserId),
    Timeline,
}

/// What a write is about to change; give it the write with [`Self::during`].
#[must_use = "the write itself goes into `during`"]
pub struct Touch {
    keys: Option<Arc<Keys>>,
    linger: Duration,
}

/// What the transaction itself holds of a [`Touch`]: until its closure is dropped nothing it changes is kept, however long
/// ago its caller has given up. A deadline bounds what a caller waits for, not the wait for a lock or a second try.
pub struct Hold(#[expect(dead_code, reason = "held, not used")] Arc<Keys>);

/// Held while the change may still happen.
struct Keys {
    rows: Rows,
    changing: Vec<Key>,
    ended: AtomicBool,
}

/// An error after which the change may have happened, or may happen yet.
pub trait Unsure {
    /// Whether it is one.
    fn is_unsure(&self) -> bool;
}

impl Unsure for StoreError {
    fn is_unsure(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Internal(_))
    }
}

impl Unsure for ApiError {
    fn is_unsure(&self) -> bool {
        matches!(self, Self::Unavailable | Self::Internal)
    }
}

impl Touch {
    pub(super) fn new(rows: &Rows, keys: Vec<Key>) -> Self {
        for key in &keys {
            rows.begin(*key);
        }
        Self {
            keys: Some(Arc::new(Keys {
                rows: rows.clone(),
                changing: keys,
                ended: AtomicBool::new(false),
            })),
            linger: rows.linger(),
        }
    }

    /// For the closure that is the transaction: the store drops it when the transaction is over.
    pub fn hold(&self) -> Option<Hold> {
        self.keys.clone().map(Hold)
    }

    /// Runs the write. When this returns a success, every request that begins later sees the change.
    pub async fn during<T, E: Unsure>(mut self, write: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let outcome = write.await;
        if !outcome.as_ref().is_err_and(Unsure::is_unsure)
            && let Some(keys) = self.keys.take()
        {
            // Whoever still holds them has nothing to change any more.
            keys.end();
        }
        outcome
    }
}

impl Drop for Touch {
    /// A caller that went away, or a write whose answer was lost: it may commit for as long as a deadline lets it, or as
    /// long as the transaction holds on, so nothing of it is kept until then.
    fn drop(&mut self) {
        let Some(keys) = self.keys.take() else { return };
        // Outside a runtime the server has ended, and nobody reads any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let linger = self.linger;
            runtime.spawn(async move {
                tokio::time::sleep(linger).await;
                drop(keys);
            });
        }
    }
}

impl Keys {
    fn end(&self) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            for key in &self.changing {
                self.rows.end(*key);
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.end();
    }
}
