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
    /// When the last three values went out, the oldest first; none where a late value puts off those after it.
    recent: Option<[Option<Instant>; 3]>,
    told: Option<T>,
    wanted: bool,
}

impl<T: PartialEq + Copy> Throttle<T> {
    /// Closed for `spacing` after each value.
    pub fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            open_at: None,
            recent: None,
            told: None,
            wanted: false,
        }
    }

    /// Closed for `spacing` after each value as well, but a value that went out late, because its thread was busy, does not
    /// put off those after it: the next may follow it by as little as half of `spacing`. Of any five values the last
    /// still comes at least four times `spacing` after the first.
    pub fn steady(spacing: Duration) -> Self {
        Self {
            recent: Some([None; 3]),
            ..Self::new(spacing)
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
        self.open_at = Some(self.next(now));
        true
    }

    /// When the value after the one of now may go out.
    fn next(&mut self, now: Instant) -> Instant {
        let Some([fourth, third, second]) = self.recent else {
            return now + self.spacing;
        };
        self.recent = Some([third, second, Some(now)]);
        let late = self.open_at.map(|due| now.saturating_duration_since(due));
        let made_up = late.filter(|late| *late <= self.spacing / 2).unwrap_or_default();
        let next = now + self.spacing - made_up;
        fourth.map_or(next, |fourth| next.max(fourth + self.spacing * 4))
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

    const SPACING: Duration = Duration::from_millis(251);

    /// What a listener hears of a value that changes at these times (milliseconds after the one before) to these values,
    /// each with whether somebody new comes who knows the value of then. Alarms ring `late` milliseconds late, in turn.
    fn heard(mut throttle: Throttle<u8>, changes: &[(u64, u8, bool)], late: &[u64]) -> (Vec<(Instant, u8)>, u8) {
        let mut now = Instant::now();
        let mut late = late.iter().copied().map(Duration::from_millis).cycle();
        let mut heard: Vec<(Instant, u8)> = Vec::new();
        let mut value = 0;
        throttle.knows(0);
        let mut newcomer = 0;
        for (after, to, joins) in changes {
            let next = now + Duration::from_millis(*after);
            let rings = throttle.due().map(|due| due.max(now) + late.next().unwrap_or_default());
            if let Some(rings) = rings.filter(|rings| *rings < next)
                && throttle.is_open(rings)
                && throttle.tell(value, rings)
            {
                heard.push((rings, value));
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
            changes in prop::collection::vec((0u64..400, 0u8..4, prop::bool::weighted(0.1)), 0..60),
            late in prop::collection::vec(0u64..300, 1..20),
        ) {
            let (sparse, value) = heard(Throttle::new(SPACING), &changes, &late);
            for two in sparse.windows(2) {
                prop_assert!(two[1].0 - two[0].0 >= SPACING);
            }
            prop_assert_eq!(sparse.last().map_or(0, |(_, value)| *value), value);
            let (steady, value) = heard(Throttle::steady(SPACING), &changes, &late);
            for two in steady.windows(2) {
                prop_assert!(two[1].0 - two[0].0 >= SPACING / 2);
            }
            for five in steady.windows(5) {
                prop_assert!(five[4].0 - five[0].0 >= SPACING * 4);
            }
            prop_assert_eq!(steady.last().map_or(0, |(_, value)| *value), value);
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

    /// A value that changes all the time, on a thread whose alarms ring 20 ms late.
    #[test]
    fn lateness_does_not_add_up() {
        let count = |mut throttle: Throttle<u64>| {
            let start = Instant::now();
            let mut now = start;
            let mut values = 0;
            while now < start + Duration::from_secs(10) {
                throttle.want();
                now = throttle.due().map_or(now, |due| due + Duration::from_millis(20));
                assert!(throttle.is_open(now) && throttle.tell(values, now));
                values += 1;
            }
            values
        };
        assert_eq!(count(Throttle::new(SPACING)), 38);
        assert_eq!(count(Throttle::steady(SPACING)), 41);
    }
}
