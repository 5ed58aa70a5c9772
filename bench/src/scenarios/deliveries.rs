//! What is on its way to many at once, shared by the two sides of a fan-out.
//!
//! Owns who still lacks what, when a phase is over, and the frames that were read already: what goes to everybody is read
//! in full once, and compared to the byte for all others. Never knows what is delivered or checks what it says.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::crew::Seat;
use crate::failure::Failure;
use crate::scenario::{Measure, Phase, Unit};
use crate::stats::Window;
use crate::units::{float, ratio};

/// The lanes of every fan-out; what is sent has the third, under a name of its own.
pub const DELIVERY: usize = 0;
const ALL: usize = 1;
const SENT: usize = 2;

/// As many who read, or nearly, as the aim of deliveries a second is for; that of the last one is for ten times as many.
pub const MANY: usize = 900;

/// How long a closed loop waits for the next reader before it goes on: what comes no more is dropped, what comes slowly is
/// waited for.
const LAST: Duration = Duration::from_secs(1);
/// Frames that are remembered: of more than any reader should be behind.
const FRAMES: usize = 256;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// One of this phase's numbers is told.
    Number(u64),
    /// How many there are.
    Count(u64),
    /// Something else.
    Nothing,
}

/// Something on its way.
struct Posting {
    due: Instant,
    begun: Instant,
    /// Readers who don't have it yet.
    missing: usize,
    /// When the last reader got it so far.
    latest: Instant,
    /// Nobody waits for it any more. Whoever gets it late counts all the same.
    is_given_up: bool,
}

/// All that is on its way.
struct Postings {
    all: BTreeMap<u64, Posting>,
    /// When anybody got anything.
    latest: Instant,
    /// When that was begun of which somebody got something and which was begun last.
    newest: Instant,
}

/// Frames in the order in which they were first seen.
#[derive(Default)]
struct Frames {
    kept: VecDeque<(Box<[u8]>, Heard)>,
    /// The place of the first one that is kept.
    first: usize,
}

