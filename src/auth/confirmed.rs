//! Tokens that the database has confirmed not long ago.
//!
//! Owns a bounded memory of (user, token version) with the time of the last look at the user's row, and up to when all
//! revocations are known. With it a like, a feed page and a profile need not ask the database who sent the request, and
//! likes go on while the database is away. Never confirms anything itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};

/// How old the newest word on a token may be: a token made void by `ovation user passwd` is void within this time for
/// likes, the feed and profiles, and at once for everything else.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look at the row is good for while no revocation is heard of: for hands that change a row's version beside
/// the server, of which no revocation tells.
const LOOKED: Duration = Duration::from_secs(10);
/// How long a confirmation helps while the database can't be asked.
const USABLE: Duration = Duration::from_mins(10);
/// Users remembered; beyond it the memory starts anew, which costs each of them one look.
const MOST: usize = 100_000;

/// The memory; shared behind the server's handles.
#[derive(Debug)]
pub struct Confirmed(Mutex<State>);

#[derive(Debug)]
struct State {
    users: HashMap<i64, Known>,
    /// Whoever was revoked before this moment has been forgotten since. Of what came later nothing is known.
    heard_until: Option<Instant>,
    /// Raised with each revocation that is heard of.
    revoked: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    version: u32,
    /// When the look that said so began: what was revoked before, it would have seen.
    looked_at: Instant,
}

/// The moment before a look at a user's row.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    at: Instant,
    revoked: u64,
}

impl Default for Confirmed {
    fn default() -> Self {
        Self(Mutex::new(State {
            users: HashMap::new(),
            heard_until: None,
            revoked: 0,
        }))
    }
}

impl Confirmed {
    /// The token was not void a second ago: the row said so since, or it said so within ten seconds and no revocation has
    /// been heard of.
    pub fn is_fresh(&self, user: i64, version: u32) -> bool {
        self.is_fresh_at(Instant::now(), user, version)
    }

    fn is_fresh_at(&self, now: Instant, user: i64, version: u32) -> bool {
        let state = self.lock();
        state.known(user, version).is_some_and(|looked_at| {
            let word = state.heard_until.map_or(looked_at, |heard| heard.max(looked_at));
            now.saturating_duration_since(word) < FRESH && now.saturating_duration_since(looked_at) < LOOKED
        })
    }

    /// The row said so not long ago; for use while it can't be asked.
    pub fn is_usable(&self, user: i64, version: u32) -> bool {
        let looked_at = self.lock().known(user, version);
        looked_at.is_some_and(|looked_at| looked_at.elapsed() < USABLE)
    }

    /// To be taken before a look at a user's row begins.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            at: Instant::now(),
            revoked: self.lock().revoked,
        }
    }

    /// The row said so in a look that began after `stamp` was taken. Not kept if anybody was revoked meanwhile: it may have
    /// been this user, and the look have come before it.
    pub fn remember(&self, user: i64, version: u32, stamp: Stamp) {
        let mut state = self.lock();
        if state.revoked != stamp.revoked {
            return;
        }
        if state.users.len() >= MOST && !state.users.contains_key(&user) {
            state.users.clear();
        }
        let looked_at = stamp.at;
        state.users.insert(user, Known { version, looked_at });
    }

    /// The row says otherwise now. Does not reach those who look at this moment: whoever presents void tokens would keep
    /// everybody else from being remembered.
    pub fn forget(&self, user: i64) {
        self.lock().users.remove(&user);
    }

    /// The user's tokens up to now were made void. Looks that are under way are not remembered.
    pub fn revoke(&self, user: i64) {
        let mut state = self.lock();
        state.users.remove(&user);
        state.revoked += 1;
    }

    /// Everybody whose revocation was committed before `moment` has been forgotten.
    pub fn know_revocations_until(&self, moment: Instant) {
        self.lock().heard_until = Some(moment);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&self, user: i64, version: u32) -> Option<Instant> {
        let known = self.users.get(&user).filter(|known| known.version == version);
        known.map(|known| known.looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_was_confirmed_counts() {
        let confirmed = Confirmed::default();
        assert!(!confirmed.is_usable(1, 1));
        confirmed.remember(1, 1, confirmed.stamp());
        assert!(confirmed.is_fresh(1, 1) && confirmed.is_usable(1, 1));
        assert!(!confirmed.is_usable(1, 2) && !confirmed.is_usable(2, 1));
        confirmed.forget(1);
        assert!(!confirmed.is_usable(1, 1));
    }

    #[test]
    fn a_look_that_ends_after_a_revocation_is_not_remembered() {
        let confirmed = Confirmed::default();
        let before = confirmed.stamp();
        confirmed.revoke(1);
        confirmed.remember(1, 1, before);
        assert!(!confirmed.is_fresh(1, 1) && !confirmed.is_usable(1, 1));
        confirmed.remember(1, 2, confirmed.stamp());
        assert!(confirmed.is_fresh(1, 2), "the next look is");
    }

    #[test]
    fn a_slow_look_is_as_old_as_its_beginning() {
        let confirmed = Confirmed::default();
        let stamp = confirmed.stamp();
        confirmed.remember(1, 1, stamp);
        let after = |time| confirmed.is_fresh_at(stamp.at + time, 1, 1);
        assert!(after(FRESH / 2) && !after(FRESH), "without word of revocations");
    }

    #[test]
    fn word_of_revocations_makes_a_look_last_but_not_for_ever() {
        let confirmed = Confirmed::default();
        let stamp = confirmed.stamp();
        confirmed.remember(1, 1, stamp);
        let after = |time| confirmed.is_fresh_at(stamp.at + time, 1, 1);
        confirmed.know_revocations_until(stamp.at + FRESH * 4);
        assert!(after(FRESH * 4 + FRESH / 2));
        assert!(!after(FRESH * 5), "the last word is a second old");
        confirmed.know_revocations_until(stamp.at + LOOKED);
        assert!(after(LOOKED.saturating_sub(FRESH / 2)) && !after(LOOKED));
    }

    #[test]
    fn the_memory_is_bounded() {
        let confirmed = Confirmed::default();
        for user in 0..=i64::try_from(MOST).unwrap() {
            confirmed.remember(user, 1, confirmed.stamp());
        }
        assert!(confirmed.lock().users.len() <= MOST);
        assert!(
            confirmed.is_fresh(i64::try_from(MOST).unwrap(), 1),
            "the newest is kept"
        );
    }
}
