//! How often something may be said.
//!
//! Plain values whose methods take the time; they set no timer and send nothing.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Lets the newest value out at most once in a while. The first goes at once; after a pause that is too short the last
/// one goes when the pause is over (the trailing edge), and what has been told already is not told again.
#[derive(Debug)]
pub struct Throttle<T> {
    spacing: Duration,
    open_at: Option<Instant>,
    told: Option<T>,
    wanted: bool,
}

impl<T: PartialEq + Copy> Throttle<T> {
    /// Closed for `spacing` after each value.
    pub fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            open_at: None,
            told: None,
            wanted: false,
        }
    }

    /// The value may have changed.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Everybody who listens knows this value.
    pub fn knows(&mut self, value: T) {
        self.told = Some(value);
    }

    /// Somebody listens who may know another value than the rest: the next one goes out, whatever it is.
    pub fn forget(&mut self) {
        self.told = None;
        self.wanted = true;
    }

    /// What everybody who listens knows.
    pub fn told(&self) -> Option<T> {
        self.told
    }

    /// Whether a value is wanted and may go out.
    pub fn is_open(&self, now: Instant) -> bool {
        self.wanted && self.open_at.is_none_or(|at| at <= now)
    }

    /// When the wanted value may go out; none when none is wanted, or when it may at once.
    pub fn due(&self) -> Option<Instant> {
        self.open_at.filter(|_| self.wanted)
    }

    /// The value at this moment, when [`Throttle::is_open`]. True when it has to be said.
    pub fn tell(&mut self, value: T, now: Instant) -> bool {
        self.wanted = false;
        if self.told == Some(value) {
            return false;
        }
        self.told = Some(value);
        self.open_at = Some(now + self.spacing);
        true
    }
}

/// At most so many within any such time; the rest is not said at all.
#[derive(Debug)]
pub struct Rate {
    most: usize,
    within: Duration,
    times: VecDeque<Instant>,
}

impl Rate {
    /// `most` within any half-open span of `within`.
    pub fn new(most: usize, within: Duration) -> Self {
        Self {
            most,
            within,
            times: VecDeque::new(),
        }
    }

    /// Whether one more may be said now; counts it if so.
    pub fn admit(&mut self, now: Instant) -> bool {
        while self.times.front().is_some_and(|at| *at + self.within <= now) {
            self.times.pop_front();
        }
        let room = self.times.len() < self.most;
        if room {
            self.times.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACING: Duration = Duration::from_millis(275);

    /// What a listener hears of a value that changes at these times (milliseconds after the one before) to these values,
    /// each with whether somebody new comes who knows the value of then.
    fn heard(changes: &[(u64, u8, bool)]) -> (Vec<(Instant, u8)>, u8) {
        let mut now = Instant::now();
        let mut throttle = Throttle::new(SPACING);
        let mut heard: Vec<(Instant, u8)> = Vec::new();
        let mut value = 0;
        throttle.knows(0);
        let mut newcomer = 0;
        for (after, to, joins) in changes {
            let next = now + Duration::from_millis(*after);
            if let Some(due) = throttle.due().filter(|due| *due < next)
                && throttle.is_open(due)
                && throttle.tell(value, due)
            {
                heard.push((due, value));
                newcomer = value;
            }
            now = next;
            value = *to;
            throttle.want();
            if *joins {
                newcomer = value;
                throttle.forget();
            }
            if throttle.is_open(now) && throttle.tell(value, now) {
                heard.push((now, value));
                newcomer = value;
            }
        }
        if let Some(due) = throttle.due() {
            assert!(throttle.is_open(due));
            if throttle.tell(value, due) {
                heard.push((due, value));
                newcomer = value;
            }
        }
        assert_eq!(throttle.due(), None);
        assert_eq!(newcomer, value, "a newcomer is left with an older value");
        (heard, value)
    }

    proptest! {
        #[test]
        fn never_too_often_and_the_last_value_always(
            changes in prop::collection::vec((0u64..400, 0u8..4, prop::bool::weighted(0.1)), 0..60)
        ) {
            let (heard, value) = heard(&changes);
            for five in heard.windows(5) {
                prop_assert!(five[4].0 - five[0].0 > Duration::from_secs(1));
            }
            prop_assert_eq!(heard.last().map_or(0, |(_, value)| *value), value);
        }

        #[test]
        fn a_rate_holds_in_every_second(steps in prop::collection::vec(0u64..120, 0..300)) {
            let mut now = Instant::now();
            let mut rate = Rate::new(20, Duration::from_secs(1));
            let mut said = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                let before = said.iter().filter(|at| **at + Duration::from_secs(1) > now).count();
                prop_assert_eq!(rate.admit(now), before < 20);
                if before < 20 {
                    said.push(now);
                }
            }
        }
    }
}
