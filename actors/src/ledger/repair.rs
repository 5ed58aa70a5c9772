//! Mending a damaged ledger: what is sound up to the first damage stays, the rest is set aside as it was found.
//!
//! Only a person starts this, with a copy of the file at hand: what is set aside may hold likes that were acknowledged.
//! Nothing after the damage is kept, not even groups that look sound, since a like may depend on the one before it.

use std::path::Path;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::LedgerError;
use super::file::{self, State, failure, groups};
use super::group::{Group, Link};
use super::options::Sync;

/// A group that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its first position, as found.
    pub first: i64,
    /// Its last position, as found.
    pub last: i64,
    /// Its time in milliseconds since the epoch, as found.
    pub at_ms: i64,
    /// Why.
    pub reason: String,
}

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Entries kept.
    pub entries: u64,
    /// Groups kept.
    pub groups: u64,
    /// The last sound position.
    pub sound_to: i64,
    /// Positions past the last sound one up to here were given out; those that nothing was found of are lost.
    pub last: i64,
    /// The groups set aside, at most [`Report::NAMED`] of them.
    pub rejected: Vec<Rejected>,
    /// How many groups were set aside in all.
    pub rejected_groups: u64,
    /// The file says it ends with another group than the last one found, or its account of itself was damaged: groups
    /// may be missing at the end.
    pub missing: bool,
}

impl Report {
    /// The most rejected groups a report names; the table has all.
    pub const NAMED: usize = 1_000;

    /// True where nothing was wrong.
    pub fn is_sound(&self) -> bool {
        self.rejected_groups == 0 && !self.missing
    }
}

impl super::SqliteLedger {
    /// Repairs the ledger at `path`, which nobody may have open. One transaction; a sound ledger is left as it is, but
    /// for its counts. A file that SQLite itself cannot read stays as it is and is [`LedgerError::Unreadable`].
    pub fn repair(path: &Path) -> Result<Report, LedgerError> {
        match mend(path) {
            // A survey turns a group's damage into a reason; what is left as an error is SQLite's own.
            Err(LedgerError::Damaged { what, .. }) => Err(LedgerError::Unreadable(what)),
            other => other,
        }
    }
}

fn mend(path: &Path) -> Result<Report, LedgerError> {
    let (mut connection, state) = file::open(path, None, Sync::Always)?;
    let mut survey = survey(&mut connection, &state)?;
    connection
        .immediate_transaction(|connection| apply(connection, state, &mut survey))
        .map_err(|error| failure(&error, 0))?;
    Ok(survey.0)
}

/// A report on the way, with the end of the sound part and the reason it ends.
type Survey = (Report, Link, String);

/// Follows the chain as far as it is sound.
fn survey(connection: &mut SqliteConnection, state: &State) -> Result<Survey, LedgerError> {
    let mut link = state.tail();
    let (mut entries, mut kept) = (0, 0);
    let mut reason = String::new();
    let rows = groups::table
        .filter(groups::last.gt(link.position))
        .order(groups::last)
        .load_iter::<Group, DefaultLoadingMode>(connection)
        .map_err(|error| failure(&error, link.position))?;
    for row in rows {
        let group = row.map_err(|error| failure(&error, link.position))?;
        if let Err(LedgerError::Damaged { what, .. }) = group.verify(&link) {
            reason = what;
            break;
        }
        link = group.link();
        entries += group.entries();
        kept += 1;
    }
    let stray: i64 = groups::table
        .filter(groups::last.le(state.tail().position))
        .count()
        .get_result(connection)
        .map_err(|error| failure(&error, link.position))?;
    if reason.is_empty() && stray > 0 {
        reason.push_str("a group lies among those that were trimmed");
    }
    let report = Report {
        entries,
        groups: kept,
        sound_to: link.position,
        last: state.last,
        rejected: Vec::new(),
        rejected_groups: 0,
        missing: reason.is_empty() && (link != state.head() || state.validate().is_err()),
    };
    Ok((report, link, reason))
}

/// Moves the rest aside and writes where everything stands now.
fn apply(connection: &mut SqliteConnection, mut state: State, survey: &mut Survey) -> QueryResult<()> {
    let (report, link, reason) = survey;
    if !(0..=super::POSITION_MAX).contains(&state.last) {
        state.last = link.position;
    }
    if !reason.is_empty() {
        // A damaged key may also lie before the sound part.
        let tail = state.tail().position;
        let unsound = groups::table.filter(groups::last.gt(link.position).or(groups::last.le(tail)));
        let found: Vec<(i64, i64, i64)> = unsound
            .order(groups::last)
            .select((groups::first, groups::last, groups::at_ms))
            .load(connection)?;
        report.rejected_groups = found.len() as u64;
        let highest = found.iter().map(|(_, last, _)| *last).max().unwrap_or(0);
        // A position that can't be is damage too, and must not use up those that are left.
        if highest <= super::POSITION_MAX / 2 {
            state.last = state.last.max(highest);
        }
        report.rejected = found
            .into_iter()
            .take(Report::NAMED)
            .map(|(first, last, at_ms)| Rejected {
                first,
                last,
                at_ms,
                reason: reason.clone(),
            })
            .collect();
        diesel::sql_query(
            "INSERT INTO rejected (last, first, at_ms, checksum, body, reason)
             SELECT last, first, at_ms, checksum, body, ? FROM groups WHERE last > ? OR last <= ? ORDER BY last",
        )
        .bind::<Text, _>(reason.as_str())
        .bind::<BigInt, _>(link.position)
        .bind::<BigInt, _>(tail)
        .execute(connection)?;
        diesel::delete(unsound).execute(connection)?;
    }
    state.last = state.last.max(link.position);
    state.flushed = state.flushed.clamp(0, link.position);
    state.entries = i64::try_from(report.entries).unwrap_or(0);
    state.groups = i64::try_from(report.groups).unwrap_or(0);
    state.set_head(link.clone());
    report.last = state.last;
    state.save(connection)
}
