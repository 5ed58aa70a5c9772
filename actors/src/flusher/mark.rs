//! The store's mark stands elsewhere than expected.

use ovation_schema::likes::Mark;
use tokio::time::Instant;

use super::{Flusher, Halt};
use crate::counters::like_store::LikeStore;
use crate::counters::shared::FlushProblem;

/// Entries read from the ledger at once.
const CHUNK: usize = 10_000;

impl<S: LikeStore> Flusher<S> {
    /// Looks where the mark is: a store that has forgotten its last transactions shows it here also when nobody likes
    /// anything. A store that does not answer is not a failed flush.
    pub(super) async fn find_mark(&mut self) {
        let Ok(Ok(mark)) = tokio::time::timeout(self.settings.look_up_deadline, self.store.mark()).await else {
            return;
        };
        match mark {
            Some(mark) if mark.position == self.mark && *mark.ledger_id == *self.ledger_id => {}
            Some(mark) => {
                // A failure has been told, and the next tick tries again.
                let _ = self.misplaced(mark).await;
            }
            None => self
                .fatal
                .tell("the store has lost its mark: it is not the store this server started with".into()),
        }
    }

    /// Goes on from where the mark really is.
    pub(super) async fn misplaced(&mut self, mark: Mark) -> Result<(), Halt> {
        if *mark.ledger_id != *self.ledger_id {
            return self.end(format!(
                "the store now belongs to the ledger {}, not to {}: another server has taken it over",
                mark.ledger_id, self.ledger_id
            ));
        }
        let last = self.shared.overlay.last();
        if mark.position > last {
            return self.end(format!(
                "the store's mark is at {}, past the ledger's end at {last}: another server has written to it",
                mark.position
            ));
        }
        if mark.position > self.mark {
            // A commit whose answer was lost. It may have come after the doubt of then was settled.
            self.doubt();
            self.moved(mark.position).await;
            return Ok(());
        }
        if mark.position == self.mark {
            return self.failed(FlushProblem::Unavailable).await;
        }
        self.went_back(mark.position).await
    }

    /// The store has forgotten transactions (a failover, a restored snapshot): what it lost is in memory or else still in
    /// the ledger, and is flushed again.
    async fn went_back(&mut self, mark: i64) -> Result<(), Halt> {
        tracing::error!(
            from = self.mark,
            to = mark,
            "the store has forgotten likes; flushing them again"
        );
        let floor = self.shared.overlay.floor();
        if mark < floor {
            let read = self
                .ledger
                .run(move |ledger| {
                    if mark < ledger.trimmed_to() {
                        return Ok(Err(ledger.trimmed_to()));
                    }
                    let mut entries: Vec<crate::Entry> = Vec::new();
                    loop {
                        let after = entries.last().map_or(mark, |entry| entry.position);
                        let chunk = ledger.read(after, CHUNK)?;
                        let whole = chunk.len();
                        entries.extend(chunk.into_iter().filter(|entry| entry.position <= floor));
                        if whole < CHUNK || entries.last().is_none_or(|entry| entry.position >= floor) {
                            return Ok(Ok(entries));
                        }
                    }
                })
                .await;
            match read {
                Ok(Ok(entries)) => self.shared.overlay.prepend(mark, &entries),
                Ok(Err(trimmed_to)) => {
                    return self.end(format!(
                        "the store's mark went back to {mark}, and the ledger has nothing left before {trimmed_to}: \
                         restore a newer database"
                    ));
                }
                Err(error @ crate::ledger::LedgerError::Damaged { .. }) => {
                    return self.end(format!("the store has forgotten likes: {error}"));
                }
                Err(_) => return self.failed(FlushProblem::Ledger).await,
            }
        }
        self.committed.retain(|(_, position)| *position <= mark);
        // What stays from before has been read by nobody for as long as anything else that is kept.
        self.committed.push_back((Instant::now(), mark));
        self.set_mark(mark);
        self.tell_ledger().await;
        Ok(())
    }

    pub(super) fn end(&self, reason: String) -> Result<(), Halt> {
        self.fatal.tell(reason);
        Err(Halt::Fatal)
    }
}
