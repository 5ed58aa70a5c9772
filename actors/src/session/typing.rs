//! To whom a user writes at the moment.

use std::collections::VecDeque;
use std::time::Duration;

use ovation_schema::UserId;
use tokio::time::Instant;

/// Without a renewal for this long a user has stopped.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(6);

/// Receivers at most: nobody writes to more at once, and each costs an entry and a frame at its end.
pub const MOST: usize = 32;

/// Plain; the session tells the receivers and sets the timer.
#[derive(Debug, Default)]
pub struct Typing {
    /// In the order in which they expire, since all stay equally long.
    to: VecDeque<(UserId, Instant)>,
}

impl Typing {
    /// Begins or renews. Where that is one too many, the one closest to its end, which has to be told.
    #[must_use]
    pub fn start(&mut self, to: UserId, now: Instant) -> Option<UserId> {
        self.stop(to);
        let ended = if self.to.len() < MOST {
            None
        } else {
            self.to.pop_front()
        };
        self.to.push_back((to, now + EXPIRES_AFTER));
        ended.map(|(user, _)| user)
    }

    /// Whether it was going on, and so has to be told.
    pub fn stop(&mut self, to: UserId) -> bool {
        let at = self.to.iter().position(|(user, _)| *user == to);
        at.and_then(|at| self.to.remove(at)).is_some()
    }

    /// The next one whose time is over, taken out.
    pub fn expire(&mut self, now: Instant) -> Option<UserId> {
        self.to.pop_front_if(|(_, at)| *at <= now).map(|(user, _)| user)
    }

    /// Everybody, taken out.
    pub fn end(&mut self) -> impl Iterator<Item = UserId> {
        std::mem::take(&mut self.to).into_iter().map(|(user, _)| user)
    }

    /// When the next one expires.
    pub fn due(&self) -> Option<Instant> {
        self.to.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What receivers were told is what goes on, and nothing goes on for longer than its time.
        #[test]
        fn everybody_who_was_told_hears_of_the_end(
            steps in prop::collection::vec((0i64..40, any::<bool>(), 0u64..900), 0..200)
        ) {
            let mut typing = Typing::default();
            let mut now = Instant::now();
            let mut told = HashSet::new();
            for (user, on, after) in steps {
                now += Duration::from_millis(after);
                while let Some(user) = typing.expire(now) {
                    prop_assert!(told.remove(&UserId(user.0)));
                }
                if on {
                    if let Some(ended) = typing.start(UserId(user), now) {
                        prop_assert!(told.remove(&ended));
                    }
                    told.insert(UserId(user));
                } else {
                    prop_assert_eq!(typing.stop(UserId(user)), told.remove(&UserId(user)));
                }
                prop_assert!(told.len() <= MOST);
                prop_assert!(typing.due().is_none_or(|due| due > now && due <= now + EXPIRES_AFTER));
            }
            prop_assert_eq!(typing.end().collect::<HashSet<_>>(), told);
        }
    }
}
