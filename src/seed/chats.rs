//! The conversations of a seeded world and their messages.
//!
//! Owns who talks with whom, evenly spread over all pairs, and when. Conversations come one after the other, so nothing
//! but the batch stays in memory.

use ovation_schema::bulk::{Bulk, BulkConversation, BulkMessage};
use ovation_schema::{MessageId, StoreError};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::progress::Progress;
use super::shape::Pairs;
use super::size::Size;
use super::texts;
use super::world::{BATCH, END_MS, Part, SPAN_MS, START_MS, one_of, random, user_id};

/// Between two messages of a conversation at most.
const ANSWER_MS: i64 = 10 * 60 * 1000;

/// Rows of both tables on their way. They belong together, so they leave together.
#[derive(Default)]
struct Rows {
    messages: Vec<BulkMessage<'static>>,
    sides: Vec<BulkConversation>,
}

impl Rows {
    fn flush(&mut self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        bulk.messages(&self.messages)?;
        bulk.conversations(&self.sides)?;
        progress.add(self.messages.len() + self.sides.len());
        self.messages.clear();
        self.sides.clear();
        Ok(())
    }
}

/// Writes all messages and both sides of every conversation.
pub fn add(size: Size, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
    progress.section("messages");
    let mut rng = random(size, Part::Messages);
    let (mut pairs, mut rows, mut written) = (Pairs::new(size.users, size.conversations()), Rows::default(), 0);
    let mut left = size.conversations();
    while let Some(pair) = pairs.next(&mut rng) {
        // What is still to be said, split evenly over the conversations still to come.
        let count = (size.messages - written).div_ceil(left);
        let times = Times::new(count, &mut rng);
        let mut last = (MessageId(0), 0);
        for _ in 0..count {
            written += 1;
            last = (MessageId(written.cast_signed()), times.next(last.1, &mut rng));
            rows.messages.push(message(pair, last, &mut rng));
            if rows.messages.len() >= BATCH {
                rows.flush(bulk, progress)?;
            }
        }
        rows.sides.extend(sides(pair, last));
        left -= 1;
    }
    rows.flush(bulk, progress)
}

/// When the messages of one conversation are written: one after the other, within the days of the world.
struct Times {
    start: i64,
    most_between: i64,
}

impl Times {
    fn new(count: u64, rng: &mut ChaCha8Rng) -> Self {
        let count = count.cast_signed();
        let most_between = ANSWER_MS.min(SPAN_MS / (count + 1));
        let latest_start = END_MS - most_between * count;
        Self {
            start: rng.random_range(START_MS..latest_start),
            most_between,
        }
    }

    /// The time of the message after the one at `last`.
    fn next(&self, last: i64, rng: &mut ChaCha8Rng) -> i64 {
        last.max(self.start) + rng.random_range(1..=self.most_between)
    }
}

fn message((low, high): (u32, u32), (id, create_time): (MessageId, i64), rng: &mut ChaCha8Rng) -> BulkMessage<'static> {
    BulkMessage {
        id,
        user_lo: user_id(low),
        user_hi: user_id(high),
        from_user_id: user_id(if rng.random() { low } else { high }),
        content: one_of(texts::MESSAGES, rng),
        create_time,
    }
}

fn sides((low, high): (u32, u32), (last_message_id, last_time): (MessageId, i64)) -> [BulkConversation; 2] {
    [(low, high), (high, low)].map(|(user, peer)| BulkConversation {
        user_id: user_id(user),
        peer_id: user_id(peer),
        last_time,
        last_message_id,
        // Everybody has read everything.
        read_time: last_time,
        read_message_id: last_message_id,
        unread: 0,
    })
}
