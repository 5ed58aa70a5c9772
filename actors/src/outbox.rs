//! What waits to go out on one connection.
//!
//! Owns the bounded queue between everybody who has something to say (the session, rooms, the feed, the keeper) and the one
//! connection that sends it. Nobody who puts something in ever waits, and nothing put in is ever refused that must
//! arrive: a durable event that finds no room only raises the newest known `seq`, and the connection reads it from the
//! store. A mailbox would do the same with an allocation a message and no way to merge what is out of date.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use crate::close::Close;
use crate::push::{Frame, Slot};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Frames at most.
    pub frames: usize,
    /// Bytes at most, headers included.
    pub bytes: usize,
}

/// The queue; whoever may say something to the connection holds an `Arc` of it.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Events by their `seq`. Announcements of several threads may cross; here they are in order again. Boxed, as the
    /// close is.
    #[expect(clippy::box_collection, reason = "an idle connection pays for every word of this")]
    durable: Option<Box<BTreeMap<i64, Frame>>>,
    /// The newest `seq` known to exist.
    newest: i64,
    ephemeral: VecDeque<(Option<Slot>, Frame)>,
    bytes: usize,
    ping: bool,
    close: Option<Box<Closing>>,
    /// Since when there is something that the connection has not come for.
    since: Option<Instant>,
    /// The connection has gone; nothing is kept any more.
    gone: bool,
    dropped: u64,
}

#[derive(Debug)]
struct Closing {
    close: Close,
    /// Since when it waits to be taken; none when it has been.
    since: Option<Instant>,
}

/// What a connection takes to send, in this order.
#[derive(Debug, Default)]
pub struct Taken {
    /// The events from the asked-for `seq` on, without a hole.
    pub durable: Vec<Frame>,
    /// The newest `seq` known to exist. Beyond what was taken it must come from the store.
    pub newest: i64,
    /// Ephemeral events.
    pub ephemeral: Vec<Frame>,
    /// A ping is due.
    pub ping: bool,
    /// Say this and end.
    pub close: Option<Close>,
}

impl Outbox {
    /// An empty one.
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            waiting: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// Event `seq` of the user's stream exists; `frame` is the event. Never refused: without room for the frame it is
    /// read from the store.
    pub fn announce(&self, seq: i64, frame: &Frame) {
        let mut waiting = self.lock();
        if waiting.gone {
            return;
        }
        waiting.newest = waiting.newest.max(seq);
        let known = waiting
            .durable
            .as_ref()
            .is_some_and(|durable| durable.contains_key(&seq));
        if !known && waiting.make_room(frame.len(), self.limits, Waiting::drop_any) {
            waiting.bytes += frame.len();
            waiting.durable.get_or_insert_default().insert(seq, frame.clone());
        }
        self.news(waiting);
    }

    /// Events up to `newest` exist; they are read from the store.
    pub fn raise(&self, newest: i64) {
        let mut waiting = self.lock();
        if newest > waiting.newest && !waiting.gone {
            waiting.newest = newest;
            self.news(waiting);
        }
    }

    /// Something that is not stored. Takes the place of an older one of the same slot; dropped, and counted, without
    /// room. One with a slot is the last word on something, so ones without go before it does.
    pub fn put(&self, slot: Option<Slot>, frame: &Frame) {
        let mut waiting = self.lock();
        if waiting.gone {
            return;
        }
        let older = slot.and_then(|_| waiting.ephemeral.iter().position(|(other, _)| *other == slot));
        if let Some(older) = older.filter(|older| waiting.can_replace(*older, frame, self.limits)) {
            waiting.bytes += frame.len();
            waiting.bytes -= waiting.ephemeral[older].1.len();
            waiting.ephemeral[older].1 = frame.clone();
            return self.news(waiting);
        }
        if let Some((_, older)) = older.and_then(|older| waiting.ephemeral.remove(older)) {
            waiting.bytes -= older.len();
        }
        if waiting.has_room(frame.len(), self.limits)
            || (slot.is_some() && waiting.make_room(frame.len(), self.limits, Waiting::drop_without_slot))
        {
            waiting.bytes += frame.len();
            waiting.ephemeral.push_back((slot, frame.clone()));
            self.news(waiting);
        } else {
            waiting.dropped += 1;
        }
    }

    /// Forgets what waits in a slot, because whoever asked for it does not want it any more.
    pub fn withdraw(&self, slot: Slot) {
        let mut waiting = self.lock();
        if let Some(at) = waiting.ephemeral.iter().position(|(other, _)| *other == Some(slot)) {
            let taken = waiting.ephemeral.remove(at).map_or(0, |(_, frame)| frame.len());
            waiting.bytes -= taken;
        }
    }

    /// A ping is due.
    pub fn ping(&self) {
        let mut waiting = self.lock();
        waiting.ping = !waiting.gone;
        self.news(waiting);
    }

