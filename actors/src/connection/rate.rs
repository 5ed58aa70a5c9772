//! How many operations a client may send: a token bucket of two words.

use std::time::Instant;

/// Refills at a rate, holds two seconds' worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            left: per_second * 2.0,
            at: now,
        }
    }

    /// Counts one operation; false when it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + gained).min(self.per_second * 2.0);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn twice_the_rate_at_once_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert_eq!((0..30).filter(|_| rate.take(start)).count(), 20);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..30).filter(|_| rate.take(later)).count(), 10);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..30).filter(|_| rate.take(much_later)).count(), 20);
    }
}
