//! Messages on their way into the store, in batches.
//!
//! Owns the messages of this process that wait. One that comes while fewer than [`AT_ONCE`] batches are under way goes at
//! once; those that come meanwhile wait and go together next. So an idle server adds nothing to a message, and a busy one
//! stores hundreds with one transaction and one sync. No timer gathers them: it would make every message wait for the sake
//! of a few.
//!
//! A batch is run by the task of its first message, and the right to run the next one passes on to the first that waits.
//! A task of the queue's own would have to live in some worker's runtime, and end with it while others still have requests
//! in flight.
//!
//! Nobody's failure undoes another's message: a batch that fails and surely left nothing behind is taken apart. One whose
//! end is in doubt is in doubt for all of its messages, and none of them is tried again here: a message without a key would
//! be stored twice.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use batch::Baton;
use ovation_actors::hub::Hub;
use ovation_schema::messages::{NewMessage, Sent};
use ovation_schema::streams::Event;
use ovation_schema::{Store, StoreError};
use tokio::sync::oneshot;

use crate::commit::Running;

/// Batches under way at the same time: a second one is gathered, sent and locked while the first one waits for its sync.
/// With one, a closed loop of a hundred on MariaDB stored a fifth less. Other writes wait for their turn between batches
/// where only two connections write; a third batch would only wait for one of them there.
const AT_ONCE: usize = 2;
/// Messages of one batch, and bytes of their texts, past the first: both bound for how long everybody else waits for the
/// rows and the writer, the latter also the statement that carries each text twice, once for each of two streams, and each
/// quote and line break of it as two bytes (servers take packets from 4 MiB on).
const MOST: usize = 256;
const MOST_BYTES: usize = 512 << 10;
/// Messages that may wait; past it the answer is "busy".
const WAITING: usize = 4096;

/// A message that somebody wants to send.
#[derive(Debug)]
pub struct ToSend {
    /// The message.
    pub message: NewMessage,
    /// The version of the sender's token, to be compared with their row in the same transaction; none where that was done
    /// before, as for a socket.
    pub version: Option<u32>,
}

/// The token's version is not the user's any more, or there is no such user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoidToken;

/// What became of a message. The events of one that is stored are not in it: they are in [`Told`].
pub type Outcome = Result<Sent, VoidToken>;

/// What the hub is told of a batch; each of its messages holds it until its sender has been answered, and the last one
/// that lets go of it tells.
///
/// So every ack of a batch is on its way before any of its events, and the events are told in the order of their numbers. Told
/// by each message's own task, those of two messages to one user would cross on their way from two threads, and a connection
/// that hears of the later one first fetches the other from the store, perhaps before the ack that is still to come. (Where
/// a page is read for another reason that happens all the same; the protocol promises nothing about it.)
#[must_use]
pub struct Told(#[expect(dead_code, reason = "it tells when it is dropped")] Option<Arc<Telling>>);

struct Telling {
    hub: Hub,
    events: Vec<Event>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.hub.announce(&self.events);
    }
}

/// What a message's task gets: the answer for its sender, and what to let go of once the sender has it.
type Answer = (Result<Outcome, StoreError>, Told);

/// A message with what shows that its transaction is not over.
struct Entry {
    to_send: ToSend,
    _running: Running,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.to_send.message.content.len()
    }
}

/// What comes to a message that waits.
enum Turn {
    /// It runs the next batch.
    Lead(Baton),
    /// It was in somebody else's.
    Done(Answer),
}

struct Waiting {
    /// Rises along the queue.
    number: u64,
    entry: Entry,
    turn: oneshot::Sender<Turn>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The number of the last one that began to wait.
    last: u64,
    under_way: usize,
}

/// The queue; clones share it.
#[derive(Clone)]
pub struct Sending(Arc<Inner>);

struct Inner {
    store: Store,
    hub: Hub,
    patience: Duration,
    state: Mutex<State>,
}

/// What a message finds.
enum Entered {
    /// Room for a batch, which it begins.
    First(Baton),
    /// Others before it; its number.
    Queued(u64, oneshot::Receiver<Turn>),
    /// As many as may wait.
    Full,
}

impl Sending {
    /// Sends through `store` and tells `hub`. A message waits for its batch to begin no longer than `patience`.
    pub fn new(store: Store, hub: Hub, patience: Duration) -> Self {
        Self(Arc::new(Inner {
            store,
            hub,
            patience,
            state: Mutex::default(),
        }))
    }

    /// Stores a message, in a batch with those that wait at the same time. `running` is dropped when the last transaction
    /// with it is over. What is returned with the result is to be dropped when the sender has been answered.
    ///
    /// [`StoreError::Unavailable`]: it may have been stored all the same. For a task of its own, inside a tokio runtime:
    /// dropped half-way it takes down the answers of the batch it runs.
    pub async fn send(&self, to_send: ToSend, running: Running) -> Answer {
        let entry = Entry {
            to_send,
            _running: running,
        };
        let (number, mut turn) = match self.enter(entry) {
            Entered::First(baton) => return baton.run().await,
            Entered::Queued(number, turn) => (number, turn),
            Entered::Full => return refused(StoreError::Busy),
        };
        let turn = match tokio::time::timeout(self.0.patience, &mut turn).await {
            Ok(turn) => turn,
            Err(_) if self.leave(number) => return refused(StoreError::Busy),
            // Its batch began at the last moment.
            Err(_) => turn.await,
        };
        match turn {
            Ok(Turn::Lead(baton)) => baton.run().await,
            Ok(Turn::Done(answer)) => answer,
            Err(_) => refused(StoreError::Unavailable("the server is stopping".into())),
        }
    }

    fn enter(&self, entry: Entry) -> Entered {
        let mut state = self.lock();
        if state.under_way < AT_ONCE {
            state.under_way += 1;
            return Entered::First(Baton::new(self.clone(), entry));
        }
        if state.waiting.len() >= WAITING {
            return Entered::Full;
        }
        let (turn, comes) = oneshot::channel();
        state.last += 1;
        let number = state.last;
        state.waiting.push_back(Waiting { number, entry, turn });
        Entered::Queued(number, comes)
    }

    /// Takes a message that waits out again; false: it does not wait any more.
    fn leave(&self, number: u64) -> bool {
        let mut state = self.lock();
        let place = state.waiting.binary_search_by_key(&number, |waiting| waiting.number);
        place.is_ok_and(|place| state.waiting.remove(place).is_some())
    }

    /// Takes those that go with a message of so many bytes.
    fn take(&self, mut bytes: usize) -> Vec<Waiting> {
        let mut state = self.lock();
        let fits = state.waiting.iter().take(MOST - 1).take_while(|waiting| {
            bytes += waiting.entry.bytes();
            bytes <= MOST_BYTES
        });
        let fits = fits.count();
        let mut taken: Vec<Waiting> = state.waiting.drain(..fits).collect();
        // Their runtime has ended, and with it whoever waited for an answer.
        taken.retain(|waiting| !waiting.turn.is_closed());
        taken
    }

    /// A batch is over: the first that waits runs the next one.
    fn pass_on(&self) {
        let mut state = self.lock();
        while let Some(Waiting { entry, turn, .. }) = state.waiting.pop_front() {
            match turn.send(Turn::Lead(Baton::new(self.clone(), entry))) {
                Ok(()) => return,
                // Its runtime has ended.
                Err(Turn::Lead(baton)) => baton.give_up(),
                Err(Turn::Done(_)) => {}
            }
        }
        state.under_way -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(error: StoreError) -> Answer {
    (Err(error), Told(None))
}
