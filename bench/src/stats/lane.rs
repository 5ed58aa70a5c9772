//! One kind of operation in one round.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::Window;
use crate::failure::Failure;
use crate::units::nanos;

/// The longest latency that is told apart, in nanoseconds: ten minutes. What takes longer counts as that.
const LONGEST: u64 = 600_000_000_000;
/// The longest of a second's own histogram, which has two digits only: a minute.
const LONGEST_OF_SECOND: u64 = 60_000_000_000;
/// Failures whose text is kept.
const FAILURES_KEPT: usize = 5;

/// The kind of error of what was due and had no answer when waiting ended.
pub const UNANSWERED: &str = "unanswered";

/// What one second of the window saw.
#[derive(Debug, Clone)]
pub struct Second {
    /// Operations that succeeded.
    pub operations: u64,
    /// Operations that did not.
    pub errors: u64,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u32>,
}

/// Counts of one kind of operation.
#[derive(Debug, Clone)]
pub struct Lane {
    /// What the operation is called.
    pub name: &'static str,
    /// The rate of its open loop; `None` in a closed one.
    pub open_rate: Option<f64>,
    /// The most operations a second that the load's own pace allows, in a closed loop that has one.
    pub pace_limit: Option<f64>,
    /// Whether its figure's aim is meant for this load.
    pub is_aimed: bool,
    /// Latencies in nanoseconds, of successes and of what was due and never answered.
    pub latency: Histogram<u64>,
    /// Successes within the window.
    pub operations: u64,
    /// What the successes carried: as many as operations, unless one of them answers several questions.
    pub units: u64,
    /// Errors by kind, of the warm-up as well.
    pub errors: BTreeMap<&'static str, u64>,
    /// The first failures, for a person to read.
    pub failures: Vec<String>,
    /// The window, second by second.
    pub seconds: Vec<Second>,
}

/// A histogram's bounds are constants here, for which it can always be made.
fn histogram<C: hdrhistogram::Counter>(longest: u64, digits: u8) -> Histogram<C> {
    #[expect(clippy::expect_used, reason = "fails only for bounds that are none of ours")]
    Histogram::new_with_bounds(1, longest, digits).expect("the bounds are valid")
}

impl Lane {
    /// An empty one.
    pub fn new(name: &'static str, window: &Window) -> Self {
        let second = Second {
            operations: 0,
            errors: 0,
            latency: histogram(LONGEST_OF_SECOND, 2),
        };
        Self {
            name,
            open_rate: None,
            pace_limit: None,
            is_aimed: true,
            latency: histogram(LONGEST, 3),
            operations: 0,
            units: 0,
            errors: BTreeMap::new(),
            failures: Vec::new(),
            seconds: vec![second; window.seconds_begun()],
        }
    }

    /// An operation that was due at `due` and right at `done`. `at` decides whether it lies in the window: the end of the
    /// operation in a closed loop (what the window saw finished is its throughput), the due time in an open one.
    pub fn success(&mut self, window: &Window, at: Instant, due: Instant, done: Instant, units: u32) {
        let Some(second) = window.second(at) else { return };
        let latency = nanos(done.saturating_duration_since(due)).max(1);
        self.operations += 1;
        self.units += u64::from(units);
        self.latency.saturating_record(latency);
        if let Some(second) = self.seconds.get_mut(second) {
            second.operations += 1;
            second.latency.saturating_record(latency);
        }
    }

