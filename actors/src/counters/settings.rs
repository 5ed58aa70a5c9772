//! The numbers of the likes' way.

use std::time::Duration;

/// How likes are grouped, flushed and kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Likes that may wait for their answer; past it the answer is "busy" at once.
    pub waiting_max: usize,
    /// Likes in one group, that is one append.
    pub group_max: usize,
    /// How long a look-up of pair states may take before its likes go on without it.
    pub look_up_deadline: Duration,
    /// Videos whose author is kept in memory.
    pub authors_max: usize,
    /// Pairs whose state is kept in memory besides the changed ones.
    pub pairs_max: usize,
    /// How long changes wait for their flush at most.
    pub flush_interval: Duration,
    /// Changes in one flush, and so many waiting ones start it early.
    pub flush_max: usize,
    /// How long one flush may take before it counts as failed (it may still commit; the mark then tells).
    pub flush_deadline: Duration,
    /// How long a change stays in memory after its flush: longer than the longest read, and than two look-ups.
    pub keep: Duration,
    /// How often the ledger is trimmed at most.
    pub trim_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            waiting_max: 10_000,
            group_max: 4_096,
            look_up_deadline: Duration::from_secs(2),
            authors_max: 200_000,
            pairs_max: 200_000,
            flush_interval: Duration::from_secs(3),
            flush_max: 2_000,
            flush_deadline: Duration::from_secs(30),
            keep: Duration::from_mins(1),
            trim_interval: Duration::from_secs(10),
        }
    }
}
