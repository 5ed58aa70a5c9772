//! Many messages in one transaction.
//!
//! Owns that the number of statements does not grow with that of the messages, and that what comes out is what sending
//! them one after the other would have left: everything is locked and read first, then each message is decided in
//! memory, in order, and what it changes is there for the next one; then everything is written. A batch stands or falls as
//! a whole; taking one apart that fails is its caller's business.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Before, NewMessage, Sent, faster, ordered, send, sql, told};
use crate::backend::{self, DbConnection, Side};
use crate::error::StoreError;
use crate::follows::NO_MESSAGE;
use crate::ids::UserId;
use crate::streams::{self, NewEvent};
use crate::text::CHUNK;

/// A conversation by its two users, the lower one first.
type Pair = (UserId, UserId);

/// Stores messages as if each were sent by [`send`], in the order given, and returns what became of each. Some nine
/// statements for up to 1,000 conversations, all by primary key or the unique index (sender, key); locks the users of
/// conversations that are new, the conversations, then the streams of everybody who is told. Bounding the bytes of a batch
/// is the caller's business: a statement is no longer than the server takes as one packet.
pub fn send_many(
    connection: &mut DbConnection,
    messages: &[&NewMessage],
    now_ms: i64,
) -> Result<Vec<Sent>, StoreError> {
    if let [message] = messages {
        return Ok(vec![send(connection, message, now_ms)?]);
    }
    let mut desk = Desk::lock(connection, messages)?;
    let keys: BTreeSet<(UserId, &str)> = messages.iter().filter_map(|message| key_of(message)).collect();
    let keys: Vec<(UserId, &str)> = keys.into_iter().collect();
    // Under the locks: what was sent before into one of these conversations is seen.
    let keyed = sql::keyed(connection, &keys)?;
    let mut before: HashMap<(UserId, &str), Before<'_>> = HashMap::with_capacity(keys.len());
    before.extend(
        keyed
            .iter()
            .map(|row| ((row.from_user_id, row.client_key.as_str()), row.before())),
    );
    let known = before.len();
    let mut sent = Vec::with_capacity(messages.len());
    for message in messages {
        sent.push(desk.take(message, &mut before, now_ms)?);
    }
    // In the order of the index that they may meet others in: nobody waits in a circle.
    desk.rows.sort_unstable_by_key(|row| (row.from_user_id, row.client_key));
    match sql::insert(connection, &desk.rows) {
        Err(StoreError::Duplicate) if sql::keyed(connection, &keys)?.len() > known => return Err(faster()),
        inserted => inserted?,
    }
    sql::put(connection, &desk.moved())?;
    let mut events = streams::append(connection, &desk.events, now_ms)?.into_iter();
    for sent in &mut sent {
        if let Sent::Stored { events: told, .. } = sent {
            told.extend(events.by_ref().take(EVENTS));
        }
    }
    Ok(sent)
}

/// How many events tell of a message.
const EVENTS: usize = 2;

fn key_of(message: &NewMessage) -> Option<(UserId, &str)> {
    message.key.as_deref().map(|key| (message.from, key))
}

/// Where a batch is decided.
struct Desk<'m> {
    /// Both sides of every conversation that is there, by its lower user's and its higher user's.
    sides: BTreeMap<Pair, [Side; 2]>,
    /// The users of conversations that are not there yet, those that exist.
    people: BTreeSet<UserId>,
    /// Conversations that are to be written.
    moved: BTreeSet<Pair>,
    rows: Vec<sql::Row<'m>>,
    events: Vec<NewEvent>,
}

