//! The counters: the single writer of every like, with the ledger's thread and the flusher beside it.
//!
//! Owns the way of a like from the call to its acknowledgement. Callers see [`Counters`], never an address. The actor runs
//! under actix's supervisor on a thread of its own; one that stops is restarted from the ledger, one that panics ends the
//! process. Reads never pass here: they ask the overlay.

pub(crate) mod fatal;
mod group;
mod inbox;
pub(crate) mod ledger_thread;
pub(crate) mod like_store;
mod listener;
mod recent;
mod settings;
pub(crate) mod shared;
mod start;
#[cfg(test)]
#[expect(clippy::cast_possible_wrap, reason = "a handful of users and videos")]
mod tests;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Recipient;
use actix::prelude::SendError;
use ovation_schema::{UserId, VideoId};
use tokio::sync::{Semaphore, TryAcquireError, mpsc, oneshot, watch};

pub use like_store::LikeStore;
pub use listener::Listener;
pub use settings::Settings;
pub use shared::{FlushProblem, Status};
pub use start::StartError;

use crate::flusher::FlushRequest;
use crate::overlay::Overlay;
use fatal::Fatal;
use group::Ask;
use inbox::{Inbox, Wake};
use ledger_thread::LedgerThread;
use shared::Shared;

/// What became of a like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The pair is as asked from now on; durable.
    Changed,
    /// The pair was so already.
    Unchanged,
    /// No such video.
    UnknownVideo,
}

/// Why a like was not acknowledged. It is not recorded, or its caller can't know: asking again does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CountersError {
    /// As many wait as may, or the ledger is full.
    #[error("too many likes are waiting")]
    Busy,
    /// The store or the disk is away and memory does not know enough.
    #[error("likes can't be taken at the moment")]
    Unavailable,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

/// Why not everything is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The store did not take it. Nothing is lost: the ledger has it.
    #[error("{waiting} likes wait for the database: {problem:?}")]
    Waiting {
        /// How many.
        waiting: usize,
        /// Why.
        problem: FlushProblem,
    },
    /// Not within the time allowed. Nothing is lost.
    #[error("the flush did not end in time")]
    Late,
    /// The counters have ended.
    #[error("the counters have ended")]
    Stopped,
}

/// A handle to the counters; clones share it. When the last one is dropped everything ends, without a flush.
#[derive(Clone)]
pub struct Counters(Arc<Inner>);

struct Inner {
    inbox: Inbox,
    writer: Recipient<Wake>,
    places: Arc<Semaphore>,
    places_max: usize,
    flush: mpsc::Sender<FlushRequest>,
    shared: Arc<Shared>,
    fatal: Fatal,
    ledger: Mutex<Option<LedgerThread>>,
    /// Ends the thread when it says so or is dropped.
    end: watch::Sender<bool>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for Inner {
    /// What ends because nobody holds a handle any more, ends as it should.
    fn drop(&mut self) {
        self.fatal.silence();
    }
}

impl Counters {
    /// Sets whether `user`, who must exist, likes `video`. Durable when this returns `Changed`. A caller that goes away
    /// may or may not have changed it.
    pub async fn set_favorite(&self, user: UserId, video: VideoId, on: bool) -> Result<Outcome, CountersError> {
        let place = Arc::clone(&self.0.places)
            .try_acquire_owned()
            .map_err(|error| match error {
                TryAcquireError::NoPermits => CountersError::Busy,
                TryAcquireError::Closed => CountersError::Stopped,
            })?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            user,
            video,
            on,
            reply,
            place,
        };
        // A mailbox that is full has one of these to come.
        let known = || self.overlay().view().pair(user, video).is_some();
        if self.0.inbox.put(ask, known)? && matches!(self.0.writer.try_send(Wake), Err(SendError::Closed(_))) {
            self.0.inbox.close();
        }
        // No answer: the actor stopped meanwhile, and nobody knows how far the like had come.
        answer.await.unwrap_or(Err(CountersError::Unavailable))
    }

    /// What reads are brought up to date with.
    pub fn overlay(&self) -> &Overlay {
        &self.0.shared.overlay
    }

    /// How the flushing goes.
    pub fn status(&self) -> Status {
        self.0.shared.status()
    }

    /// The `n` videos with the most likes in the last minute, the most liked first. Rare ones may be missing.
    pub fn hot(&self, n: usize) -> Vec<(VideoId, u64)> {
        let (mut hot, second) = self.0.shared.hot();
        hot.top(n, second)
    }

    /// Flushes everything that was acknowledged before, or says why not.
    pub async fn flush_now(&self) -> Result<(), FlushError> {
        let (reply, answer) = oneshot::channel();
        self.0.flush.send(reply).await.map_err(|_| FlushError::Stopped)?;
        answer.await.unwrap_or(Err(FlushError::Stopped))
    }

    /// Tells `listener` of what happens from now on; the first one stays.
    pub fn listen(&self, listener: impl Listener) {
        let _ = self.0.shared.listener.set(Box::new(listener));
    }

    /// Has the flusher look where the store's mark is, because a read found it older than memory reaches.
    pub fn suspect_mark(&self) {
        self.0.shared.suspect.notify_one();
    }

    /// Takes no more likes, answers those that wait, flushes within `patience` if the store lets it, and ends with the
    /// ledger closed. An error says what waits for the next start; nothing is lost.
    pub async fn stop(&self, patience: Duration) -> Result<(), FlushError> {
        let work = async {
            let all = u32::try_from(self.0.places_max).unwrap_or(u32::MAX);
            // Held by those that wait for an answer; whoever comes later is told to come again.
            let places = self.0.places.acquire_many(all).await;
            self.0.places.close();
            drop(places);
            self.flush_now().await
        };
        let flushed = tokio::time::timeout(patience, work)
            .await
            .unwrap_or(Err(FlushError::Late));
        self.0.places.close();
        self.0.fatal.silence();
        self.0.end.send_replace(true);
        let (thread, ledger) = (take(&self.0.thread), take(&self.0.ledger));
        let joined = tokio::task::spawn_blocking(move || {
            let ended = thread.is_none_or(|thread| thread.join().is_ok());
            if let Some(ledger) = ledger {
                ledger.join();
            }
            ended
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("the counters' thread panicked while it ended");
        }
        flushed
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}
