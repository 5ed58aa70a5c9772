//! Where calls wait until the counting actor takes them, all at once.
//!
//! Owns the calls that nobody has taken yet, and whether the actor must be woken for the next one. Knows nothing of what
//! is asked. A mailbox would wake the actor's thread for every like, a system call and two changes of threads. That is for
//! nothing while the actor is awake, and while what came could go no further: it looks here by itself after each append
//! and each look-up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CountersError;
use super::group::Ask;

/// Says that calls are waiting.
#[derive(actix::Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct Wake;

#[derive(Default)]
struct State {
    asks: Vec<Ask>,
    actor: Actor,
    closed: bool,
}

/// What the actor must be told.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    /// Of whatever comes.
    #[default]
    Rests,
    /// Of pairs that have to be looked up: an append is under way, and all others wait for its end.
    Appends,
    /// Of nothing: it will look here.
    Looks,
}

/// The callers' end; clones share it.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Mutex<State>>);

impl Inbox {
    /// Leaves a call here; `known` says whether its pair needs no look-up. True: the actor has to be sent a [`Wake`].
    /// [`CountersError::Unavailable`]: it has ended.
    pub(super) fn put(&self, ask: Ask, known: impl FnOnce() -> bool) -> Result<bool, CountersError> {
        let mut state = self.lock();
        if state.closed {
            return Err(CountersError::Unavailable);
        }
        state.asks.push(ask);
        if state.actor == Actor::Appends {
            // It takes a lock of its own, and may have to wait for that: not while everybody else waits here.
            drop(state);
            if known() {
                return Ok(false);
            }
            state = self.lock();
        }
        Ok(std::mem::replace(&mut state.actor, Actor::Looks) != Actor::Looks)
    }

    /// Nobody will ever take what is here: whoever waits hears so, and whoever comes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let asks = std::mem::take(&mut state.asks);
        drop(state);
        // A dropped call is one without an answer, which wakes its caller: not under the lock.
        drop(asks);
    }

    /// The actor's end, of which there must be one.
    pub(super) fn taker(&self) -> Taker {
        Taker(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actor's end. Closes the inbox when it is dropped, however the actor ends.
pub(super) struct Taker(Inbox);

impl Taker {
    /// Everything that waits, in order, in exchange for an empty place of the same size.
    pub(super) fn take(&self, into: &mut Vec<Ask>) {
        debug_assert!(into.is_empty(), "what was taken before has been dealt with");
        std::mem::swap(&mut self.0.lock().asks, into);
    }

    /// What the actor does from now on. False: something waits already, and it has to look.
    pub(super) fn turn_to(&self, actor: Actor) -> bool {
        let mut state = self.0.lock();
        let quiet = state.asks.is_empty();
        state.actor = if quiet { actor } else { Actor::Looks };
        quiet
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use ovation_schema::{UserId, VideoId};
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::counters::Outcome;

    type Answer = oneshot::Receiver<Result<Outcome, CountersError>>;

    fn ask(user: i64) -> (Ask, Answer) {
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            user: UserId(user),
            video: VideoId(1),
            on: true,
            reply,
            place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        };
        (ask, answer)
    }

    #[test]
    fn only_who_finds_the_actor_at_rest_wakes_it_and_nobody_is_overlooked() {
        let inbox = Inbox::default();
        let actor = inbox.taker();
        let mut taken = Vec::new();
        let known = || true;
        assert_eq!(inbox.put(ask(1).0, known), Ok(true));
        assert_eq!(inbox.put(ask(2).0, known), Ok(false));
        actor.take(&mut taken);
        assert_eq!(taken.drain(..).map(|ask| ask.user.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(inbox.put(ask(3).0, known), Ok(false), "it has not gone to rest yet");
        assert!(!actor.turn_to(Actor::Rests), "so it must look again");
        actor.take(&mut taken);
        assert_eq!(taken.drain(..).count(), 1);
        assert!(actor.turn_to(Actor::Rests));
        assert_eq!(inbox.put(ask(4).0, known), Ok(true));
    }

    #[test]
    fn an_append_is_not_disturbed_but_for_a_look_up() {
        let inbox = Inbox::default();
        let actor = inbox.taker();
        let mut taken = Vec::new();
        assert!(actor.turn_to(Actor::Appends));
        assert_eq!(inbox.put(ask(1).0, || true), Ok(false));
        assert_eq!(inbox.put(ask(2).0, || false), Ok(true), "its look-up can begin");
        assert_eq!(inbox.put(ask(3).0, || false), Ok(false), "once told is enough");
        actor.take(&mut taken);
        assert_eq!(taken.drain(..).count(), 3);
        assert!(actor.turn_to(Actor::Looks));
        assert_eq!(inbox.put(ask(4).0, || false), Ok(false), "the end of either finds it");
    }

    #[test]
    fn whoever_waits_for_an_actor_that_ends_hears_of_it() {
        let inbox = Inbox::default();
        let actor = inbox.taker();
        let (waiting, mut answer) = ask(1);
        assert_eq!(inbox.put(waiting, || true), Ok(true));
        drop(actor);
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert_eq!(inbox.put(ask(2).0, || true), Err(CountersError::Unavailable));
    }
}
