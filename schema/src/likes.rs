//! Likes on their way into the store, in batches.
//!
//! Owns the mark (which ledger entries the store has), the look-up of pair states before a change is recorded, and the
//! flush. State decides, not arithmetic: a wish "this pair is on" is compared with the row, and only a real change moves
//! a count, so replaying entries changes nothing.

use std::collections::{HashMap, HashSet};

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::{UserId, VideoId};

/// How far the store has got in which ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The ledger's random id.
    pub ledger_id: String,
    /// The last position that is in the store; 0 for none.
    pub position: i64,
}

/// What is known of some pairs before they change.
#[derive(Debug, Clone, Default)]
pub struct PairStates {
    /// The authors of those videos that exist.
    pub authors: HashMap<VideoId, UserId>,
    /// The pairs whose row says "liked".
    pub active: HashSet<(UserId, VideoId)>,
}

/// The last wish about a pair within a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Who.
    pub user: UserId,
    /// What.
    pub video: VideoId,
    /// Liked or not.
    pub on: bool,
    /// When it was acknowledged: milliseconds since the epoch.
    pub at_ms: i64,
}

/// Consecutive ledger entries as one transaction.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The ledger they come from.
    pub ledger_id: String,
    /// Where the mark must stand: the last position of the batch before. Elsewhere the batch would leave a hole, or be
    /// counted into a store that forgot what came before it.
    pub after: i64,
    /// The position of the first entry.
    pub first: i64,
    /// The position of the last entry; where the mark stands afterwards.
    pub last: i64,
    /// One a pair, ascending by user and video.
    pub wishes: Vec<Wish>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flushed {
    /// It is in the store. `dropped` wishes were about users or videos that do not exist.
    Applied {
        /// How many wishes were dropped.
        dropped: usize,
    },
    /// The mark stands elsewhere than right before the batch: nothing was done. Where it is says what to do.
    Misplaced(Mark),
}

/// Reads the mark; none while the store has no ledger yet. One statement.
pub fn mark(_connection: &mut DbConnection) -> Result<Option<Mark>, StoreError> {
    Err(StoreError::Internal("not written yet".into()))
}

/// Makes `ledger_id` the store's ledger, at position `position`, if it has none. Returns the mark that stands.
pub fn adopt(_connection: &mut DbConnection, _ledger_id: &str, _position: i64) -> Result<Mark, StoreError> {
    Err(StoreError::Internal("not written yet".into()))
}

/// Looks up the authors of videos and the states of pairs. Two statements, by primary keys.
pub fn look_up(_connection: &mut DbConnection, _pairs: &[(UserId, VideoId)]) -> Result<PairStates, StoreError> {
    Err(StoreError::Internal("not written yet".into()))
}

/// Brings one batch into the store, in the caller's transaction: locks and reads the mark first.
pub fn flush(_connection: &mut DbConnection, _batch: &Batch) -> Result<Flushed, StoreError> {
    Err(StoreError::Internal("not written yet".into()))
}
