//! The counting actor: the single writer of every like.
//!
//! Calls wait in the inbox; those about unknown pairs pass a look-up, then all go through the ledger in groups: one look-up and one
//! append at a time, and never the one behind the other, so that a store that hangs delays nobody whose pair is known.
//! The look-up of the next group runs while this one is synced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, Supervised};
use ovation_schema::likes::PairStates;
use ovation_schema::{StoreError, UserId, VideoId, now_ms};

use super::fatal::{Fatal, Guard};
use super::group::{Ask, Outcomes, Ready, resolve};
use super::inbox::{Actor as Does, Taker, Wake};
use super::ledger_thread::LedgerThread;
use super::like_store::LikeStore;
use super::recent::Recent;
use super::shared::{Seldom, Shared};
use super::{CountersError, Outcome, Settings};
use crate::ledger::LedgerError;
use crate::{Entry, Like};

pub(super) struct Writer<S> {
    store: Arc<S>,
    ledger: LedgerThread,
    ledger_id: Arc<str>,
    shared: Arc<Shared>,
    settings: Settings,
    fatal: Fatal,
    authors: Recent<VideoId, UserId>,
    states: Recent<(UserId, VideoId), bool>,
    doubts: u64,
    inbox: Taker,
    arrived: Vec<Ask>,
    unknown: VecDeque<Ask>,
    ready: VecDeque<Ready>,
    pumping: bool,
    looking_up: bool,
    appending: bool,
    log: Seldom,
    _guard: Guard,
}

type Looked = Result<PairStates, CountersError>;