    /// An operation that failed.
    pub fn failure(&mut self, window: &Window, at: Instant, failure: &Failure) {
        *self.errors.entry(failure.kind()).or_default() += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(failure.to_string());
        }
        if let Some(second) = window.second(at).and_then(|second| self.seconds.get_mut(second)) {
            second.errors += 1;
        }
    }

    /// An operation that was due in the window and had no answer when waiting ended: it took at least as long.
    pub fn unanswered(&mut self, window: &Window, due: Instant) {
        self.given_up(window, due, window.cutoff());
    }

    /// The same where waiting for this one ended at a moment of its own.
    pub fn given_up(&mut self, window: &Window, due: Instant, at: Instant) {
        let Some(second) = window.second(due) else { return };
        *self.errors.entry(UNANSWERED).or_default() += 1;
        let latency = nanos(at.saturating_duration_since(due)).max(1);
        self.latency.saturating_record(latency);
        if let Some(second) = self.seconds.get_mut(second) {
            second.errors += 1;
            second.latency.saturating_record(latency);
        }
    }

    /// Adds what another thread saw of the same operation in the same window.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, which is all that could be wrong.
        let _ = self.latency.add(&other.latency);
        self.operations += other.operations;
        self.units += other.units;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        let room = FAILURES_KEPT - self.failures.len();
        self.failures.extend(other.failures.iter().take(room).cloned());
        for (second, other) in self.seconds.iter_mut().zip(&other.seconds) {
            second.operations += other.operations;
            second.errors += other.errors;
            let _ = second.latency.add(&other.latency);
        }
    }

    /// All errors.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn window() -> Window {
        Window::after(Duration::from_secs(10), Duration::from_secs(2), Duration::from_secs(1))
    }

    #[test]
    fn the_warm_up_and_what_comes_late_do_not_count_but_their_errors_do() {
        let (window, mut lane) = (window(), Lane::new("get", &window()));
        let before = window.start.checked_sub(MS).unwrap();
        for at in [before, window.end, window.end + MS] {
            lane.success(&window, at, at, at + MS, 1);
            lane.failure(&window, at, &Failure::Timeout);
        }
        assert_eq!((lane.operations, lane.latency.len(), lane.error_count()), (0, 0, 3));
        lane.success(&window, window.start, window.start, window.start + MS, 30);
        let last = window.start + 1_999 * MS;
        lane.success(&window, last, last, last + MS, 30);
        assert_eq!((lane.operations, lane.units), (2, 60));
        let seconds: Vec<_> = lane.seconds.iter().map(|second| second.operations).collect();
        assert_eq!(seconds, [1, 1]);
    }

    #[test]
    fn a_known_distribution_comes_back_to_three_digits() {
        let (window, mut lane) = (window(), Lane::new("get", &window()));
        // 1 to 10,000 µs, once each: the percentile p is p hundredths of 10 ms.
        for micros in 1..=10_000 {
            let due = window.start;
            lane.success(&window, due, due, due + Duration::from_micros(micros), 1);
        }
        for (quantile, micros) in [(0.5, 5_000_u64), (0.99, 9_900), (0.999, 9_990), (1.0, 10_000)] {
            let seen = lane.latency.value_at_quantile(quantile);
            assert!(seen.abs_diff(micros * 1_000) <= micros * 2, "{quantile}: {seen}");
        }
        assert!((lane.latency.mean() - 5_000_500.0).abs() < 10_000.0);
    }

    #[test]
    fn what_never_came_is_an_error_and_as_late_as_it_is_known_to_be() {
        let (window, mut lane) = (window(), Lane::new("get", &window()));
        lane.unanswered(&window, window.start);
        lane.unanswered(&window, window.end);
        assert_eq!((lane.errors[UNANSWERED], lane.operations), (1, 0));
        assert!(lane.latency.max() >= 3_000_000_000);
    }

    #[test]
    fn threads_add_up() {
        let window = window();
        let (mut one, mut two) = (Lane::new("get", &window), Lane::new("get", &window));
        one.success(&window, window.start, window.start, window.start + MS, 1);
        two.success(&window, window.start, window.start, window.start + 9 * MS, 1);
        for _ in 0..9 {
            two.failure(&window, window.start, &Failure::Timeout);
        }
        one.merge(&two);
        assert_eq!((one.operations, one.error_count(), one.failures.len()), (2, 9, 5));
        assert_eq!((one.seconds[0].operations, one.seconds[0].errors), (2, 9));
        assert!(one.latency.max() >= 9_000_000);
    }
}
