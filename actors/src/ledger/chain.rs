//! Walking the groups in order, each verified against the one before.
//!
//! Owns what a hole is: a group that does not hang on the one found before it, or a head that is not the last one found.
//! Positions left out on purpose are no holes, since a checksum covers where the group before ended.

use std::ops::RangeInclusive;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;

use super::LedgerError;
use super::file::{State, failure, groups};
use super::group::{Group, Link};

/// Follows the chain from the group that has position `after + 1` to the head; returns the positions left out.
pub(super) fn verify(
    connection: &mut SqliteConnection,
    state: &State,
    after: i64,
) -> Result<Vec<RangeInclusive<i64>>, LedgerError> {
    let link = link_before(connection, state, after)?;
    let (mut end, mut gaps) = (link.position, Vec::new());
    let link = each(connection, link, |group| {
        if group.first > end + 1 {
            gaps.push(end + 1..=group.first - 1);
        }
        end = group.last;
        Ok(true)
    })?;
    ends_at(&link, state)?;
    if state.last > end {
        gaps.push(end + 1..=state.last);
    }
    Ok(gaps)
}

/// Checks that the last group found is the last one recorded.
pub(super) fn ends_at(link: &Link, state: &State) -> Result<(), LedgerError> {
    if *link == state.head() {
        return Ok(());
    }
    Err(LedgerError::Damaged {
        position: link.position,
        what: "the last groups are missing".to_owned(),
    })
}

/// The link the group hangs on that holds the first position past `after`.
pub(super) fn link_before(connection: &mut SqliteConnection, state: &State, after: i64) -> Result<Link, LedgerError> {
    let before: Option<(i64, Vec<u8>)> = groups::table
        .filter(groups::last.le(after))
        .order(groups::last.desc())
        .select((groups::last, groups::checksum))
        .first(connection)
        .optional()
        .map_err(|error| failure(&error, after))?;
    Ok(before.map_or_else(|| state.tail(), |(position, checksum)| Link { position, checksum }))
}

/// Shows the groups after `link`, each verified, while `next` says true. One at a time is in memory. Returns how far it
/// came.
pub(super) fn each(
    connection: &mut SqliteConnection,
    mut link: Link,
    mut next: impl FnMut(&Group) -> Result<bool, LedgerError>,
) -> Result<Link, LedgerError> {
    let rows = groups::table
        .filter(groups::last.gt(link.position))
        .order(groups::last)
        .load_iter::<Group, DefaultLoadingMode>(connection)
        .map_err(|error| failure(&error, link.position))?;
    for row in rows {
        let group = row.map_err(|error| failure(&error, link.position))?;
        group.verify(&link)?;
        let more = next(&group)?;
        link.position = group.last;
        link.checksum = group.checksum;
        if !more {
            break;
        }
    }
    Ok(link)
}