impl<S: LikeStore> Writer<S> {
    pub(super) fn new(
        store: Arc<S>,
        ledger: LedgerThread,
        ledger_id: Arc<str>,
        shared: Arc<Shared>,
        settings: Settings,
        fatal: Fatal,
        inbox: Taker,
    ) -> Self {
        Self {
            store,
            ledger,
            ledger_id,
            shared,
            authors: Recent::new(settings.authors_max),
            states: Recent::new(settings.pairs_max),
            settings,
            doubts: 0,
            inbox,
            arrived: Vec::new(),
            unknown: VecDeque::new(),
            ready: VecDeque::new(),
            pumping: false,
            looking_up: false,
            appending: false,
            log: Seldom::default(),
            _guard: fatal.guard("the counting actor"),
            fatal,
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.pumping = false;
        self.sort_out();
        if !self.looking_up && !self.unknown.is_empty() {
            self.look_up(ctx);
        }
        if !self.appending && !self.ready.is_empty() {
            self.append(ctx);
        }
        let does = match (self.pumping, self.appending, self.looking_up) {
            // Either comes back here; until then nothing that waits in the inbox could go further.
            (true, ..) | (_, true, true) => Does::Looks,
            (_, true, false) => Does::Appends,
            // Whoever is known must not wait for a look-up.
            (_, false, _) => Does::Rests,
        };
        if does != Does::Looks && !self.inbox.turn_to(does) {
            self.pump_soon(ctx);
        }
    }

    /// Parts what memory knows from what has to be looked up.
    fn sort_out(&mut self) {
        let doubts = self.shared.doubts.load(Ordering::SeqCst);
        if doubts != self.doubts {
            self.doubts = doubts;
            self.states.clear();
            self.authors.clear();
        }
        self.inbox.take(&mut self.arrived);
        let view = self.shared.overlay.view();
        for ask in self.arrived.drain(..).filter(|ask| !ask.is_abandoned()) {
            let (user, video) = ask.pair();
            if let Some(known) = view.known(user, video) {
                let (author, was) = (known.author, Some(known.on));
                self.ready.push_back(Ready { ask, author, was });
            } else if let (Some(author), Some(on)) = (self.authors.get(video), self.states.get((user, video))) {
                let was = Some(on);
                self.ready.push_back(Ready { ask, author, was });
            } else {
                self.unknown.push_back(ask);
            }
        }
    }

    fn look_up(&mut self, ctx: &mut Context<Self>) {
        let count = self.unknown.len().min(self.settings.group_max);
        let asks: Vec<Ask> = self.unknown.drain(..count).filter(|ask| !ask.is_abandoned()).collect();
        let pairs: Vec<_> = asks.iter().map(Ask::pair).collect();
        if pairs.is_empty() {
            return self.pump_soon(ctx);
        }
        self.looking_up = true;
        let store = Arc::clone(&self.store);
        let shared = Arc::clone(&self.shared);
        let ledger_id = Arc::clone(&self.ledger_id);
        let deadline = self.settings.look_up_deadline;
        let work = async move {
            let (mark, states) = match tokio::time::timeout(deadline, store.look_up(pairs)).await {
                Ok(Ok(found)) => found,
                Ok(Err(StoreError::Busy)) => return Err(CountersError::Busy),
                Ok(Err(_)) | Err(_) => return Err(CountersError::Unavailable),
            };
            // Rows of a store that has forgotten what memory no longer holds would say "not liked" of a pair that was
            // acknowledged as liked.
            let floor = shared.overlay.floor();
            if mark.is_some_and(|mark| mark.position >= floor && *mark.ledger_id == *ledger_id) {
                return Ok(states);
            }
            shared.suspect.notify_one();
            Err(CountersError::Unavailable)
        };
        ctx.spawn(wrap_future::<_, Self>(work).map(move |looked, writer, ctx| {
            writer.looking_up = false;
            writer.looked_up(asks, looked);
            writer.pump(ctx);
        }));
    }

    fn looked_up(&mut self, asks: Vec<Ask>, looked: Looked) {
        match looked {
            Ok(states) => {
                for ask in asks {
                    self.found(ask, &states);
                }
            }
            Err(error) => {
                if self.log.may() {
                    tracing::warn!(%error, "the look-up of likes failed; only videos known in memory can be liked");
                }
                // Those behind would only wait for the same failure.
                let behind = std::mem::take(&mut self.unknown);
                for ask in asks.into_iter().chain(behind) {
                    match self.authors.get(ask.video) {
                        Some(author) => self.ready.push_back(Ready { ask, author, was: None }),
                        None => ask.answer(Err(error)),
                    }
                }
            }
        }
    }

    fn found(&mut self, ask: Ask, states: &PairStates) {
        let Some(&author) = states.authors.get(&ask.video) else {
            return ask.answer(Ok(Outcome::UnknownVideo));
        };
        let was = states.active.contains(&ask.pair());
        self.authors.put(ask.video, author);
        // What was recorded meanwhile is newer.
        if self.shared.overlay.view().pair(ask.user, ask.video).is_none() {
            self.states.put(ask.pair(), was);
        }
        let was = Some(was);
        self.ready.push_back(Ready { ask, author, was });
    }

    fn append(&mut self, ctx: &mut Context<Self>) {
        let count = self.ready.len().min(self.settings.group_max);
        let group: Vec<Ready> = self
            .ready
            .drain(..count)
            .filter(|ready| !ready.ask.is_abandoned())
            .collect();
        let (likes, outcomes) = resolve(group, &self.shared.overlay.view(), now_ms());
        if likes.is_empty() {
            for (ask, outcome) in outcomes {
                ask.answer(Ok(outcome));
            }
            return self.pump_soon(ctx);
        }
        self.appending = true;
        let ledger = self.ledger.clone();
        let work = async move {
            ledger
                .run(move |ledger| {
                    let positions = ledger.append(&likes)?;
                    Ok(number(*positions.start(), likes))
                })
                .await
        };
        ctx.spawn(wrap_future::<_, Self>(work).map(move |appended, writer, ctx| {
            writer.appending = false;
            writer.appended(appended, outcomes);
            writer.pump(ctx);
        }));
    }

    fn appended(&mut self, appended: Result<Vec<Entry>, LedgerError>, outcomes: Outcomes) {
        match appended {
            Ok(entries) => {
                self.take_in(&entries);
                for (ask, outcome) in outcomes {
                    ask.answer(Ok(outcome));
                }
            }
            Err(error) => {
                let answer = self.refused(&error);
                for (ask, _) in outcomes {
                    ask.answer(Err(answer));
                }
            }
        }
    }

    /// What is durable becomes visible.
    fn take_in(&mut self, entries: &[Entry]) {
        self.shared.overlay.apply(entries);
        for Entry { like, .. } in entries {
            self.states.put((like.user, like.video), like.on);
            self.authors.put(like.video, like.author);
        }
        self.shared.record_hot(entries);
        if let Some(listener) = self.shared.listener.get() {
            listener.liked(entries);
        }
        let mark = self.shared.mark.load(Ordering::SeqCst);
        if self.shared.overlay.waiting_after(mark).entries >= self.settings.flush_max {
            self.shared.enough.notify_one();
        }
    }

    fn refused(&mut self, error: &LedgerError) -> CountersError {
        if matches!(
            error,
            LedgerError::Unsure(_) | LedgerError::Damaged { .. } | LedgerError::Invalid(_)
        ) {
            self.fatal.tell(format!("likes can't be recorded: {error}"));
        } else if self.log.may() {
            tracing::error!(%error, "likes can't be recorded");
        }
        match error {
            LedgerError::Full(_) => CountersError::Busy,
            _ => CountersError::Unavailable,
        }
    }

    /// After what else the actor has to do at this moment, so that a group is all that waits.
    fn pump_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.pumping {
            self.pumping = true;
            ctx.spawn(wrap_future::<_, Self>(std::future::ready(())).map(|(), writer, ctx| writer.pump(ctx)));
        }
    }
}

