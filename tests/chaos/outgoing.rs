//! Messages a device has sent and has no answer for: what goes over the wire next, and when.
//!
//! Owns the order: what goes to one receiver goes in the order it was written, also when it goes again. Pure: it sends
//! nothing.

use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::record::SentMessage;

/// One device's messages, and those that wait.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// In the order they were written.
    pub sent: Vec<SentMessage>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The place in `sent`.
    place: usize,
    on_wire: bool,
    tries: usize,
    not_before: Instant,
}

impl Outgoing {
    /// Writes a new message with a text and a key that nobody else has.
    pub fn write(&mut self, device: &str, to: i64, random: &mut ChaCha8Rng) {
        let place = self.sent.len();
        self.sent.push(SentMessage {
            to,
            text: format!("{device}-{place}"),
            key: Some(format!("{:016x}{:016x}", random.next_u64(), random.next_u64())),
            ack: None,
            overtaken: false,
        });
        self.waiting.push(Waiting {
            place,
            on_wire: false,
            tries: 0,
            not_before: Instant::now(),
        });
    }

    /// How many wait for their answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The `d` of a message.
    pub fn parameters(&self, place: usize) -> Value {
        let SentMessage { to, text, key, .. } = &self.sent[place];
        json!({"to_user_id": to, "content": text, "key": key})
    }

    /// The next message to put on the wire, which counts as done then; and whether it was there before.
    pub fn next(&mut self) -> Option<(usize, bool)> {
        let now = Instant::now();
        let to = |waiting: &Waiting| self.sent[waiting.place].to;
        let due = (0..self.waiting.len()).find(|at| {
            let this = &self.waiting[*at];
            let (before, after) = (&self.waiting[..*at], &self.waiting[at + 1..]);
            let same = |other: &&Waiting| to(other) == to(this);
            !this.on_wire
                && this.not_before <= now
                && before.iter().filter(same).all(|other| other.on_wire)
                && !after.iter().filter(same).any(|other| other.on_wire)
        })?;
        let due = &mut self.waiting[due];
        due.on_wire = true;
        due.tries += 1;
        Some((due.place, due.tries > 1))
    }

    /// The connection is gone, and with it every answer.
    pub fn disconnected(&mut self) {
        for waiting in &mut self.waiting {
            waiting.on_wire = false;
            waiting.not_before = Instant::now();
        }
    }

    /// "Try later."
    pub fn refused(&mut self, place: usize, pause: Duration) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.place == place) {
            waiting.on_wire = false;
            waiting.not_before = Instant::now() + pause;
        }
    }

    /// Stored; what is wrong with the answer, if anything.
    pub fn acknowledged(&mut self, place: usize, d: &Value) -> Option<String> {
        let (Some(id), Some(time)) = (d["message_id"].as_i64(), d["create_time"].as_i64()) else {
            return Some(format!("an ack without id and time: {d}"));
        };
        let dup = d.get("dup").is_some();
        let to = self.sent[place].to;
        let at = self.waiting.iter().position(|waiting| waiting.place == place);
        let tries = at.map_or(usize::MAX, |at| self.waiting.remove(at).tries);
        for earlier in self.waiting.iter().filter(|waiting| waiting.place < place) {
            if self.sent[earlier.place].to == to {
                self.sent[earlier.place].overtaken = true;
            }
        }
        let first = *self.sent[place].ack.get_or_insert((id, time));
        if first != (id, time) {
            return Some(format!(
                "{:?} was acknowledged as {first:?} and then {d}",
                self.sent[place]
            ));
        }
        if dup && tries == 1 {
            return Some(format!(
                "{:?} was sent once and is told to be known: {d}",
                self.sent[place]
            ));
        }
        if !dup && tries == usize::MAX {
            return Some(format!("{:?} was stored twice: {d}", self.sent[place]));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn of(receivers: &[i64]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for to in receivers {
            outgoing.write("test", *to, &mut random);
        }
        outgoing
    }

    fn all(outgoing: &mut Outgoing) -> Vec<usize> {
        std::iter::from_fn(|| outgoing.next().map(|(place, _)| place)).collect()
    }

    fn ack(id: i64) -> Value {
        json!({"message_id": id, "create_time": id})
    }

    #[test]
    fn a_lost_connection_brings_everything_again_in_order() {
        let mut outgoing = of(&[1, 2, 1]);
        assert_eq!(all(&mut outgoing), [0, 1, 2]);
        assert_eq!(outgoing.acknowledged(1, &ack(7)), None);
        outgoing.disconnected();
        assert_eq!(all(&mut outgoing), [0, 2]);
        let dup = json!({"message_id": 8, "create_time": 8, "dup": true});
        assert_eq!(outgoing.acknowledged(0, &dup), None);
        assert_eq!(outgoing.waiting(), 1);
    }

    #[test]
    fn a_refused_one_waits_for_those_behind_it() {
        let mut outgoing = of(&[1, 1]);
        assert_eq!(all(&mut outgoing), [0, 1]);
        outgoing.refused(0, Duration::ZERO);
        assert_eq!(all(&mut outgoing), [0; 0], "the second one may yet be stored");
        outgoing.refused(1, Duration::ZERO);
        assert_eq!(all(&mut outgoing), [0, 1]);
        assert!(!outgoing.sent[0].overtaken);
    }

    #[test]
    fn an_overtaken_one_is_known() {
        let mut outgoing = of(&[1, 1]);
        all(&mut outgoing);
        outgoing.refused(0, Duration::ZERO);
        assert_eq!(outgoing.acknowledged(1, &ack(1)), None);
        assert!(outgoing.sent[0].overtaken);
    }

    #[test]
    fn a_second_truth_is_found() {
        let mut outgoing = of(&[1]);
        all(&mut outgoing);
        assert_eq!(outgoing.acknowledged(0, &ack(1)), None);
        assert!(outgoing.acknowledged(0, &ack(2)).is_some(), "another id");
        assert!(outgoing.acknowledged(0, &ack(1)).is_some(), "not called a dup");
    }
}