/// What the two sides share.
pub struct Deliveries {
    readers: usize,
    is_open: bool,
    postings: Mutex<Postings>,
    frames: Mutex<Frames>,
    complete: Notify,
    /// Who sends and is not done yet.
    senders: AtomicUsize,
    is_over: AtomicBool,
    over: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliveries {
    /// From so many who send to so many who read. In an open loop the time when something is due decides whether it lies in
    /// the window, in a closed one the time when it arrives.
    pub fn new(senders: usize, readers: usize, is_open: bool) -> Self {
        let now = Instant::now();
        let postings = Postings {
            all: BTreeMap::new(),
            latest: now,
            newest: now,
        };
        Self {
            readers,
            is_open,
            postings: Mutex::new(postings),
            frames: Mutex::default(),
            complete: Notify::new(),
            senders: AtomicUsize::new(senders),
            is_over: AtomicBool::new(false),
            over: watch::Sender::new(false),
        }
    }

    /// What decides whether an operation lies in the window.
    const fn at(&self, due: Instant, done: Instant) -> Instant {
        if self.is_open { due } else { done }
    }

    /// Something is about to be sent.
    pub fn begin(&self, number: u64, due: Instant) {
        let (missing, now) = (self.readers, Instant::now());
        let posting = Posting {
            due,
            begun: now,
            missing,
            latest: now,
            is_given_up: false,
        };
        lock(&self.postings).all.insert(number, posting);
    }

    /// What was due then was accepted, or it failed, after which nobody waits for it any more.
    pub fn sent(&self, seat: &Seat, number: u64, due: Instant, result: Result<Instant, &Failure>) {
        match result {
            Ok(done) => seat.success(SENT, self.at(due, done), due, done),
            Err(failure) => {
                seat.failure(SENT, failure);
                lock(&self.postings).all.remove(&number);
            }
        }
    }

    /// A reader has it. Each must be counted once a reader, which the caller sees to.
    pub fn arrived(&self, seat: &Seat, number: u64, at: Instant) {
        let mut postings = lock(&self.postings);
        let Postings { all, latest, newest } = &mut *postings;
        let Some(posting) = all.get_mut(&number) else {
            return;
        };
        (*latest, *newest) = (at, posting.begun.max(*newest));
        posting.missing = posting.missing.saturating_sub(1);
        posting.latest = at;
        let (due, is_last, is_given_up) = (posting.due, posting.missing == 0, posting.is_given_up);
        if is_last {
            all.remove(&number);
        }
        drop(postings);
        seat.success(DELIVERY, self.at(due, at), due, at);
        if is_last && !is_given_up {
            seat.success(ALL, self.at(due, at), due, at);
            self.complete.notify_waiters();
        }
    }

    /// What a frame says: from memory where somebody got the same bytes, or as `read` finds. `place` is the reader's own
    /// and begins at 0: a reader's next frame is most often the one behind its last.
    pub fn heard(
        &self,
        place: &mut usize,
        text: &str,
        read: impl FnOnce(&str) -> Result<Heard, Failure>,
    ) -> Result<Heard, Failure> {
        let mut frames = lock(&self.frames);
        if let Some((found, heard)) = frames.find(*place, text.as_bytes()) {
            *place = found + 1;
            return Ok(heard);
        }
        let heard = read(text)?;
        *place = frames.keep(text.as_bytes(), heard) + 1;
        Ok(heard)
    }

    /// Until everybody has it, or it will not come any more: nobody got it for a while, and either nobody got anything, or
    /// somebody got what was sent later. What is only behind others in a slow server's queue is waited for.
    pub async fn wait(&self, seat: &Seat, window: &Window, number: u64) {
        let begun = Instant::now();
        loop {
            let mut complete = pin!(self.complete.notified());
            // Registered before the look, so that no notice is missed between the two.
            complete.as_mut().enable();
            let limit = {
                let mut postings = lock(&self.postings);
                let Postings { all, latest, newest } = &mut *postings;
                let Some(posting) = all.get_mut(&number) else {
                    return;
                };
                let (now, idle) = (Instant::now(), posting.latest.max(begun) + LAST);
                let is_passed_over = *latest + LAST <= now || *newest > posting.begun;
                if now >= window.cutoff() || (now >= idle && is_passed_over) {
                    posting.is_given_up = true;
                    seat.given_up(ALL, posting.due, now);
                    return;
                }
                idle.max(now + LAST / 10).min(window.cutoff())
            };
            // Both lead to another look.
            let _ = tokio::time::timeout_at(limit.into(), complete).await;
        }
    }

    /// Somebody sends no more. What is still under way in an open loop has its time to arrive; the phase is over when the
    /// last sender leaves.
    pub async fn leave(&self, seat: &Seat, window: &Window, mine: impl Fn(u64) -> bool) {
        let is_waiting = |(number, posting): (&u64, &Posting)| mine(*number) && !posting.is_given_up;
        while lock(&self.postings).all.iter().any(is_waiting) && Instant::now() < window.cutoff() {
            let limit = window.cutoff().min(Instant::now() + LAST / 10);
            let _ = tokio::time::timeout_at(limit.into(), self.complete.notified()).await;
        }
        let postings = lock(&self.postings);
        for (_, late) in postings
            .all
            .iter()
            .filter(|(number, posting)| is_waiting((number, posting)))
        {
            seat.unanswered(ALL, late.due);
        }
        drop(postings);
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.is_over.store(true, Ordering::Release);
            self.over.send_replace(true);
        }
    }

    /// Listens until the phase is over. Beside each frame this asks a flag only: a `select` would poll the signal with every
    /// one of them, at a price of the same order as the frame's.
    pub async fn until_over(&self, listening: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let (mut listening, mut over) = (pin!(listening), self.over.subscribe());
        // Unconstrained: a poll that tokio puts off, because frames used up its budget, would leave no waker behind.
        let mut over = pin!(tokio::task::unconstrained(async move {
            // The sender lives in `self`.
            let _ = over.wait_for(|over| *over).await;
        }));
        let mut is_registered = false;
        poll_fn(|context| {
            if let Poll::Ready(listened) = listening.as_mut().poll(context) {
                return Poll::Ready(listened);
            }
            // One task polls this, so the waker of the first time stays the right one.
            if !is_registered || self.is_over.load(Ordering::Acquire) {
                is_registered = true;
                return over.as_mut().poll(context).map(Ok);
            }
            Poll::Pending
        })
        .await
    }
}

