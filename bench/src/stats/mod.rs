//! What was seen: latencies, throughput and errors, over the measured window and per second of it.
//!
//! Owns the histograms and the rules of what counts:
//!
//! - latency counts from when the operation was *due*: in a closed loop that is when it was sent, in an open loop when it
//!   should have been sent, so that a server that stalls can't hide behind a client that waits politely (coordinated
//!   omission);
//! - nothing of the warm-up counts, except errors and untruths, which always do;
//! - an operation that failed has no latency; what was due and not answered when the window and its grace were over
//!   counts as an error *and* as the latency it has at least.
//!
//! Never looks at a clock.

mod lane;
mod summary;

use std::time::{Duration, Instant};

pub use lane::{Lane, UNANSWERED};
pub use summary::{Point, Spread, percentiles};

/// The measured stretch of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The end of the warm-up.
    pub start: Instant,
    /// The end of the measurement; nothing new is asked after it.
    pub end: Instant,
    /// How long answers to what was due within the window are waited for.
    pub grace: Duration,
}

impl Window {
    /// A window that begins after the warm-up, from now on.
    pub fn after(warm_up: Duration, duration: Duration, grace: Duration) -> Self {
        let start = Instant::now() + warm_up;
        Self {
            start,
            end: start + duration,
            grace,
        }
    }

    /// When waiting ends.
    pub fn cutoff(&self) -> Instant {
        self.end + self.grace
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }

    /// Which second of the window it is; `None` outside.
    fn second(&self, at: Instant) -> Option<usize> {
        let since = at.checked_duration_since(self.start)?;
        (at < self.end).then(|| usize::try_from(since.as_secs()).unwrap_or(usize::MAX))
    }

    /// How many seconds have begun by its end.
    fn seconds_begun(&self) -> usize {
        let length = self.end - self.start;
        usize::try_from(length.as_secs() + u64::from(length.subsec_nanos() > 0)).unwrap_or(usize::MAX)
    }
}
