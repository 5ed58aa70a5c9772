//! What the counters and the flusher ask of the store: four verbs, so that tests can put a failing store in its place.

use ovation_schema::likes::{self, Batch, Flushed, Mark, PairStates};
use ovation_schema::{Store, StoreError, UserId, VideoId};

/// The store as the likes see it.
pub trait LikeStore: Send + Sync + 'static {
    /// Looks up authors and pair states, and the mark as it stood before: the states include at least everything up to
    /// it.
    fn look_up(
        &self,
        pairs: Vec<(UserId, VideoId)>,
    ) -> impl Future<Output = Result<(Option<Mark>, PairStates), StoreError>> + Send;

    /// Brings a batch into the store as one transaction.
    fn flush(&self, batch: Batch) -> impl Future<Output = Result<Flushed, StoreError>> + Send;

    /// The mark.
    fn mark(&self) -> impl Future<Output = Result<Option<Mark>, StoreError>> + Send;

    /// Makes a ledger the store's, if it has none.
    fn adopt(&self, ledger_id: String, position: i64) -> impl Future<Output = Result<Mark, StoreError>> + Send;
}

impl LikeStore for Store {
    async fn look_up(&self, pairs: Vec<(UserId, VideoId)>) -> Result<(Option<Mark>, PairStates), StoreError> {
        self.read(move |connection| {
            let mark = likes::mark(connection)?;
            Ok((mark, likes::look_up(connection, &pairs)?))
        })
        .await
    }

    async fn flush(&self, batch: Batch) -> Result<Flushed, StoreError> {
        self.write(move |connection| likes::flush(connection, &batch)).await
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.read(likes::mark).await
    }

    async fn adopt(&self, ledger_id: String, position: i64) -> Result<Mark, StoreError> {
        self.write(move |connection| likes::adopt(connection, &ledger_id, position))
            .await
    }
}
