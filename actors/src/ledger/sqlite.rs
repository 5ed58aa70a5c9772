//! The ledger as a SQLite file: a row a group, its entries as one compact BLOB.
//!
//! Owns when a group counts as recorded, what the bounds are, and what may be trimmed.
//!
//! A BLOB a group, not a row an entry, by measurement (release, on two busy cores and a busy disk, so only the order of
//! size counts: the BLOB's best of three runs, the rows' only run): appends of 64 likes with a sync 288,000 likes/s
//! against 219,000, of 256 likes 1,150,000 against 403,000; loading 1,000,000 entries in groups of 64 takes 0.10 s with
//! verification against 0.60 s without. Single likes come to 3,700-4,900 a second either way, one sync each; a million
//! of them load in 0.85 s. The price: an entry can't be found or altered by hand in SQL, and `dump` is there for that.
//! Checkpoints every 1 MiB keep the WAL at that size and show up as about 1 ms at p99.
//!
//! **Never a false acknowledgement.** A group is recorded when its COMMIT said so. One that failed before its COMMIT, or
//! in it for want of room, is not recorded: its commit frame is not whole, and it is looked for before the next one is
//! taken. After any other failure of a COMMIT (an I/O error of the sync) nobody can know: the frame may or may not be
//! found after a crash. Then the ledger refuses everything until it is opened anew.
//!
//! **What [`Sync::Os`] may lose.** A killed process: nothing, since the system has the pages. A power cut or a crash of
//! the system: every group since the last checkpoint, never the file: synchronous NORMAL keeps it sound.

use std::ops::RangeInclusive;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;

use super::chain;
use super::file::{self, State, failure, groups, quarantined};
use super::group::{self, Group, Link};
use super::options::{OpenOptions, Sync};
use super::{Ledger, LedgerError, POSITION_MAX, QUARANTINE_MAX, Quarantined, Stat};
use crate::like::{Entry, Like};

/// How many groups lie between two measurements of the file; in between an estimate is added up.
const MEASURE_EVERY: u32 = 64;

/// The most groups one call of `trim` removes, so that an append behind it waits some 10 ms at most.
const TRIM_GROUPS: i64 = 4_096;

/// The most entries memory is taken for before they are seen: what the file says of itself may be damaged.
const READ_AHEAD: usize = 1 << 20;

/// Bytes of a group's row besides its entries.
const ROW_BYTES: u64 = 64;

/// A ledger in a SQLite file of its own.
pub struct SqliteLedger {
    connection: SqliteConnection,
    options: OpenOptions,
    state: State,
    /// Positions never given out, past what was flushed when the file was opened.
    gaps: Vec<RangeInclusive<i64>>,
    used_bytes: u64,
    since_measured: u32,
    unsure: bool,
    #[cfg(test)]
    pub(super) fault: Option<super::tests::Fault>,
}