impl Frames {
    fn find(&self, place: usize, text: &[u8]) -> Option<(usize, Heard)> {
        let expected = place
            .checked_sub(self.first)
            .and_then(|at| self.kept.get(at))
            .filter(|(bytes, _)| **bytes == *text);
        if let Some((_, heard)) = expected {
            return Some((place, *heard));
        }
        let at = self.kept.iter().rposition(|(bytes, _)| **bytes == *text)?;
        Some((self.first + at, self.kept[at].1))
    }

    fn keep(&mut self, text: &[u8], heard: Heard) -> usize {
        if self.kept.len() == FRAMES {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back((text.into(), heard));
        self.first + self.kept.len() - 1
    }
}

/// The share of what was sent that came, and what memory the server needed beyond the phase where all read.
pub fn measures(phase: &mut Phase, came: u64, sent: u64, readers: usize, all_read: Option<&Phase>) {
    phase.measures.push(Measure {
        name: "delivered",
        unit: Unit::Share,
        value: ratio(float(came), float(sent) * crate::units::float_len(readers)),
        ceiling: None,
        goal: None,
        more_is_better: true,
    });
    let peak = |phase: &Phase| phase.server.as_ref().map(|usage| usage.rss_peak);
    if let Some((now, before)) = peak(phase).zip(all_read.and_then(peak)) {
        phase.measures.push(Measure {
            name: "memory beyond all read",
            unit: Unit::Bytes,
            value: float(now.saturating_sub(before)),
            ceiling: None,
            goal: None,
            more_is_better: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(deliveries: &Deliveries, place: &mut usize, text: &str, reads: &mut usize) -> Heard {
        let read = |text: &str| {
            *reads += 1;
            Ok(text.parse().map_or(Heard::Nothing, Heard::Number))
        };
        deliveries.heard(place, text, read).unwrap()
    }

    #[test]
    fn a_frame_is_read_once_whoever_gets_it_and_in_whatever_order() {
        let (deliveries, mut reads) = (Deliveries::new(1, 3, false), 0);
        for order in [["1", "2", "x", "3"], ["1", "2", "x", "3"], ["2", "1", "3", "x"]] {
            let mut place = 0;
            for text in order {
                let expected = text.parse().map_or(Heard::Nothing, Heard::Number);
                assert_eq!(heard(&deliveries, &mut place, text, &mut reads), expected);
            }
        }
        assert_eq!(reads, 4);
    }

    #[test]
    fn what_was_forgotten_is_read_again() {
        let (deliveries, mut reads, mut place) = (Deliveries::new(1, 1, false), 0, 0);
        for number in 0..=FRAMES as u64 {
            assert_eq!(
                heard(&deliveries, &mut place, &number.to_string(), &mut reads),
                Heard::Number(number)
            );
        }
        let mut late = 0;
        assert_eq!(heard(&deliveries, &mut late, "0", &mut reads), Heard::Number(0));
        assert_eq!(heard(&deliveries, &mut late, "200", &mut reads), Heard::Number(200));
        assert_eq!((reads, late), (FRAMES + 2, 201));
    }

    #[actix::test]
    async fn listening_ends_with_the_phase_and_not_before() {
        let deliveries = std::sync::Arc::new(Deliveries::new(1, 1, false));
        let listening = {
            let deliveries = std::sync::Arc::clone(&deliveries);
            actix::spawn(async move { deliveries.until_over(std::future::pending()).await })
        };
        tokio::task::yield_now().await;
        assert!(!listening.is_finished());
        deliveries.is_over.store(true, Ordering::Release);
        deliveries.over.send_replace(true);
        listening.await.unwrap().unwrap();
        let failed = deliveries.until_over(async { Err(Failure::Timeout) }).await;
        assert!(matches!(failed, Err(Failure::Timeout)));
    }
}
