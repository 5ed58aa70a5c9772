//! Where a connection stands in its user's stream of events.
//!
//! Owns the `seq` that is sent next, and with it the one mechanism for replay and live: an event is sent when its `seq`
//! is the next one, wherever it came from, and what is known to exist beyond it is read from the store. Knows no actor,
//! no frame but the events' own, and no clock but the one it is handed.

use std::time::{Duration, Instant};

use ovation_schema::UserId;
use ovation_schema::streams::Event;

use super::outgoing::Outgoing;
use crate::operator::{Member, Start};
use crate::outbox::Taken;
use crate::push::Frame;

/// Announcements of two threads cross within microseconds. Reading the store for each crossing would cost a query; an
/// announcement that doesn't come at all is noticed after this.
const CROSSING: Duration = Duration::from_millis(5);

/// The first wait after the store could not be read, or did not have what was announced.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The longest one.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// After so many doublings it is the longest.
const MOST_FAILURES: u8 = 6;

/// A user's stream on one connection.
#[derive(Debug)]
pub(super) struct Position {
    user: UserId,
    next: i64,
    newest: i64,
    /// Until this `seq` events come from the store alone; `synced` is said there.
    replay: Option<i64>,
    /// Pages are not asked for before this.
    not_before: Option<Instant>,
    /// Pages in a row that did not come, or did not have what is known to exist.
    failures: u8,
    /// A page is on its way.
    reading: bool,
}

/// What shall happen about the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Read the events from this `seq` on.
    Page(UserId, i64),
    /// Come back then.
    Until(Instant),
}

impl Position {
    /// After `welcome`: says `gap` where that is how it starts.
    pub(super) fn new(member: &Member, out: &mut Outgoing) -> Self {
        let mut position = Self {
            user: member.user,
            next: member.next,
            newest: member.next - 1,
            replay: None,
            not_before: None,
            failures: 0,
            reading: false,
        };
        match member.start {
            Start::Live => {}
            Start::Replay { until } => {
                position.replay = Some(until);
                position.newest = until - 1;
                position.settle(out);
            }
            Start::Gap { oldest, newest } => out.push(gap(oldest, newest)),
        }
        position
    }

    /// The `seq` with which to ask the outbox for events; none while a replay needs none of them.
    pub(super) fn live(&self) -> Option<i64> {
        self.replay.is_none().then_some(self.next)
    }

    /// What the outbox had.
    pub(super) fn taken(&mut self, taken: &mut Taken, now: Instant, out: &mut Outgoing) {
        let whole = self.newest < self.next;
        self.newest = self.newest.max(taken.newest);
        let more = !taken.durable.is_empty();
        for frame in taken.durable.drain(..) {
            out.push(frame);
            self.next += 1;
        }
        if self.newest < self.next {
            self.not_before = None;
        } else if self.replay.is_none() && !self.reading && (whole || more) {
            // Seen for the first time, or a new one after the last was filled.
            self.not_before = Some(now + CROSSING);
        }
    }

    /// What to do now; asked when everything before has been handed to the socket.
    pub(super) fn need(&mut self, now: Instant) -> Option<Need> {
        if self.reading || self.newest < self.next {
            return None;
        }
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return Some(Need::Until(at));
        }
        self.not_before = None;
        self.reading = true;
        Some(Need::Page(self.user, self.next))
    }

    /// A page came. Events are sent as long as they follow each other; the next page shows what does not.
    pub(super) fn page(&mut self, events: &[Event], now: Instant, out: &mut Outgoing) {
        self.reading = false;
        let before = self.next;
        if let Some(oldest) = events.first().map(|event| event.seq).filter(|seq| *seq > self.next) {
            // What is next has been trimmed while this connection was on its way to it.
            self.newest = self.newest.max(events.last().map_or(oldest, |event| event.seq));
            out.push(gap(oldest, self.newest));
            self.next = self.newest + 1;
        }
        if events.is_empty()
            && let Some(until) = self.replay
        {
            // What was there when the replay began has been trimmed to its end; nothing else would ever say so.
            out.push(gap(until, until - 1));
            self.next = until;
        }
        for event in events {
            if event.seq == self.next {
                out.push(Frame::durable(event));
                self.next += 1;
            }
        }
        if self.next > before {
            self.failures = 0;
            self.settle(out);
        } else {
            self.failed(now);
        }
    }

    /// A page did not come, or did not have what is known to exist.
    pub(super) fn failed(&mut self, now: Instant) {
        self.reading = false;
        self.not_before = Some(now + (BACK_OFF * (1 << self.failures)).min(LONGEST_BACK_OFF));
        self.failures = (self.failures + 1).min(MOST_FAILURES);
    }

    /// Says `synced` when the replay has got there.
    fn settle(&mut self, out: &mut Outgoing) {
        if self.replay.is_some_and(|until| self.next >= until) {
            self.replay = None;
            out.push(Frame::text(&format!(
                r#"{{"t":"synced","d":{{"seq":{}}}}}"#,
                self.next - 1
            )));
        }
    }
}

fn gap(oldest: i64, newest: i64) -> Frame {
    Frame::text(&format!(r#"{{"t":"gap","d":{{"oldest":{oldest},"newest":{newest}}}}}"#))
}

#[cfg(test)]
mod tests;