impl SqliteLedger {
    /// Opens the ledger of a store, or makes it. Verifies everything past what was flushed (what is flushed is verified
    /// when it is read, or by [`check`](Self::check)), so the time is that of reading it.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, LedgerError> {
        let (connection, state) = file::open(path, Some(&options.store_id), options.sync)?;
        Self::start(connection, state, options)
    }

    /// Opens a ledger that exists, whosever it is: for commands that look.
    pub fn open_any(path: &Path) -> Result<Self, LedgerError> {
        let (connection, state) = file::open(path, None, Sync::Always)?;
        let options = OpenOptions::new(state.store_id.clone());
        Self::start(connection, state, options)
    }

    fn start(connection: SqliteConnection, state: State, options: OpenOptions) -> Result<Self, LedgerError> {
        let mut ledger = Self {
            connection,
            options,
            state,
            gaps: Vec::new(),
            used_bytes: 0,
            since_measured: 0,
            unsure: false,
            #[cfg(test)]
            fault: None,
        };
        ledger.state.validate()?;
        ledger.gaps = chain::verify(&mut ledger.connection, &ledger.state, ledger.state.flushed)?;
        ledger.measure()?;
        Ok(ledger)
    }

    /// The id of the store the likes are for.
    pub fn store_id(&self) -> &str {
        &self.state.store_id
    }

    #[cfg(test)]
    pub(super) fn execute(&mut self, sql: &str) {
        self.connection.batch_execute(sql).unwrap();
    }

    /// Verifies every group kept, flushed or not.
    pub fn check(&mut self) -> Result<(), LedgerError> {
        chain::verify(&mut self.connection, &self.state, self.state.tail().position).map(drop)
    }

    fn usable(&self) -> Result<(), LedgerError> {
        if self.unsure {
            return Err(LedgerError::Unsure("an earlier change ended in an error".to_owned()));
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<(), LedgerError> {
        self.used_bytes = file::used_bytes(&mut self.connection).map_err(|error| failure(&error, self.state.last))?;
        self.since_measured = 0;
        Ok(())
    }

    /// Does `work` and writes `next` in one transaction; on success that is where everything stands.
    fn transact(
        &mut self,
        next: State,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<()>,
    ) -> Result<(), LedgerError> {
        self.usable()?;
        let connection = &mut self.connection;
        let done = connection
            .batch_execute("BEGIN IMMEDIATE")
            .and_then(|()| work(connection))
            .and_then(|()| next.save(connection));
        let result = match done {
            Ok(()) => self.commit().map_err(|error| (error, true)),
            Err(error) => Err((error, false)),
        };
        match result {
            Ok(()) => {
                self.state = next;
                Ok(())
            }
            Err((error, committing)) => Err(self.undo(&error, committing)),
        }
    }

    fn commit(&mut self) -> QueryResult<()> {
        #[cfg(test)]
        if let Some(fault) = self.fault.take() {
            return fault.commit(&mut self.connection);
        }
        self.connection.batch_execute("COMMIT")
    }

    /// After a failure: rolls back, looks whether nothing has changed, and says so or doesn't.
    fn undo(&mut self, error: &DieselError, committing: bool) -> LedgerError {
        // Fails where SQLite has rolled back by itself already; what counts is what is read next.
        let _ = self.connection.batch_execute("ROLLBACK");
        let unchanged = State::load(&mut self.connection).is_ok_and(|state| state == self.state);
        if unchanged && (!committing || file::is_full(error)) {
            return failure(error, self.state.last);
        }
        self.unsure = true;
        LedgerError::Unsure(error.to_string())
    }

    /// Entries the store does not have.
    fn unflushed(&self) -> u64 {
        let (flushed, last) = (self.state.flushed, self.state.last);
        let skipped: u64 = self
            .gaps
            .iter()
            .map(|gap| group::count((*gap.start()).max(flushed + 1), *gap.end()))
            .sum();
        group::count(flushed + 1, last).saturating_sub(skipped)
    }

    fn make_room(&mut self, likes: u64) -> Result<(), LedgerError> {
        if self.unflushed() + likes > self.options.max_unflushed {
            return Err(LedgerError::Full("too many likes wait for the database"));
        }
        if self.since_measured >= MEASURE_EVERY || self.used_bytes >= self.options.max_bytes {
            self.measure()?;
        }
        if self.used_bytes >= self.options.max_bytes {
            return Err(LedgerError::Full("its file has reached its size"));
        }
        Ok(())
    }

    /// The groups that may go, oldest first: how many, their entries, and the last of them.
    fn expired(&mut self, flushed: i64, now_ms: i64) -> Result<(i64, i64, Option<Link>), LedgerError> {
        let candidates: Vec<(i64, i64, i64, Vec<u8>)> = groups::table
            .filter(groups::last.le(flushed))
            .order(groups::last)
            .limit(TRIM_GROUPS)
            .select((groups::last, groups::first, groups::at_ms, groups::checksum))
            .load(&mut self.connection)
            .map_err(|error| failure(&error, self.state.last))?;
        let low = self.options.max_bytes / 4 * 3;
        let (mut used, mut gone, mut entries, mut cut) = (self.used_bytes, 0, 0, None);
        for (position, first, at_ms, checksum) in candidates {
            let old = now_ms.saturating_sub(at_ms) > self.options.keep_flushed_ms;
            if !old && used < low {
                break;
            }
            let count = group::count(first, position);
            used = used.saturating_sub(bytes_of(count));
            entries = i64::saturating_add(entries, i64::try_from(count).unwrap_or(0));
            gone += 1;
            cut = Some(Link { position, checksum });
        }
        Ok((gone, entries, cut))
    }
}

/// About what a group of so many entries takes.
const fn bytes_of(entries: u64) -> u64 {
    entries * group::ENTRY_BYTES as u64 + ROW_BYTES
}

impl Ledger for SqliteLedger {
    fn id(&self) -> &str {
        &self.state.ledger_id
    }

    fn last_position(&self) -> i64 {
        self.state.last
    }

    fn trimmed_to(&self) -> i64 {
        self.state.tail().position
    }

    fn append(&mut self, likes: &[Like]) -> Result<RangeInclusive<i64>, LedgerError> {
        self.usable()?;
        self.make_room(likes.len() as u64)?;
        let group = Group::new(likes, self.state.last + 1, &self.state.head())?;
        let mut next = self.state.clone();
        next.last = group.last;
        next.set_head(group.link());
        next.entries += group.last - group.first + 1;
        next.groups += 1;
        self.transact(next, |connection| {
            diesel::insert_into(groups::table)
                .values(&group)
                .execute(connection)
                .map(drop)
        })?;
        self.used_bytes += bytes_of(group.entries());
        self.since_measured += 1;
        Ok(group.first..=group.last)
    }

    fn read(&mut self, after: i64, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        self.usable()?;
        let trimmed_to = self.trimmed_to();
        if after < trimmed_to {
            return Err(LedgerError::Trimmed {
                asked: after,
                trimmed_to,
            });
        }
        let there = usize::try_from(group::count(after.saturating_add(1), self.state.last)).unwrap_or(usize::MAX);
        let mut entries = Vec::with_capacity(limit.min(there).min(READ_AHEAD));
        if limit == 0 || there == 0 {
            return Ok(entries);
        }
        let link = chain::link_before(&mut self.connection, &self.state, after)?;
        let link = chain::each(&mut self.connection, link, |group| {
            for entry in group.decode(after).take(limit - entries.len()) {
                entries.push(entry?);
            }
            Ok(entries.len() < limit)
        })?;
        if entries.len() < limit {
            chain::ends_at(&link, &self.state)?;
        }
        Ok(entries)
    }

    fn skip_to(&mut self, position: i64) -> Result<(), LedgerError> {
        self.usable()?;
        if position > POSITION_MAX {
            return Err(LedgerError::Invalid("a position past 2^53"));
        }
        if position <= self.state.last {
            return Ok(());
        }
        let skipped = self.state.last + 1..=position;
        let mut next = self.state.clone();
        next.last = position;
        self.transact(next, |_| Ok(()))?;
        self.gaps.push(skipped);
        Ok(())
    }

    fn trim(&mut self, flushed: i64, now_ms: i64) -> Result<u64, LedgerError> {
        self.usable()?;
        let flushed = flushed.clamp(self.trimmed_to(), self.state.last);
        self.measure()?;
        let (gone, entries, cut) = self.expired(flushed, now_ms)?;
        if cut.is_none() && flushed == self.state.flushed {
            return Ok(0);
        }
        let mut next = self.state.clone();
        next.flushed = flushed;
        next.groups = (next.groups - gone).max(0);
        // Groups go unverified; one with damaged positions must not spoil the account of the others.
        next.entries = next.entries.saturating_sub(entries).max(0);
        if let Some(link) = &cut {
            next.set_tail(link.clone());
        }
        self.transact(next, |connection| match &cut {
            Some(link) => diesel::delete(groups::table.filter(groups::last.le(link.position)))
                .execute(connection)
                .map(drop),
            None => Ok(()),
        })?;
        self.measure()?;
        Ok(u64::try_from(entries).unwrap_or(0))
    }

    fn stat(&mut self) -> Result<Stat, LedgerError> {
        self.measure()?;
        let last = self.state.last;
        let failed = |error: DieselError| failure(&error, last);
        let oldest: Option<(i64, i64)> = groups::table
            .order(groups::last)
            .select((groups::first, groups::at_ms))
            .first(&mut self.connection)
            .optional()
            .map_err(failed)?;
        Ok(Stat {
            entries: u64::try_from(self.state.entries).unwrap_or(0),
            groups: u64::try_from(self.state.groups).unwrap_or(0),
            unflushed: self.unflushed(),
            first: oldest.map_or(0, |(first, _)| first),
            last,
            trimmed_to: self.trimmed_to(),
            bytes: self.used_bytes,
            oldest_ms: oldest.map(|(_, at_ms)| at_ms),
            quarantined: file::rows(&mut self.connection, "quarantined").map_err(failed)?,
            rejected_groups: file::rows(&mut self.connection, "rejected").map_err(failed)?,
        })
    }

    fn quarantine(&mut self, entries: &[Entry], reason: &str) -> Result<(), LedgerError> {
        self.usable()?;
        let there =
            file::rows(&mut self.connection, "quarantined").map_err(|error| failure(&error, self.state.last))?;
        if there + entries.len() as u64 > QUARANTINE_MAX {
            return Err(LedgerError::Full("too many likes are in quarantine"));
        }
        self.transact(self.state.clone(), |connection| {
            for entry in entries {
                let row = (
                    quarantined::position.eq(entry.position),
                    quarantined::body.eq(group::encode(&entry.like).to_vec()),
                    quarantined::reason.eq(reason),
                );
                diesel::replace_into(quarantined::table)
                    .values(row)
                    .execute(connection)?;
            }
            Ok(())
        })
    }

    fn quarantined(&mut self) -> Result<Vec<Quarantined>, LedgerError> {
        let rows: Vec<(i64, Vec<u8>, String)> = quarantined::table
            .order(quarantined::position)
            .load(&mut self.connection)
            .map_err(|error| failure(&error, self.state.last))?;
        rows.into_iter()
            .map(|(position, body, reason)| {
                let like = body.as_slice().try_into().ok().and_then(group::decode);
                like.map(|like| Quarantined {
                    entry: Entry { position, like },
                    reason,
                })
                .ok_or_else(|| LedgerError::Damaged {
                    position: position - 1,
                    what: "an entry in quarantine is torn".to_owned(),
                })
            })
            .collect()
    }
}
