//! Who watches whom, and what each watcher was told.
//!
//! Plain: methods take the time and return whom to tell. State decides: what is told is the difference between how a user
//! is and what the watcher was told last, so a change that is heard of twice, late or not at all does no harm.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use ovation_schema::UserId;
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::push::Slot;

/// A user who is back within this time was never away: a reload, or a phone that changes its network, makes no flicker.
/// The price is that watchers hear of a departure so much later; `last_seen` is the true time.
pub const GRACE: Duration = Duration::from_secs(3);

/// Plain state of presence.
#[derive(Default)]
pub struct Watches {
    by_id: HashMap<u64, Watch>,
    by_friend: HashMap<UserId, HashSet<u64>>,
    by_watcher: HashMap<UserId, HashSet<u64>>,
    /// Those whose departure is not told yet, until when. Bounded by the watched users.
    leaving: HashMap<UserId, Instant>,
    /// In the order of time; entries that `leaving` does not know any more are passed over.
    order: VecDeque<(Instant, UserId)>,
}

struct Watch {
    watcher: UserId,
    outbox: Arc<Outbox>,
    /// Whether each friend was said to be online.
    told: HashMap<UserId, bool>,
}

impl Watches {
    /// A watch whose watcher was told these.
    pub fn add(&mut self, id: u64, watcher: UserId, outbox: Arc<Outbox>, told: HashMap<UserId, bool>) {
        for friend in told.keys() {
            self.by_friend.entry(*friend).or_default().insert(id);
        }
        self.by_watcher.entry(watcher).or_default().insert(id);
        self.by_id.insert(id, Watch { watcher, outbox, told });
    }

    /// It ends.
    pub fn remove(&mut self, id: u64) {
        let Some(watch) = self.by_id.remove(&id) else {
            return;
        };
        remove_from(&mut self.by_watcher, watch.watcher, id);
        for friend in watch.told.keys() {
            self.forget(*friend, id);
        }
    }

    /// Neither of the two watches the other any more.
    pub fn unfriend(&mut self, one: UserId, other: UserId) {
        for (watcher, friend) in [(one, other), (other, one)] {
            let ids: Vec<u64> = self.by_watcher.get(&watcher).into_iter().flatten().copied().collect();
            for id in ids {
                if let Some(watch) = self.by_id.get_mut(&id)
                    && watch.told.remove(&friend).is_some()
                {
                    watch.outbox.withdraw(Slot::Presence(friend));
                    self.forget(friend, id);
                }
            }
        }
    }

    /// A user is online or not, and whoever was told otherwise hears of it: at once when they are, after [`GRACE`] when
    /// not.
    pub fn changed(&mut self, user: UserId, online: bool, now: Instant) -> Vec<Arc<Outbox>> {
        if online {
            self.leaving.remove(&user);
            return self.tell(user, true);
        }
        if self.is_told(user, true) && !self.leaving.contains_key(&user) {
            let until = now + GRACE;
            self.leaving.insert(user, until);
            self.order.push_back((until, user));
        }
        Vec::new()
    }

    /// The next user whose grace is over, with those who are to hear of it if the user is still away.
    pub fn over(&mut self, now: Instant) -> Option<UserId> {
        while let Some((until, user)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            if self.leaving.get(&user) == Some(&until) {
                self.leaving.remove(&user);
                return Some(user);
            }
        }
        None
    }

