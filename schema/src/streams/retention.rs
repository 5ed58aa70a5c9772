//! What is kept of the streams: by number a user, and by age.
//!
//! Only beginnings go, under the stream's lock. The number is held by the appends themselves, a little at a time; the age
//! by a job that somebody runs now and then. Both are needed: a busy stream can't wait for the job, and a silent one
//! appends nothing.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::backend::{self, DbConnection};
use crate::error::StoreError;
use crate::ids::UserId;
use crate::tables::{events, store};

/// Events a user keeps at most, unless [`retain`] says otherwise.
pub const KEPT: i64 = 10_000;

/// How many events a stream grows by between two looks at its length. A look is a read and a delete of as many rows.
const EVERY: i64 = 128;

/// Sets how many events a user keeps at most: a stream that is appended to never has 128 more for long. It stands in the
/// store, since whoever appends (a command as well as any node) must hold the same number. One statement; another one
/// where it changes.
pub fn retain(connection: &mut DbConnection, keep_per_user: i64) -> Result<(), StoreError> {
    let keep = keep_per_user.max(1);
    if kept(connection)? != keep {
        diesel::update(store::table.find(1))
            .set(store::keep_events.eq(keep))
            .execute(connection)?;
    }
    Ok(())
}

fn kept(connection: &mut DbConnection) -> Result<i64, StoreError> {
    let kept: Option<i64> = store::table
        .find(1)
        .select(store::keep_events)
        .first(connection)
        .optional()?;
    Ok(kept.unwrap_or(KEPT))
}

/// Lets the oldest events go of those streams that have grown past a multiple of [`EVERY`] just now; each is given with its
/// newest number and by how many it grew. The streams are locked. No statement where none has; else one, and one more for
/// each that has too many.
pub(super) fn after_append(
    connection: &mut DbConnection,
    grown: impl Iterator<Item = (UserId, i64, i64)>,
) -> Result<(), StoreError> {
    let mut long = grown
        .filter(|(_, newest, by)| newest / EVERY != (newest - by) / EVERY)
        .peekable();
    if long.peek().is_none() {
        return Ok(());
    }
    let keep = kept(connection)?;
    for (user, newest, _) in long {
        if newest > keep {
            drop_through(connection, user, newest - keep)?;
        }
    }
    Ok(())
}

/// Takes away events from before `older_than_ms` (milliseconds since the epoch), with all that comes before one in its
/// stream, and returns how many went; 0 when there are none left. Also sets `keep_per_user`, as [`retain`] does.
///
/// For a job that calls it again until it returns 0. One call finds the `limit` oldest events by the index of times and
/// locks their streams, at most 1,000; one statement a stream. A stream's own order decides, not its times: where a clock
/// went back, a younger event before an older one goes with it, and what is kept has no hole.
pub fn trim(
    connection: &mut DbConnection,
    older_than_ms: i64,
    keep_per_user: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    retain(connection, keep_per_user)?;
    let old: Vec<(UserId, i64)> = events::table
        .filter(events::created_at.lt(older_than_ms))
        .order(events::created_at.asc())
        .limit(limit.clamp(1, 1_000))
        .select((events::user_id, events::seq))
        .load(connection)?;
    let mut last: BTreeMap<UserId, i64> = BTreeMap::new();
    for (user, seq) in old {
        let last = last.entry(user).or_insert(seq);
        *last = seq.max(*last);
    }
    let users: Vec<UserId> = last.keys().copied().collect();
    if users.is_empty() {
        return Ok(0);
    }
    // An append deletes as well: both under the stream's lock, so neither waits for a row of the other's.
    backend::lock_streams(connection, &users)?;
    let mut gone = 0;
    for (user, seq) in last {
        gone += drop_through(connection, user, seq)?;
    }
    Ok(gone)
}

/// Deletes a user's events up to number `last`: a range of the primary key.
fn drop_through(connection: &mut DbConnection, user: UserId, last: i64) -> Result<usize, StoreError> {
    Ok(diesel::delete(
        events::table
            .filter(events::user_id.eq(user))
            .filter(events::seq.le(last)),
    )
    .execute(connection)?)
}
