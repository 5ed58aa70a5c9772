//! Clocks that never repeat or go back, whatever the machine's does.

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::tables::clocks;

/// When videos were published.
pub(crate) const PUBLISH: &str = "publish";
/// When tokens were revoked.
pub(crate) const REVOCATION: &str = "revocation";

/// Takes a clock's next time, strictly greater than every one before: `now_ms`, or later where that one is taken or past
/// already. The clock stays locked to the commit, so what is taken from it becomes readable in its order.
pub(crate) fn tick(connection: &mut DbConnection, name: &'static str, now_ms: i64) -> Result<i64, StoreError> {
    let clock = || clocks::table.find(name);
    // The update locks the row; what is read after it is the newest committed value or our own.
    diesel::update(clock())
        .set(clocks::last_ms.eq(clocks::last_ms + 1))
        .execute(connection)?;
    let next: i64 = clock().select(clocks::last_ms).first(connection)?;
    if next < now_ms {
        diesel::update(clock())
            .set(clocks::last_ms.eq(now_ms))
            .execute(connection)?;
    }
    Ok(next.max(now_ms))
}