    /// When the next grace is over.
    pub fn due(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    /// Those who were told otherwise; they count as told now.
    pub fn tell(&mut self, user: UserId, online: bool) -> Vec<Arc<Outbox>> {
        let mut outboxes = Vec::new();
        for id in self.by_friend.get(&user).into_iter().flatten() {
            if let Some(watch) = self.by_id.get_mut(id)
                && let Some(told) = watch.told.get_mut(&user)
                && *told != online
            {
                *told = online;
                outboxes.push(Arc::clone(&watch.outbox));
            }
        }
        outboxes
    }

    /// Every watcher's outbox, for the end.
    pub fn outboxes(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        self.by_id.values().map(|watch| &watch.outbox)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn is_told(&self, user: UserId, online: bool) -> bool {
        let mut watches = self.by_friend.get(&user).into_iter().flatten();
        watches.any(|id| self.by_id.get(id).and_then(|watch| watch.told.get(&user)) == Some(&online))
    }

    fn forget(&mut self, friend: UserId, id: u64) {
        remove_from(&mut self.by_friend, friend, id);
        if !self.by_friend.contains_key(&friend) {
            self.leaving.remove(&friend);
        }
    }
}

fn remove_from(map: &mut HashMap<UserId, HashSet<u64>>, user: UserId, id: u64) {
    if let Some(ids) = map.get_mut(&user) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outbox::OutboxLimits;

    const LIMITS: OutboxLimits = OutboxLimits {
        frames: 8,
        bytes: 4_096,
    };

    #[derive(Debug, Clone)]
    enum Step {
        Come(i64),
        Go(i64),
        Watch(i64, i64),
        Unwatch(usize),
        Unfriend(i64, i64),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0i64..4).prop_map(Step::Come),
            (0i64..4).prop_map(Step::Go),
            (0i64..4, 0i64..4).prop_map(|(watcher, friend)| Step::Watch(watcher, friend)),
            any::<usize>().prop_map(Step::Unwatch),
            (0i64..4, 0i64..4).prop_map(|(one, other)| Step::Unfriend(one, other)),
            (0u64..5_000).prop_map(Step::Wait),
        ]
    }

    fn pass(watches: &mut Watches, online: &HashSet<UserId>, now: Instant) {
        while let Some(user) = watches.over(now) {
            if !online.contains(&user) {
                watches.tell(user, false);
            }
        }
    }

    proptest! {
        /// Once nothing happens any more, every watcher was told how each friend is; and nothing is left after the last.
        #[test]
        fn in_the_end_everybody_knows(steps in prop::collection::vec(step(), 0..80)) {
            let mut watches = Watches::default();
            let mut online: HashSet<UserId> = HashSet::default();
            let mut ids: Vec<u64> = Vec::new();
            let mut now = Instant::now();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Come(user) => {
                        online.insert(UserId(user));
                        watches.changed(UserId(user), true, now);
                        prop_assert!(!watches.is_told(UserId(user), false));
                    }
                    Step::Go(user) => {
                        online.remove(&UserId(user));
                        prop_assert!(watches.changed(UserId(user), false, now).is_empty(), "grace");
                    }
                    Step::Watch(watcher, friend) => {
                        let told = [(UserId(friend), online.contains(&UserId(friend)))].into_iter().collect();
                        watches.add(number as u64, UserId(watcher), Arc::new(Outbox::new(LIMITS)), told);
                        ids.push(number as u64);
                    }
                    Step::Unwatch(at) if !ids.is_empty() => watches.remove(ids.swap_remove(at % ids.len())),
                    Step::Unwatch(_) => {}
                    Step::Unfriend(one, other) => {
                        watches.unfriend(UserId(one), UserId(other));
                        for watch in watches.by_id.values() {
                            let pair = [watch.watcher, *watch.told.keys().next().unwrap_or(&UserId(-1))];
                            prop_assert!(pair != [UserId(one), UserId(other)] && pair != [UserId(other), UserId(one)]);
                        }
                    }
                    Step::Wait(ms) => {
                        now += Duration::from_millis(ms);
                        pass(&mut watches, &online, now);
                    }
                }
                prop_assert!(watches.due().is_none_or(|due| due <= now + GRACE));
            }
            pass(&mut watches, &online, now + GRACE);
            for watch in watches.by_id.values() {
                for (friend, told) in &watch.told {
                    prop_assert_eq!(*told, online.contains(friend));
                }
            }
            for id in ids {
                watches.remove(id);
            }
            prop_assert!(watches.by_id.is_empty() && watches.by_friend.is_empty() && watches.by_watcher.is_empty());
            prop_assert!(watches.leaving.is_empty() && watches.due().is_none());
        }
    }
}
