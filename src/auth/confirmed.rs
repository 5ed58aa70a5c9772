//! Tokens that the database has confirmed a moment ago.
//!
//! Owns a bounded memory of (user, token version) with the time of the last look at the user's row. With it a like, a
//! feed page and a profile need not ask the database who sent the request, and likes go on while the database is away. Never confirms anything itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a confirmation is as good as a look: a token made void by `ovation user passwd` is void within this time for
/// likes, the feed and profiles, and at once for everything else.
const FRESH: Duration = Duration::from_secs(1);
/// How long a confirmation helps while the database can't be asked.
const USABLE: Duration = Duration::from_mins(10);
/// Users remembered; beyond it the memory starts anew, which costs each of them one look.
const MOST: usize = 100_000;

/// The memory; shared behind the server's handles.
#[derive(Debug, Default)]
pub struct Confirmed(Mutex<HashMap<i64, (u32, Instant)>>);

impl Confirmed {
    /// The row said so within the last second.
    pub fn is_fresh(&self, user: i64, version: u32) -> bool {
        self.age(user, version).is_some_and(|age| age < FRESH)
    }

    /// The row said so not long ago; for use while it can't be asked.
    pub fn is_usable(&self, user: i64, version: u32) -> bool {
        self.age(user, version).is_some_and(|age| age < USABLE)
    }

    /// The row says so now.
    pub fn remember(&self, user: i64, version: u32) {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MOST && !users.contains_key(&user) {
            users.clear();
        }
        users.insert(user, (version, Instant::now()));
    }

    /// The row says otherwise now.
    pub fn forget(&self, user: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
    }

    fn age(&self, user: i64, version: u32) -> Option<Duration> {
        let users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        users
            .get(&user)
            .filter(|(known, _)| *known == version)
            .map(|(_, at)| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_was_confirmed_counts() {
        let confirmed = Confirmed::default();
        assert!(!confirmed.is_usable(1, 1));
        confirmed.remember(1, 1);
        assert!(confirmed.is_fresh(1, 1) && confirmed.is_usable(1, 1));
        assert!(!confirmed.is_usable(1, 2) && !confirmed.is_usable(2, 1));
        confirmed.forget(1);
        assert!(!confirmed.is_usable(1, 1));
    }

    #[test]
    fn the_memory_is_bounded() {
        let confirmed = Confirmed::default();
        for user in 0..=i64::try_from(MOST).unwrap() {
            confirmed.remember(user, 1);
        }
        assert!(confirmed.0.lock().unwrap().len() <= MOST);
        assert!(
            confirmed.is_fresh(i64::try_from(MOST).unwrap(), 1),
            "the newest is kept"
        );
    }
}
