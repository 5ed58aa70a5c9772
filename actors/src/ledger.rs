//! The ledger: likes that are acknowledged and not yet in the database.
//!
//! Owns what a ledger promises (the [`Ledger`] trait, its errors, one contract suite for every implementation) and the
//! one implementation there is, a SQLite file. It never decides whether a like changes anything, never talks to the
//! store and has no clock: times come with the likes.
//!
//! Positions are given out once and never again, also after everything was trimmed and the file was opened anew. A
//! group is the unit of everything: it is appended, verified, trimmed and rejected as a whole.

mod chain;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod damage;
mod file;
mod group;
#[cfg(test)]
mod measure;
mod options;
mod repair;
mod sqlite;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::ops::RangeInclusive;

pub use options::{OpenOptions, Sync};
pub use repair::{Rejected, Report};
pub use sqlite::SqliteLedger;

use crate::like::{Entry, Like};

/// The most likes one group may hold: a bound on one append's time and on what one damaged group takes with it.
pub const GROUP_MAX: usize = 16_384;

/// The most entries that may be set aside; past it something is wrong that setting aside does not mend.
pub const QUARANTINE_MAX: u64 = 100_000;

/// The highest position, as for every id: what a JSON number holds exactly.
pub const POSITION_MAX: i64 = 1 << 53;

/// Why a ledger did not do what was asked. Apart from [`LedgerError::Unsure`] nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A bound is reached; there is room again when the store has taken some. Says which bound.
    #[error("the ledger is full: {0}")]
    Full(&'static str),
    /// The disk is full or refuses. What was to be appended is certainly not recorded; later may be different.
    #[error("the ledger's file cannot be written or read: {0}")]
    Unavailable(String),
    /// The file's answer leaves open whether the last change is recorded. Nothing was acknowledged; every later call
    /// fails like this one until the ledger is opened anew, which reads what is true.
    #[error("it is not known whether the ledger recorded its last change; it must be opened anew: {0}")]
    Unsure(String),
    /// What is in the file is not what was written.
    #[error(
        "the ledger is damaged after position {position}: {what}. Stop the server, keep a copy of the file and run \
         `ovation ledger repair`"
    )]
    Damaged {
        /// The last position that is sound, as far as was looked.
        position: i64,
        /// What is wrong.
        what: String,
    },
    /// Only from a repair: the file is damaged so that SQLite cannot walk through it. Nothing was changed.
    #[error(
        "SQLite itself cannot read the ledger ({0}), so it cannot be repaired in place. Keep its files, move them out of \
         the data folder and start with a new ledger; likes that had not reached the database yet are in those files only"
    )]
    Unreadable(String),
    /// The likes in the file belong to another store.
    #[error(
        "this ledger belongs to the store {theirs}, not to {ours}: its likes are not this store's. Start with the \
         database it belongs to, or move the ledger's files out of the data folder to begin a new one"
    )]
    Foreign {
        /// The store in the ledger.
        theirs: String,
        /// The store that was opened.
        ours: String,
    },
    /// Someone else has the file open.
    #[error("the ledger is in use by another process; stop it, or ask the running server instead")]
    InUse,
    /// A later version of the program made the file.
    #[error(
        "the ledger has format {found}, this version knows up to {known}: start the version that made it, or newer"
    )]
    Newer {
        /// The file's format.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// The entries asked for are gone: the store's mark is behind what was trimmed.
    #[error(
        "the ledger has nothing left after position {asked}: it was trimmed up to {trimmed_to}. The database is older \
         than the ledger keeps flushed likes; restore a newer database and start again, or move the ledger's files \
         out of the data folder"
    )]
    Trimmed {
        /// The position after which entries were asked for.
        asked: i64,
        /// Everything up to here is gone.
        trimmed_to: i64,
    },
    /// The caller asked for what can't be: an empty or oversized group, a position out of range.
    #[error("the ledger was asked for what cannot be: {0}")]
    Invalid(&'static str),
}

