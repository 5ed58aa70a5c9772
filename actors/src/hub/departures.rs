//! When users were last here, until the store knows it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;
use ovation_schema::UserId;

/// Departures kept at most: what 100,000 users leave behind between two calls takes a few MB. Past it the oldest is
/// forgotten, and its user shows an older time.
const MOST: usize = 100_000;

/// Who went offline, and when.
#[derive(Default)]
pub struct Departures(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    times: HashMap<UserId, i64>,
    order: VecDeque<UserId>,
    /// Handed out by the last call: the store may not have them yet.
    handed: HashMap<UserId, i64>,
}

impl Departures {
    /// A user's last connection has ended at `at`, milliseconds since the epoch.
    pub fn record(&self, user: UserId, at: i64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.times.insert(user, at).is_some() {
            return;
        }
        kept.order.push_back(user);
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.times.remove(&oldest);
        }
    }

    /// When a user was last here, if memory knows.
    pub fn last_seen(&self, user: UserId) -> Option<i64> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.times.get(&user).or_else(|| kept.handed.get(&user)).copied()
    }

    /// All since the last call. They stay known until the next one.
    pub fn take(&self) -> Vec<(UserId, i64)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.handed = std::mem::take(&mut kept.times);
        kept.order.clear();
        kept.handed.iter().map(|(user, at)| (*user, *at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_known_until_the_next_call() {
        let departures = Departures::default();
        departures.record(UserId(7), 5);
        departures.record(UserId(7), 6);
        assert_eq!(departures.last_seen(UserId(7)), Some(6));
        assert_eq!(departures.take(), [(UserId(7), 6)]);
        assert_eq!(
            departures.last_seen(UserId(7)),
            Some(6),
            "the store may not have it yet"
        );
        assert_eq!(departures.take(), []);
        assert_eq!(departures.last_seen(UserId(7)), None);
        for user in 0..=i64::try_from(MOST).unwrap() {
            departures.record(UserId(user), user);
        }
        assert_eq!(departures.last_seen(UserId(0)), None);
        assert_eq!(departures.take().len(), MOST);
    }
}
