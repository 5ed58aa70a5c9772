//! The life of the streams as a whole: their epoch, and the beat.

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::tables::store;

/// A name that no epoch ever had.
pub(crate) fn new_epoch() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The name of the streams' life: 32 hex digits. A number of an event means something only together with it. One
/// statement, by primary key.
pub fn epoch(connection: &mut DbConnection) -> Result<String, StoreError> {
    Ok(store::table.find(1).select(store::epoch).first(connection)?)
}

/// Begins a new life and returns its name: after events were lost, or the store came back from a backup. Every client
/// is told of a gap then and fetches its lists again.
pub fn renew_epoch(connection: &mut DbConnection) -> Result<String, StoreError> {
    let epoch = new_epoch();
    diesel::update(store::table.find(1))
        .set(store::epoch.eq(&epoch))
        .execute(connection)?;
    Ok(epoch)
}

/// Raises the beat by one and returns it. Who remembers the last one outside the store sees by a lower one that the
/// store went back in time.
pub fn beat(connection: &mut DbConnection) -> Result<i64, StoreError> {
    // The update locks the row, so what is read after it is ours.
    diesel::update(store::table.find(1))
        .set(store::beat.eq(store::beat + 1))
        .execute(connection)?;
    current_beat(connection)
}

/// The beat as it stands; 0 before the first. One statement, by primary key.
pub fn current_beat(connection: &mut DbConnection) -> Result<i64, StoreError> {
    Ok(store::table.find(1).select(store::beat).first(connection)?)
}