/// What a ledger holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// Entries kept, flushed ones included.
    pub entries: u64,
    /// Groups kept.
    pub groups: u64,
    /// Entries past what the last trim said is flushed.
    pub unflushed: u64,
    /// The first position kept; 0 for none.
    pub first: i64,
    /// The last position ever given out or skipped; 0 for none.
    pub last: i64,
    /// Entries at or below are gone.
    pub trimmed_to: i64,
    /// Bytes in use, without free pages that are used again and without the bounded write-ahead log.
    pub bytes: u64,
    /// The time of the oldest group kept, in milliseconds since the epoch.
    pub oldest_ms: Option<i64>,
    /// Entries set aside because the store refused them for good.
    pub quarantined: u64,
    /// Groups that repairs have set aside.
    pub rejected_groups: u64,
}

/// An entry that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The entry.
    pub entry: Entry,
    /// Why.
    pub reason: String,
}

/// A journal of likes. Blocking; one thread owns it. All or nothing in every call.
pub trait Ledger: Send {
    /// The ledger's random id, made with it.
    fn id(&self) -> &str;

    /// The last position given out or skipped; 0 in a new ledger. Never goes back.
    fn last_position(&self) -> i64;

    /// Entries at or below are gone.
    fn trimmed_to(&self) -> i64;

    /// Records 1 to [`GROUP_MAX`] likes as one group and returns their positions, in order. On return they are as
    /// durable as the ledger was opened to be. [`LedgerError::Full`] past the bounds on what waits for the store.
    fn append(&mut self, likes: &[Like]) -> Result<RangeInclusive<i64>, LedgerError>;

    /// At most `limit` entries after a position, in order, their checksums verified.
    /// [`LedgerError::Trimmed`] where some of them are gone.
    fn read(&mut self, after: i64, limit: usize) -> Result<Vec<Entry>, LedgerError>;

    /// The next position will be past this one. Does nothing where it is already.
    fn skip_to(&mut self, position: i64) -> Result<(), LedgerError>;

    /// Tells how far the store has got (which may be less than told before: a database can forget), and removes the
    /// oldest groups that are flushed and past their time, or flushed and in the way of new ones. Returns how many
    /// entries are gone. The work of one call is bounded so that appends don't wait long behind it: the caller lets
    /// waiting appends through and calls again until nothing was left to remove, or the ledger fills up.
    fn trim(&mut self, flushed: i64, now_ms: i64) -> Result<u64, LedgerError>;

    /// What it holds. Cheap: no pass over the entries.
    fn stat(&mut self) -> Result<Stat, LedgerError>;

    /// Sets entries aside, visibly and for good; trimming does not touch them. Again changes only the reason.
    /// [`LedgerError::Full`] past [`QUARANTINE_MAX`].
    fn quarantine(&mut self, entries: &[Entry], reason: &str) -> Result<(), LedgerError>;

    /// What was set aside, in order.
    fn quarantined(&mut self) -> Result<Vec<Quarantined>, LedgerError>;
}

/// What can fail while a ledger is printed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// Reading.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Printing.
    #[error("cannot print the ledger: {0}")]
    Output(#[from] std::io::Error),
}

/// Prints all entries kept, a JSON object a line, and returns how many. Memory is bounded.
pub fn dump(ledger: &mut dyn Ledger, out: &mut dyn Write) -> Result<u64, DumpError> {
    const AT_ONCE: usize = 10_000;
    let (mut after, mut printed) = (ledger.trimmed_to(), 0);
    loop {
        let entries = ledger.read(after, AT_ONCE)?;
        for entry in &entries {
            print(entry, out)?;
        }
        let Some(last) = entries.last() else {
            out.flush()?;
            return Ok(printed);
        };
        after = last.position;
        printed += entries.len() as u64;
    }
}

/// Integers and truth values only, so nothing needs quoting.
fn print(entry: &Entry, out: &mut dyn Write) -> std::io::Result<()> {
    let Like {
        user,
        video,
        author,
        on,
        was,
        at_ms,
    } = entry.like;
    let was = was.map_or("null", |was| if was { "true" } else { "false" });
    writeln!(
        out,
        r#"{{"position":{},"user":{user},"video":{video},"author":{author},"on":{on},"was":{was},"at_ms":{at_ms}}}"#,
        entry.position
    )
}
