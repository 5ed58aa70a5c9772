//! A video's row as a room knows it, and when to read it again.

use std::time::Duration;

use ovation_schema::videos::VideoCounts;
use tokio::time::Instant;

/// Reads of one room's row are at least this far apart: a storm of comments is twice a second for the store.
const SPACING: Duration = Duration::from_millis(500);
/// A store that is away is asked again after so long, then after twice as long, and so on up to [`PATIENCE`].
const FIRST_RETRY: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(10);

/// The row, and what is known of its age.
pub struct Base {
    row: Option<VideoCounts>,
    /// The overlay does not reach back to it any more.
    stale: bool,
    /// It is to be read (again).
    wanted: bool,
    reading: bool,
    not_before: Option<Instant>,
    failures: u32,
}

impl Base {
    /// Nothing read yet, and wanted.
    pub fn unread() -> Self {
        Self {
            row: None,
            stale: false,
            wanted: true,
            reading: false,
            not_before: None,
            failures: 0,
        }
    }

    /// The row, if the overlay may still reach back to it.
    pub fn row(&self) -> Option<&VideoCounts> {
        self.row.as_ref().filter(|_| !self.stale)
    }

    /// It has changed, or may have.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Somebody waits for it: no pause before the next read.
    pub fn hurry(&mut self) {
        self.wanted = true;
        self.not_before = None;
    }

    /// It is too old for the overlay.
    pub fn is_stale(&mut self) {
        self.stale = true;
        self.wanted = true;
    }

    /// Whether a read starts now; one at a time, so that the last one to arrive is the newest. What is wanted from here
    /// on is another read.
    pub fn start(&mut self, now: Instant) -> bool {
        let start = self.wanted && !self.reading && self.not_before.is_none_or(|at| at <= now);
        if start {
            self.wanted = false;
            self.reading = true;
            self.not_before = Some(now + SPACING);
        }
        start
    }

    /// It was read.
    pub fn loaded(&mut self, row: VideoCounts) {
        self.row = Some(row);
        self.stale = false;
        self.reading = false;
        self.failures = 0;
    }

    /// It could not be read.
    pub fn failed(&mut self, now: Instant) {
        self.reading = false;
        self.wanted = true;
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(PATIENCE);
        self.failures += 1;
        self.not_before = Some(now + pause);
    }

    /// When the next read may start, if one is wanted and none goes on.
    pub fn due(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.wanted && !self.reading)
    }
}
