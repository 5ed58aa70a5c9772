//! What the handle, the writer and the flusher have in common.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ovation_schema::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Entry;
use crate::counters::Listener;
use crate::hot::Hot;
use crate::overlay::Overlay;

/// Why the last flush did not succeed, for `/readyz` and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushProblem {
    /// No database connection became free.
    Busy,
    /// The database is away, or its answer was lost.
    Unavailable,
    /// Other transactions stood in the way, each time.
    Conflict,
    /// The database refuses the batch itself; if it stays so the culprit is set aside.
    Refused,
    /// No answer within the flush's deadline.
    Late,
    /// The ledger did not do what the flush needs.
    Ledger,
}

impl From<&StoreError> for FlushProblem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(_) => Self::Unavailable,
            StoreError::Conflict(_) => Self::Conflict,
            StoreError::Duplicate | StoreError::Internal(_) => Self::Refused,
        }
    }
}

/// How the flushing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Acknowledged changes that are not in the store.
    pub waiting: usize,
    /// When the oldest of them was acknowledged: milliseconds since the epoch.
    pub oldest_ms: Option<i64>,
    /// The store's mark, as far as known.
    pub mark: i64,
    /// Failed flushes since the last good one.
    pub failures: u64,
    /// Why the last flush failed; none after a good one.
    pub problem: Option<FlushProblem>,
    /// Entries set aside since the start because the store refused them for good.
    pub quarantined: u64,
    /// Changes dropped since the start because their user or video is gone.
    pub dropped: u64,
    /// Times the counting actor stopped and was restarted.
    pub restarts: u64,
}

pub(crate) struct Shared {
    pub(crate) overlay: Overlay,
    pub(crate) mark: AtomicI64,
    pub(crate) failures: AtomicU64,
    pub(crate) problem: Mutex<Option<FlushProblem>>,
    pub(crate) quarantined: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) restarts: AtomicU64,
    /// Raised when what memory knows of pairs may be wrong, because the store did not take what was acknowledged.
    pub(crate) doubts: AtomicU64,
    /// Wakes the flusher before its time.
    pub(crate) enough: Notify,
    /// Makes the flusher look where the mark is.
    pub(crate) suspect: Notify,
    pub(crate) listener: OnceLock<Box<dyn Listener>>,
    hot: Mutex<Hot>,
    began: Instant,
}

impl Shared {
    pub(crate) fn new(overlay: Overlay, mark: i64) -> Self {
        Self {
            overlay,
            mark: AtomicI64::new(mark),
            failures: AtomicU64::new(0),
            problem: Mutex::new(None),
            quarantined: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            enough: Notify::new(),
            suspect: Notify::new(),
            listener: OnceLock::new(),
            hot: Mutex::new(Hot::default()),
            began: Instant::now(),
        }
    }

    pub(crate) fn hot(&self) -> (MutexGuard<'_, Hot>, u64) {
        let second = self.began.elapsed().as_secs();
        (self.hot.lock().unwrap_or_else(PoisonError::into_inner), second)
    }

    pub(crate) fn record_hot(&self, entries: &[Entry]) {
        let (mut hot, second) = self.hot();
        for entry in entries.iter().filter(|entry| entry.like.on) {
            hot.record(entry.like.video, second);
        }
    }

    pub(crate) fn problem(&self) -> MutexGuard<'_, Option<FlushProblem>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        let mark = self.mark.load(Ordering::SeqCst);
        let waiting = self.overlay.waiting_after(mark);
        Status {
            waiting: waiting.entries,
            oldest_ms: waiting.oldest_ms,
            mark,
            failures: self.failures.load(Ordering::Relaxed),
            problem: *self.problem(),
            quarantined: self.quarantined.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }
}

/// Lets one line of log through in ten seconds.
#[derive(Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

    pub(crate) fn may(&mut self) -> bool {
        let may = self.0.is_none_or(|last| last.elapsed() >= Self::PAUSE);
        if may {
            self.0 = Some(Instant::now());
        }
        may
    }
}