fn number(first: i64, likes: Vec<Like>) -> Vec<Entry> {
    let positions = first..;
    positions
        .zip(likes)
        .map(|(position, like)| Entry { position, like })
        .collect()
}

impl<S: LikeStore> Actor for Writer<S> {
    type Context = Context<Self>;
}

impl<S: LikeStore> Handler<Wake> for Writer<S> {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.pump_soon(ctx);
    }
}

impl<S: LikeStore> Supervised for Writer<S> {
    /// What was under way is lost to this actor, not to the ledger: an append may have succeeded unseen. The overlay is
    /// what the ledger holds past the floor, so it is brought up to date from there before anything else happens; calls
    /// wait meanwhile.
    fn restarting(&mut self, ctx: &mut Self::Context) {
        tracing::error!("the counting actor stopped and is restarted from the ledger");
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        self.states.clear();
        self.authors.clear();
        (self.pumping, self.looking_up, self.appending) = (false, false, false);
        let ledger = self.ledger.clone();
        // There was one append at most.
        let (after, limit) = (self.shared.overlay.last(), self.settings.group_max);
        let work = async move { ledger.run(move |ledger| ledger.read(after, limit)).await };
        ctx.wait(wrap_future::<_, Self>(work).map(|read, writer, ctx| {
            match read {
                Ok(entries) => {
                    writer.take_in(&entries);
                    writer.pump_soon(ctx);
                }
                Err(error) => writer
                    .fatal
                    .tell(format!("the counters can't be restarted from the ledger: {error}")),
            }
        }));
    }
}

/// Makes the actor end in a way of its own; tests only.
#[cfg(test)]
#[derive(actix::Message, Clone, Copy)]
#[rtype(result = "()")]
pub(super) enum End {
    Stop,
    Panic,
}

#[cfg(test)]
impl<S: LikeStore> Handler<End> for Writer<S> {
    type Result = ();

    fn handle(&mut self, end: End, ctx: &mut Self::Context) {
        use actix::ActorContext;
        match end {
            End::Stop => ctx.stop(),
            End::Panic => panic!("as the test wants it"),
        }
    }
}
