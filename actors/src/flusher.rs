//! The flusher: brings what the ledger holds past the store's mark into the store, in batches.
//!
//! Owns the knowledge of where the mark stands, when to try and when to wait, what to do when the mark stands elsewhere,
//! and which entry to set aside when the store refuses a batch for good. A task of its own beside the counting actor. It
//! keeps no changes: they are in the overlay, by position, until they are forgotten a while after their commit.

mod batch;
mod mark;
mod trouble;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ovation_schema::likes::Flushed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::counters::fatal::{Fatal, Guard};
use crate::counters::ledger_thread::LedgerThread;
use crate::counters::like_store::LikeStore;
use crate::counters::shared::{FlushProblem, Seldom, Shared};
use crate::counters::{FlushError, Settings};

/// Asks for everything that waits to be flushed, and hears what came of it.
pub(crate) type FlushRequest = oneshot::Sender<Result<(), FlushError>>;

pub(crate) struct Flusher<S> {
    store: Arc<S>,
    ledger: LedgerThread,
    ledger_id: Arc<str>,
    shared: Arc<Shared>,
    settings: Settings,
    fatal: Fatal,
    /// The store's mark, as far as known.
    mark: i64,
    /// Entries in the next batch: `flush_max`, less while a culprit is sought.
    size: usize,
    /// Flushes in a row that the store refused, while a culprit is sought.
    refusals: u32,
    failures: u32,
    /// The position of the entry that is in quarantine and not passed yet.
    set_aside: Option<i64>,
    /// No flush before this, after a failure.
    not_before: Option<Instant>,
    /// Commits whose changes are still in memory: when, and up to which position.
    committed: VecDeque<(Instant, i64)>,
    next_trim: Instant,
    log: Seldom,
    _guard: Guard,
}

/// Why draining stopped early.
enum Halt {
    /// Nothing can be done at the moment.
    Later(FlushProblem),
    /// The process has been told to end.
    Fatal,
}

impl<S: LikeStore> Flusher<S> {
    pub(crate) fn new(
        store: Arc<S>,
        ledger: LedgerThread,
        ledger_id: Arc<str>,
        shared: Arc<Shared>,
        settings: Settings,
        fatal: Fatal,
    ) -> Self {
        Self {
            store,
            ledger,
            ledger_id,
            mark: shared.mark.load(Ordering::SeqCst),
            shared,
            size: settings.flush_max,
            settings,
            refusals: 0,
            failures: 0,
            set_aside: None,
            not_before: None,
            committed: VecDeque::new(),
            next_trim: Instant::now(),
            log: Seldom::default(),
            _guard: fatal.guard("the flusher"),
            fatal,
        }
    }

