//! After a flush that failed: wait, or look for the entry that is to blame.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Flusher, Halt, back_off};
use crate::counters::like_store::LikeStore;
use crate::counters::shared::FlushProblem;

/// Refusals in a row after which the batch itself is suspected.
const PATIENCE: u32 = 3;

impl<S: LikeStore> Flusher<S> {
    /// Remembers a failure, and says whether to go on at once (with a smaller batch) or later.
    pub(super) async fn failed(&mut self, problem: FlushProblem) -> Result<(), Halt> {
        self.failures = self.failures.saturating_add(1);
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        *self.shared.problem() = Some(problem);
        if self.log.may() {
            let waiting = self.shared.overlay.waiting_after(self.mark).entries;
            tracing::warn!(?problem, waiting, failures = self.failures, "likes can't be flushed");
        }
        if problem == FlushProblem::Refused {
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals >= PATIENCE && self.store_works().await {
                return self.suspect_batch().await;
            }
        } else if self.size == self.settings.flush_max {
            self.refusals = 0;
        }
        self.wait_a_while(problem)
    }

    fn wait_a_while(&mut self, problem: FlushProblem) -> Result<(), Halt> {
        self.not_before = Some(Instant::now() + back_off(self.failures));
        Err(Halt::Later(problem))
    }

    async fn store_works(&self) -> bool {
        let mark = tokio::time::timeout(self.settings.look_up_deadline, self.store.mark()).await;
        matches!(mark, Ok(Ok(Some(mark))) if mark.position == self.mark)
    }

    /// Halves the batch; an entry alone is set aside.
    async fn suspect_batch(&mut self) -> Result<(), Halt> {
        let entries = self.shared.overlay.entries_after(self.mark, self.size);
        match entries.as_slice() {
            [] => self.wait_a_while(FlushProblem::Refused),
            [entry] if self.set_aside == Some(entry.position) => {
                // Even without its wish the mark can't move: no entry is to blame, and none more is set aside.
                self.wait_a_while(FlushProblem::Refused)
            }
            [entry] => self.set_aside(*entry).await,
            more => {
                self.size = more.len() / 2;
                Ok(())
            }
        }
    }

    async fn set_aside(&mut self, entry: crate::Entry) -> Result<(), Halt> {
        let quarantined = self
            .ledger
            .run(move |ledger| ledger.quarantine(&[entry], "the database refuses it, alone and again"))
            .await;
        if quarantined.is_err() {
            return self.wait_a_while(FlushProblem::Ledger);
        }
        tracing::error!(
            position = entry.position,
            "the database refuses a like for good; it is in the ledger's quarantine"
        );
        self.set_aside = Some(entry.position);
        self.shared.quarantined.fetch_add(1, Ordering::Relaxed);
        self.shared.doubts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// A flush went well.
    pub(super) fn recover(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.set_aside = None;
        self.shared.failures.store(0, Ordering::Relaxed);
        *self.shared.problem() = None;
        // Grows again, so that several culprits far apart are found without small batches in between. The suspicion
        // lasts until the batches are whole again.
        self.size = (self.size * 2).min(self.settings.flush_max);
        if self.size == self.settings.flush_max {
            self.refusals = 0;
        }
    }
}