impl<'m> Desk<'m> {
    /// Locks what the messages are about, as [`send`] does: first the users of conversations that are new.
    fn lock(connection: &mut DbConnection, messages: &[&NewMessage]) -> Result<Self, StoreError> {
        let pairs: BTreeSet<Pair> = messages
            .iter()
            .map(|message| ordered(message.from, message.to))
            .collect();
        let mut new = pairs.clone();
        let pairs: Vec<Pair> = pairs.into_iter().collect();
        for pair in sql::existing(connection, &pairs)? {
            new.remove(&pair);
        }
        let strangers: BTreeSet<UserId> = new.into_iter().flat_map(|(lo, hi)| [lo, hi]).collect();
        let strangers: Vec<UserId> = strangers.into_iter().collect();
        let mut people = BTreeSet::new();
        for strangers in strangers.chunks(CHUNK) {
            people.extend(backend::lock_users(connection, strangers)?);
        }
        let mut keys: Vec<(UserId, UserId)> = pairs.iter().flat_map(|&(lo, hi)| [(lo, hi), (hi, lo)]).collect();
        keys.sort_unstable();
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let sides = backend::lock_sides(connection, keys)?;
            found.extend(sides.into_iter().map(|side| ((side.user_id, side.peer_id), side)));
        }
        let mut sides = BTreeMap::new();
        for (lo, hi) in pairs {
            match (found.get(&(lo, hi)), found.get(&(hi, lo))) {
                (Some(lower), Some(higher)) => {
                    sides.insert((lo, hi), [*lower, *higher]);
                }
                (None, None) => {}
                _ => return Err(StoreError::Internal("a conversation has only one side".into())),
            }
        }
        Ok(Self {
            sides,
            people,
            moved: BTreeSet::new(),
            rows: Vec::with_capacity(messages.len()),
            events: Vec::with_capacity(EVENTS * messages.len()),
        })
    }

    /// Decides one message. What [`Sent::Stored`] tells is filled in when it has its numbers.
    fn take(
        &mut self,
        message: &'m NewMessage,
        before: &mut HashMap<(UserId, &'m str), Before<'m>>,
        now_ms: i64,
    ) -> Result<Sent, StoreError> {
        let pair = ordered(message.from, message.to);
        let there = self.sides.contains_key(&pair);
        let is_known = there || [pair.0, pair.1].iter().all(|user| self.people.contains(user));
        if !is_known {
            return Ok(Sent::NoReceiver);
        }
        if let Some(before) = key_of(message).and_then(|key| before.get(&key)) {
            return Ok(before.answer(message));
        }
        let sides = self.sides.entry(pair).or_insert_with(|| new_sides(pair));
        let create_time = if there {
            now_ms.max(sides[0].last_time + 1)
        } else {
            now_ms.max(1)
        };
        let mut unread = 0;
        for side in sides {
            side.last_time = create_time;
            side.last_message_id = message.id;
            if side.user_id == message.to {
                side.unread += 1;
                unread = side.unread;
            }
        }
        self.moved.insert(pair);
        self.rows.push(sql::Row {
            id: message.id,
            user_lo: pair.0,
            user_hi: pair.1,
            from_user_id: message.from,
            content: &message.content,
            create_time,
            client_key: message.key.as_deref(),
        });
        self.events.extend(told(message, create_time, unread)?);
        if let Some(key) = key_of(message) {
            let stored = Before {
                id: message.id,
                conversation: pair,
                content: &message.content,
                create_time,
            };
            before.insert(key, stored);
        }
        Ok(Sent::Stored {
            create_time,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// The sides that are to be written, in the order of their key.
    fn moved(&self) -> Vec<Side> {
        let moved = self.moved.iter().filter_map(|pair| self.sides.get(pair));
        let mut sides: Vec<Side> = moved.flatten().copied().collect();
        sides.sort_unstable_by_key(|side| (side.user_id, side.peer_id));
        sides
    }
}

fn new_sides((lo, hi): Pair) -> [Side; 2] {
    [(lo, hi), (hi, lo)].map(|(user_id, peer_id)| Side {
        user_id,
        peer_id,
        last_time: 0,
        last_message_id: NO_MESSAGE,
        unread: 0,
    })
}