    /// Works until nobody can send requests any more.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<FlushRequest>) {
        let shared = Arc::clone(&self.shared);
        let mut tick = Instant::now() + self.settings.flush_interval;
        loop {
            self.forget();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(reply) => {
                        let flushed = self.flush_now().await;
                        // Whoever asked may have stopped waiting.
                        let _ = reply.send(flushed);
                    }
                    None => return self.fatal.silence(),
                },
                () = shared.suspect.notified() => self.find_mark().await,
                () = shared.enough.notified(), if self.not_before.is_none() => self.flush_full().await,
                () = tokio::time::sleep_until(self.wake_at(tick)) => {
                    if Instant::now() >= self.not_before.unwrap_or(tick) {
                        tick = Instant::now() + self.settings.flush_interval;
                        self.flush_waiting().await;
                    }
                }
            }
        }
    }

    fn wake_at(&self, tick: Instant) -> Instant {
        let flush = self.not_before.unwrap_or(tick);
        match self.committed.front() {
            Some((when, _)) => flush.min(*when + self.settings.keep),
            None => flush,
        }
    }

    /// Whole batches only: the rest waits for the tick.
    async fn flush_full(&mut self) {
        while self.shared.overlay.waiting_after(self.mark).entries >= self.settings.flush_max {
            if self.step().await.is_err() {
                return;
            }
        }
    }

    async fn flush_waiting(&mut self) {
        let target = self.shared.overlay.last();
        if self.mark >= target {
            return self.find_mark().await;
        }
        while self.mark < target {
            if self.step().await.is_err() {
                return;
            }
        }
    }

    /// Flushes what waits at this moment, also while backing off.
    async fn flush_now(&mut self) -> Result<(), FlushError> {
        let target = self.shared.overlay.last();
        self.find_mark().await;
        while self.mark < target {
            match self.step().await {
                Ok(()) => {}
                Err(Halt::Fatal) => return Err(FlushError::Stopped),
                Err(Halt::Later(problem)) => {
                    let waiting = self.shared.overlay.waiting_after(self.mark).entries;
                    return Err(FlushError::Waiting { waiting, problem });
                }
            }
        }
        // Whoever looks into the ledger next, after a stop perhaps, sees what the store has.
        self.tell_ledger().await;
        Ok(())
    }

    /// One batch.
    async fn step(&mut self) -> Result<(), Halt> {
        let Some(batch) = self.next_batch() else {
            return self.end("memory lacks likes that are past the store's mark".into());
        };
        let (last, entries) = (batch.last, batch.wishes.len());
        match tokio::time::timeout(self.settings.flush_deadline, self.store.flush(batch)).await {
            Ok(Ok(Flushed::Applied { dropped, events })) => {
                self.dropped(dropped);
                if let Some(listener) = self.shared.listener.get() {
                    listener.told(&events);
                }
                self.moved(last).await;
                Ok(())
            }
            Ok(Ok(Flushed::Misplaced(mark))) => self.misplaced(mark).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, entries, "a flush failed");
                self.doubt();
                self.failed(FlushProblem::from(&error)).await
            }
            Err(_) => {
                self.doubt();
                self.failed(FlushProblem::Late).await
            }
        }
    }

    /// It may have been committed all the same, its events untold.
    fn doubt(&self) {
        if let Some(listener) = self.shared.listener.get() {
            listener.doubt();
        }
    }

    /// The store has everything up to `position`.
    async fn moved(&mut self, position: i64) {
        if self.failures > 0 {
            tracing::info!(position, failures = self.failures, "flushing likes works again");
        }
        self.set_mark(position);
        self.committed.push_back((Instant::now(), position));
        self.recover();
        self.forget();
        self.trim().await;
    }

    fn set_mark(&mut self, position: i64) {
        self.mark = position;
        self.shared.mark.store(position, Ordering::SeqCst);
    }

    fn dropped(&mut self, dropped: usize) {
        if dropped > 0 {
            tracing::warn!(dropped, "likes of users or videos that are gone were dropped");
            self.shared.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            self.shared.doubts.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Forgets what was committed long enough ago.
    fn forget(&mut self) {
        let keep = self.settings.keep;
        while let Some((_, position)) = self.committed.pop_front_if(|(when, _)| when.elapsed() >= keep) {
            self.shared.overlay.forget_through(position);
        }
    }

    async fn trim(&mut self) {
        let now = Instant::now();
        if now < self.next_trim {
            return;
        }
        self.next_trim = now + self.settings.trim_interval;
        self.tell_ledger().await;
    }

    /// Tells the ledger how far the store has got, and has it remove what is past its time: a bounded part at a time,
    /// with the appends that wait in between, until there is none left.
    async fn tell_ledger(&mut self) {
        let flushed = self.mark;
        loop {
            let trimmed = self
                .ledger
                .run(move |ledger| ledger.trim(flushed, ovation_schema::now_ms()))
                .await;
            match trimmed {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    if self.log.may() {
                        tracing::warn!(%error, "the ledger can't be trimmed");
                    }
                    return;
                }
            }
        }
    }
}

/// 200 ms, doubled with each failure up to 30 s; a random half of it is waited, so that several servers spread.
fn back_off(failures: u32) -> Duration {
    const FIRST_MS: u64 = 200;
    const LONGEST_MS: u64 = 30_000;
    let full = FIRST_MS
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_MS);
    Duration::from_millis(rand::random_range(full / 2..=full))
}
