//! The mark as part of every statement that reads counts.
//!
//! A subquery without a connection to the rest, so that each store evaluates it once a statement, on the same snapshot
//! as the rows beside it.

use diesel::dsl::{Select, SingleValue};
use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::tables::ledger_mark;

/// The subquery's type.
pub type Now = SingleValue<Select<ledger_mark::table, ledger_mark::position>>;

/// The position up to which the store has the ledger's likes, as seen by the statement it stands in.
pub fn now() -> Now {
    ledger_mark::table.select(ledger_mark::position).single_value()
}

/// The mark by itself, for statements behind it whose rows may be none: what they read contains at least the likes up to
/// it. One statement.
pub fn read(connection: &mut DbConnection) -> Result<Position, StoreError> {
    let position: Option<i64> = ledger_mark::table
        .select(ledger_mark::position)
        .first(connection)
        .optional()?;
    Ok(position.into())
}

/// A position in the ledger as a row was read with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub i64);

impl From<Option<i64>> for Position {
    /// The mark's row is made by its migration and never deleted; without one nothing has been flushed.
    fn from(position: Option<i64>) -> Self {
        Self(position.unwrap_or(0))
    }
}
