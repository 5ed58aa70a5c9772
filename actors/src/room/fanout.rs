//! Frames on their way to many outboxes, in pieces.
//!
//! Owns how far each has got. A piece is small enough that nobody else on the thread notices it; between two of them
//! everybody else has a turn. Outboxes are numbered in the order they came: one that leaves meanwhile is skipped, one that
//! comes meanwhile knows the value already. A copy of the list for each frame was refused: it touches every outbox's
//! counter twice more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::outbox::Outbox;
use crate::push::{Frame, Slot};

/// Outboxes in one piece: a good 100 microseconds.
pub const PIECE: usize = 512;

/// Frames without a slot that may wait for their turn; one more is not sent at all.
const WAITING: usize = 32;

/// Listeners by number.
pub type Listeners = BTreeMap<u64, Arc<Outbox>>;

/// The frames.
#[derive(Default)]
pub struct Fanout(VecDeque<Job>);

struct Job {
    slot: Option<Slot>,
    frame: Frame,
    /// The listener that comes next.
    next: u64,
    /// The last one.
    last: u64,
}

impl Fanout {
    /// To everybody who listens now. Takes the place of one of the same slot that nobody has heard yet.
    pub fn push(&mut self, slot: Option<Slot>, frame: Frame, listeners: &Listeners) {
        let Some((&last, _)) = listeners.last_key_value() else {
            return;
        };
        let job = Job {
            slot,
            frame,
            next: 0,
            last,
        };
        let same = |job: &Job| slot.is_some() && job.slot == slot && job.next == 0;
        if let Some(older) = self.0.iter().position(same) {
            self.0[older] = job;
        } else if slot.is_some() || self.0.len() < WAITING {
            self.0.push_back(job);
        }
    }

    /// Sends one piece. True while there is more.
    pub fn piece(&mut self, listeners: &Listeners) -> bool {
        let mut left = PIECE;
        while left > 0
            && let Some(job) = self.0.front_mut()
        {
            let mut sent = 0;
            // Not a range with both ends: that panics where nobody is left between them.
            for (number, outbox) in listeners.range(job.next..).take(left) {
                if *number > job.last {
                    break;
                }
                outbox.put(job.slot, &job.frame);
                job.next = number + 1;
                sent += 1;
            }
            if sent < left {
                self.0.pop_front();
            }
            left -= sent;
        }
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use ovation_schema::VideoId;

    use super::*;
    use crate::outbox::OutboxLimits;

    fn outbox() -> Arc<Outbox> {
        let limits = OutboxLimits {
            frames: 64,
            bytes: 65_536,
        };
        Arc::new(Outbox::new(limits))
    }

    #[test]
    fn everybody_hears_everything_once_whoever_comes_and_goes() {
        let mut listeners: Listeners = (0..2_000).map(|number| (number, outbox())).collect();
        let mut fanout = Fanout::default();
        fanout.push(None, Frame::text("one"), &listeners);
        assert!(fanout.piece(&listeners));
        let gone: Vec<u64> = (0..100).chain(1_900..2_000).collect();
        for number in &gone {
            listeners.remove(number);
        }
        listeners.insert(2_000, outbox());
        fanout.push(None, Frame::text("two"), &listeners);
        while fanout.piece(&listeners) {}
        for (number, outbox) in &listeners {
            let expected: &[_] = if *number == 2_000 { &["two"] } else { &["one", "two"] };
            let expected: Vec<Frame> = expected.iter().map(|text| Frame::text(text)).collect();
            assert_eq!(outbox.take(1).ephemeral, expected, "{number}");
        }
    }

    #[test]
    fn a_newer_value_replaces_one_that_nobody_has_heard() {
        let listeners: Listeners = (0..2).map(|number| (number, outbox())).collect();
        let mut fanout = Fanout::default();
        let slot = Some(Slot::Viewers(VideoId(1)));
        for text in ["1", "2", "3"] {
            fanout.push(slot, Frame::text(text), &listeners);
        }
        assert_eq!(fanout.0.len(), 1);
        for _ in 0..100 {
            fanout.push(None, Frame::text("comment"), &listeners);
        }
        assert_eq!(fanout.0.len(), WAITING, "bounded");
        while fanout.piece(&listeners) {}
        assert_eq!(listeners[&0].take(1).ephemeral[0], Frame::text("3"));
    }
}
