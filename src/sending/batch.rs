//! One batch: the right to run it, the running, and the answers.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use ovation_schema::messages::{self, NewMessage, Sent};
use ovation_schema::{DbConnection, StoreError, UserId, now_ms, users};
use tokio::sync::oneshot;

use super::{Answer, Entry, Outcome, Sending, Telling, ToSend, Told, Turn, VoidToken, Waiting};

/// Messages of a batch that was taken apart, at the same time. More would only take places in the store's own queue.
const APART: usize = 8;

/// The right to run a batch. Whoever lets go of it, for whatever reason, passes it on.
pub(super) struct Baton {
    sending: Sending,
    /// The message whose task has it; none when it has given up.
    entry: Option<Entry>,
    armed: bool,
}

impl Baton {
    pub(super) fn new(sending: Sending, entry: Entry) -> Self {
        Self {
            sending,
            entry: Some(entry),
            armed: true,
        }
    }

    /// Drops it without passing it on.
    pub(super) fn give_up(mut self) {
        self.armed = false;
    }

    /// Sends the message, with those that wait, and answers them all.
    pub(super) async fn run(mut self) -> Answer {
        let Some(own) = self.entry.take() else {
            return super::refused(StoreError::Internal("a batch without its first message".into()));
        };
        let others = self.sending.take(own.bytes());
        let mut turns = Vec::with_capacity(others.len());
        let mut entries = Vec::with_capacity(others.len() + 1);
        entries.push(own);
        for Waiting { entry, turn, .. } in others {
            entries.push(entry);
            turns.push(turn);
        }
        let entries: Arc<[Entry]> = entries.into();
        let all = 0..entries.len();
        let answers = match self.sending.attempt(&entries, all.clone()).await {
            Ok(outcomes) => self.sending.told(outcomes),
            Err(error) if is_for_all(&error) || entries.len() == 1 => {
                all.map(|_| super::refused(error.clone())).collect()
            }
            Err(error) => return self.take_apart(&error, entries, turns).await,
        };
        drop(entries);
        // First: the next batch is on its way while this one's are told.
        drop(self);
        let mut answers = answers.into_iter();
        let own = answers.next();
        for (turn, answer) in turns.into_iter().zip(answers) {
            // Whoever has gone needs no answer.
            let _ = turn.send(Turn::Done(answer));
        }
        own.unwrap_or_else(|| super::refused(StoreError::Internal("a batch without answers".into())))
    }

    /// Sends the messages of a batch that failed one by one; its first one before the others, whose answers this does not
    /// wait for.
    async fn take_apart(self, error: &StoreError, entries: Arc<[Entry]>, turns: Vec<oneshot::Sender<Turn>>) -> Answer {
        tracing::warn!(
            %error,
            messages = entries.len(),
            "a batch of messages failed; each goes by itself now"
        );
        let own = self.sending.alone(&entries, 0).await;
        let is_hopeless = own.0.as_ref().is_err_and(is_for_all);
        actix_web::rt::spawn(async move { self.sending.apart(&entries, turns, is_hopeless).await });
        own
    }
}

/// Whether an error speaks of the store rather than of a message: a busy store is not helped by more to do, and of a commit
/// whose answer was lost nothing must be tried again.
const fn is_for_all(error: &StoreError) -> bool {
    matches!(error, StoreError::Busy | StoreError::Unavailable(_))
}

impl Drop for Baton {
    fn drop(&mut self) {
        if self.armed {
            self.sending.pass_on();
        }
    }
}

impl Sending {
    /// Sends all but the first by themselves and answers each as soon as it is known what became of it. Once the store
    /// serves nobody, which `is_hopeless` says of the beginning, those that were not tried hear "busy": so it takes no
    /// longer than one of them may.
    pub(super) async fn apart(&self, entries: &Arc<[Entry]>, turns: Vec<oneshot::Sender<Turn>>, is_hopeless: bool) {
        let is_hopeless = &Cell::new(is_hopeless);
        let one = |(index, turn): (usize, oneshot::Sender<Turn>)| async move {
            let answer = if is_hopeless.get() {
                super::refused(StoreError::Busy)
            } else {
                self.alone(entries, index).await
            };
            if answer.0.as_ref().is_err_and(is_for_all) {
                is_hopeless.set(true);
            }
            // Whoever has gone needs no answer.
            let _ = turn.send(Turn::Done(answer));
        };
        stream::iter((1..).zip(turns)).for_each_concurrent(APART, one).await;
    }

    async fn alone(&self, entries: &Arc<[Entry]>, index: usize) -> Answer {
        let outcomes = self.attempt(entries, index..index + 1).await;
        let answer = outcomes.map(|outcomes| self.told(outcomes).pop());
        match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => super::refused(StoreError::Internal("a message without an answer".into())),
            Err(error) => super::refused(error),
        }
    }

    /// Sends some of them as one transaction, all or none. The store keeps them until it is over.
    async fn attempt(&self, entries: &Arc<[Entry]>, range: Range<usize>) -> Result<Vec<Outcome>, StoreError> {
        let entries = Arc::clone(entries);
        let write = move |connection: &mut _| {
            let entries = entries.get(range.clone()).unwrap_or_default();
            let to_send: Vec<&ToSend> = entries.iter().map(|entry| &entry.to_send).collect();
            send(connection, &to_send)
        };
        self.0.store.write(write).await
    }

    /// The outcomes as answers; their events are told when the last one of them is let go of.
    fn told(&self, mut outcomes: Vec<Outcome>) -> Vec<Answer> {
        let mut events = Vec::new();
        for outcome in &mut outcomes {
            if let Ok(Sent::Stored { events: told, .. }) = outcome {
                events.append(told);
            }
        }
        let hub = self.0.hub.clone();
        let telling = Arc::new(Telling { hub, events });
        let answer = |outcome| (Ok(outcome), Told(Some(Arc::clone(&telling))));
        outcomes.into_iter().map(answer).collect()
    }
}

/// Sends messages in the caller's transaction, those whose token is not void. One statement more than sending them where
/// there are tokens to look at.
fn send(connection: &mut DbConnection, to_send: &[&ToSend]) -> Result<Vec<Outcome>, StoreError> {
    let mut claiming: Vec<UserId> = to_send
        .iter()
        .filter(|one| one.version.is_some())
        .map(|one| one.message.from)
        .collect();
    claiming.sort_unstable();
    claiming.dedup();
    let versions = match claiming[..] {
        [] => HashMap::new(),
        // Prepared once for all.
        [one] => users::token_version(connection, one)?
            .map(|version| (one, version))
            .into_iter()
            .collect(),
        ref many => users::token_versions(connection, many)?,
    };
    let is_valid = |one: &ToSend| {
        one.version
            .is_none_or(|version| versions.get(&one.message.from) == Some(&i64::from(version)))
    };
    let valid: Vec<&NewMessage> = to_send
        .iter()
        .filter(|one| is_valid(one))
        .map(|one| &one.message)
        .collect();
    // The clock is read here, where the conversations' order is decided, not when the request came in.
    let mut sent = messages::send_many(connection, &valid, now_ms())?.into_iter();
    let outcome = |one: &&ToSend| {
        if !is_valid(one) {
            return Ok(Err(VoidToken));
        }
        let sent = sent.next();
        sent.map(Ok)
            .ok_or_else(|| StoreError::Internal("a message without an outcome".into()))
    };
    to_send.iter().map(outcome).collect()
}