    /// Has the connection come by without sending anything: whether it still can shows in [`Outbox::waits_for`].
    pub fn probe(&self) {
        self.news(self.lock());
    }

    /// The connection shall say this and end. The first one counts.
    pub fn close(&self, close: impl Into<Close>) {
        let mut waiting = self.lock();
        if waiting.close.is_none() && !waiting.gone {
            waiting.close = Some(Box::new(Closing {
                close: close.into(),
                since: Some(now()),
            }));
        }
        self.news(waiting);
    }

    /// The connection has ended: nothing is kept from here on.
    pub fn end(&self) {
        let mut waiting = self.lock();
        *waiting = Waiting {
            gone: true,
            dropped: waiting.dropped,
            ..Waiting::default()
        };
    }

    /// For how long something has waited that the connection did not come for: it is not polled while its client does
    /// not read.
    pub fn waits_for(&self, now: Instant) -> Duration {
        let since = self.lock().since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// For how long a close has waited that the connection did not come for; none when there is none.
    pub fn close_waits_for(&self, now: Instant) -> Option<Duration> {
        let since = self.lock().close.as_ref().and_then(|closing| closing.since);
        since.map(|since| now.saturating_duration_since(since))
    }

    /// Ephemeral events dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// For the connection: everything that can be sent now. With `next`, the `seq` it sends next, durable events come
    /// along, and older ones are forgotten; without, they stay. Pending until something is new.
    pub fn poll_take(&self, context: &mut Context<'_>, next: Option<i64>) -> Poll<Taken> {
        self.waker.register(context.waker());
        let mut waiting = self.lock();
        if waiting.since.take().is_none() {
            return Poll::Pending;
        }
        Poll::Ready(waiting.take(next))
    }

    /// For the connection, after its `next` moved by itself: what fits now, without waiting for anything new.
    pub fn take(&self, next: i64) -> Taken {
        let mut waiting = self.lock();
        waiting.since = None;
        waiting.take(Some(next))
    }

    fn news(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let asleep = waiting.since.is_none() && !waiting.gone;
        if asleep {
            waiting.since = Some(now());
        }
        drop(waiting);
        if asleep {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_room(&self, bytes: usize, limits: OutboxLimits) -> bool {
        let durable = self.durable.as_ref().map_or(0, |durable| durable.len());
        durable + self.ephemeral.len() < limits.frames && self.bytes + bytes <= limits.bytes
    }

    fn can_replace(&self, older: usize, frame: &Frame, limits: OutboxLimits) -> bool {
        self.bytes - self.ephemeral[older].1.len() + frame.len() <= limits.bytes
    }

    /// Has ephemeral events dropped until there is room. Nothing is dropped where that could not make enough.
    fn make_room(&mut self, bytes: usize, limits: OutboxLimits, drop_one: fn(&mut Self) -> bool) -> bool {
        if bytes > limits.bytes {
            return false;
        }
        while !self.has_room(bytes, limits) {
            if !drop_one(self) {
                return false;
            }
        }
        true
    }

    /// The oldest one without a slot goes, else the oldest one; false when there is none.
    fn drop_any(&mut self) -> bool {
        self.drop_without_slot() || self.drop_at(0)
    }

    fn drop_without_slot(&mut self) -> bool {
        let at = self.ephemeral.iter().position(|(slot, _)| slot.is_none());
        at.is_some_and(|at| self.drop_at(at))
    }

    fn drop_at(&mut self, at: usize) -> bool {
        let Some((_, frame)) = self.ephemeral.remove(at) else {
            return false;
        };
        self.bytes -= frame.len();
        self.dropped += 1;
        true
    }

    fn take(&mut self, next: Option<i64>) -> Taken {
        let durable = next.map_or_else(Vec::new, |next| self.take_durable(next));
        // Taken whole: a drained queue would keep the room of its worst moment for as long as the connection lives.
        let ephemeral: Vec<Frame> = std::mem::take(&mut self.ephemeral)
            .into_iter()
            .map(|(_, frame)| frame)
            .collect();
        self.bytes -= ephemeral.iter().map(Frame::len).sum::<usize>();
        Taken {
            durable,
            newest: self.newest,
            ephemeral,
            ping: std::mem::take(&mut self.ping),
            close: self
                .close
                .as_mut()
                .and_then(|closing| closing.since.take().and(Some(closing.close))),
        }
    }

    fn take_durable(&mut self, mut next: i64) -> Vec<Frame> {
        let mut taken = Vec::new();
        let Some(durable) = &mut self.durable else {
            return taken;
        };
        while let Some(entry) = durable.first_entry().filter(|entry| *entry.key() <= next) {
            let (seq, frame) = entry.remove_entry();
            self.bytes -= frame.len();
            if seq == next {
                taken.push(frame);
                next += 1;
            }
        }
        if durable.is_empty() {
            self.durable = None;
        }
        taken
    }
}

/// The runtime's clock, which tests move; without one, the system's.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
