//! The users of a round: each is an actor with its own connection, state and stream of chance.
//!
//! Owns the two loops. *Closed*: a user asks again as soon as it was answered, which finds the most that a server can do.
//! *Open*: operations are due at fixed moments, whether or not earlier ones were answered, as real visitors come; a user
//! that is behind sends at once, and its latencies count from the moments that were due. Never knows what is asked:
//! a [`Behaviour`] does.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, ActorFutureExt as _, Arbiter, AsyncContext as _, Context, WrapFuture as _};
use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::http::{Connection, Target};
use crate::pacer::Pacer;
use crate::stats::{Lane, Window};
use crate::units::{float_len, nanos, ratio};

/// How long a user waits after its connection broke: a server that is gone must not be hammered by a spinning client.
const BREATH: Duration = Duration::from_millis(20);

/// What a user does, one operation after the other.
pub trait Behaviour: Send + Unpin + 'static {
    /// One operation: a question and the check of its answer. `None` when there is nothing left to do.
    ///
    /// May be dropped half-way when the round ends; what was asked and not answered is then unknown to the user.
    fn step(&mut self, connection: &mut Connection) -> impl Future<Output = Option<Step>>;

    /// The lane of the operation that comes next.
    fn next_lane(&self) -> usize {
        0
    }
}

/// How an operation ended.
#[derive(Debug)]
pub struct Step {
    /// Which of the load's lanes it belongs to.
    pub lane: usize,
    /// How many questions it answered.
    pub units: u32,
    /// Whether it was right.
    pub result: Result<(), Failure>,
}

impl Step {
    /// An operation that counts once, on the first lane.
    pub fn one(result: Result<(), Failure>) -> Self {
        Self::on(0, result)
    }

    /// An operation that counts once.
    pub fn on(lane: usize, result: Result<(), Failure>) -> Self {
        Self { lane, units: 1, result }
    }
}

/// When operations are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As soon as the one before was answered.
    Closed,
    /// At a fixed rate, of all users together.
    Open {
        /// Operations a second, above zero.
        per_second: f64,
    },
}

/// Users and what they do to whom.
pub struct Load<B> {
    /// The server.
    pub target: Target,
    /// Names of the kinds of operations.
    pub lanes: &'static [&'static str],
    /// One actor and one connection each.
    pub users: Vec<B>,
    /// Closed or open loop.
    pub pace: Pace,
}

/// What a load came to.
pub struct Driven<B> {
    /// In the order of their names in the load.
    pub lanes: Vec<Lane>,
    /// The users, with what they know by now.
    pub users: Vec<B>,
    /// Nanoseconds from when an operation was due until it was sent, where the connection was free: the client's own
    /// share of an open loop's latencies.
    pub lateness: Histogram<u64>,
}

/// A second of a thread, for people who watch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Operations in this second.
    pub operations: u64,
    /// Errors in this second.
    pub errors: u64,
    /// The 99th percentile of the last whole second of the window, in nanoseconds; 0 in the warm-up.
    pub p99: u64,
}

/// How loads are driven.
#[derive(Clone)]
pub struct Driver {
    /// Threads, each with an arbiter and a share of the users.
    pub threads: usize,
    /// Where seconds are told; nobody needs to listen.
    pub ticks: mpsc::UnboundedSender<Tick>,
}

impl Driver {
    /// Runs a load through its warm-up and its window.
    pub async fn drive<B: Behaviour>(&self, load: Load<B>, window: Window) -> anyhow::Result<Driven<B>> {
        let interval = match load.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Duration::from_secs_f64(ratio(float_len(load.users.len()), per_second))),
        };
        let (begin, all) = (Instant::now(), float_len(load.users.len()));
        let mut shares: Vec<Vec<Seat<B>>> = (0..self.threads.max(1)).map(|_| Vec::new()).collect();
        let threads = shares.len();
        for (number, behaviour) in load.users.into_iter().enumerate() {
            // Evenly over the interval, so that all of them together are one steady stream.
            let phase = interval.map(|interval| interval.mul_f64(float_len(number) / all));
            shares[number % threads].push(Seat {
                number,
                behaviour,
                due: phase.map(|phase| begin + phase),
            });
        }
        let mut rooms = Vec::new();
        for seats in shares.into_iter().filter(|seats| !seats.is_empty()) {
            let (done, seen) = oneshot::channel();
            let (arbiter, ticks) = (Arbiter::new(), self.ticks.clone());
            let room = Room {
                target: load.target.clone(),
                lanes: load.lanes,
                interval,
                window,
            };
            // What users share stays on their thread, so it is made there.
            arbiter.spawn_fn(move || {
                actix::spawn(async move {
                    // The receiver is gone only when the run was given up.
                    let _ = done.send(room.run(seats, &ticks).await);
                });
            });
            rooms.push((arbiter, seen));
        }
        let mut driven = self.gather(rooms, load.lanes, &window).await?;
        for lane in &mut driven.lanes {
            lane.open_rate = match load.pace {
                Pace::Closed => None,
                Pace::Open { per_second } => Some(per_second),
            };
        }
        Ok(driven)
    }

    async fn gather<B>(
        &self,
        rooms: Vec<(Arbiter, oneshot::Receiver<anyhow::Result<Share<B>>>)>,
        lanes: &[&'static str],
        window: &Window,
    ) -> anyhow::Result<Driven<B>> {
        let mut lanes: Vec<_> = lanes.iter().map(|name| Lane::new(name, window)).collect();
        let (mut seats, mut lateness) = (Vec::new(), new_lateness()?);
        for (arbiter, seen) in rooms {
            let share = seen.await.context("a thread of users has panicked")??;
            for (lane, other) in lanes.iter_mut().zip(&share.lanes) {
                lane.merge(other);
            }
            lateness.add(&share.lateness).context("lateness can't be added up")?;
            seats.extend(share.seats);
            arbiter.stop();
            // The thread ends once its arbiter has stopped; it is joined so that no round runs beside the next one.
            tokio::task::spawn_blocking(move || arbiter.join())
                .await?
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        }
        seats.sort_by_key(|(number, _)| *number);
        Ok(Driven {
            lanes,
            users: seats.into_iter().map(|(_, behaviour)| behaviour).collect(),
            lateness,
        })
    }
}

fn new_lateness() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 600_000_000_000, 2).context("lateness can't be kept")
}

/// A user before its thread has it.
struct Seat<B> {
    number: usize,
    behaviour: B,
    /// The first due moment of an open loop.
    due: Option<Instant>,
}

/// What a thread gives back.
struct Share<B> {
    lanes: Vec<Lane>,
    lateness: Histogram<u64>,
    seats: Vec<(usize, B)>,
}

/// One thread's users.
struct Room {
    target: Target,
    lanes: &'static [&'static str],
    interval: Option<Duration>,
    window: Window,
}

/// What the users of a thread write into.
struct Board {
    window: Window,
    lanes: RefCell<Vec<Lane>>,
    lateness: RefCell<Histogram<u64>>,
    operations: Cell<u64>,
    errors: Cell<u64>,
}

impl Room {
    async fn run<B: Behaviour>(
        self,
        seats: Vec<Seat<B>>,
        ticks: &mpsc::UnboundedSender<Tick>,
    ) -> anyhow::Result<Share<B>> {
        let board = Rc::new(Board {
            window: self.window,
            lanes: RefCell::new(self.lanes.iter().map(|name| Lane::new(name, &self.window)).collect()),
            lateness: RefCell::new(new_lateness()?),
            operations: Cell::new(0),
            errors: Cell::new(0),
        });
        let pacer = Pacer::start().context("no kernel timer")?;
        let (home, mut returning) = mpsc::unbounded_channel();
        for seat in seats {
            let user = SimUser {
                life: Some(Life {
                    seat,
                    connection: Connection::new(self.target.clone()),
                    interval: self.interval,
                    pacer: pacer.clone(),
                    board: Rc::clone(&board),
                    home: home.clone(),
                }),
            };
            user.start();
        }
        drop(home);
        let mut seats = Vec::new();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.tick().await;
        loop {
            tokio::select! {
                seat = returning.recv() => match seat {
                    Some(seat) => seats.push(seat),
                    None => break,
                },
                _ = seconds.tick() => drop(ticks.send(board.tick())),
            }
        }
        let (lanes, lateness) = (board.lanes.take(), board.lateness.borrow().clone());
        Ok(Share { lanes, lateness, seats })
    }
}

impl Board {
    fn tick(&self) -> Tick {
        let whole = Instant::now()
            .checked_duration_since(self.window.start)
            .map_or(0, |since| since.as_secs());
        let last = usize::try_from(whole).ok().and_then(|whole| whole.checked_sub(1));
        let lanes = self.lanes.borrow();
        let latest = last
            .into_iter()
            .flat_map(|last| lanes.iter().filter_map(move |lane| lane.seconds.get(last)));
        Tick {
            operations: self.operations.take(),
            errors: self.errors.take(),
            p99: latest
                .map(|second| second.latency.value_at_quantile(0.99))
                .max()
                .unwrap_or(0),
        }
    }

    fn record(&self, step: &Step, at: Instant, due: Instant, done: Instant) {
        let mut lanes = self.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(step.lane) else { return };
        match &step.result {
            Ok(()) => {
                self.operations.set(self.operations.get() + 1);
                lane.success(&self.window, at, due, done, step.units);
            }
            Err(failure) => {
                self.errors.set(self.errors.get() + 1);
                lane.failure(&self.window, at, failure);
            }
        }
    }

    fn unanswered(&self, lane: usize, due: Instant) {
        self.errors.set(self.errors.get() + 1);
        if let Some(lane) = self.lanes.borrow_mut().get_mut(lane) {
            lane.unanswered(&self.window, due);
        }
    }
}

/// A simulated user.
struct SimUser<B: Behaviour> {
    life: Option<Life<B>>,
}

impl<B: Behaviour> Actor for SimUser<B> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(life) = self.life.take() {
            context.spawn(life.live().into_actor(self).map(|(), _, context| context.stop()));
        }
    }
}

/// What a user does from the first second to the last.
struct Life<B> {
    seat: Seat<B>,
    connection: Connection,
    interval: Option<Duration>,
    pacer: Pacer,
    board: Rc<Board>,
    home: mpsc::UnboundedSender<(usize, B)>,
}

impl<B: Behaviour> Life<B> {
    async fn live(mut self) {
        let cutoff = self.board.window.cutoff().into();
        if let (Some(interval), Some(mut due)) = (self.interval, self.seat.due) {
            let _ = tokio::time::timeout_at(cutoff, self.open(interval, &mut due)).await;
            // Whatever was due and is still not answered or not even sent.
            while due < self.board.window.end {
                self.board.unanswered(self.seat.behaviour.next_lane(), due);
                due += interval;
            }
        } else {
            let mut asked = None;
            let _ = tokio::time::timeout_at(cutoff, self.closed(&mut asked)).await;
            if let Some(asked) = asked {
                self.board.unanswered(self.seat.behaviour.next_lane(), asked);
            }
        }
        // Nobody waits for it when the run was given up.
        let _ = self.home.send((self.seat.number, self.seat.behaviour));
    }

    async fn closed(&mut self, asked: &mut Option<Instant>) {
        loop {
            let begun = Instant::now();
            if begun >= self.board.window.end {
                return;
            }
            *asked = Some(begun);
            let step = self.seat.behaviour.step(&mut self.connection).await;
            *asked = None;
            let Some(step) = step else { return };
            let done = self.connection.take_answered_at().unwrap_or_else(Instant::now);
            self.board.record(&step, done, begun, done);
            self.breathe(&step).await;
        }
    }

    /// `due` is always the earliest operation that was not answered yet.
    async fn open(&mut self, interval: Duration, due: &mut Instant) {
        let end = self.board.window.end;
        while *due < end {
            if Instant::now() < *due {
                self.pacer.until(*due).await;
                let late = nanos(due.elapsed()).max(1);
                self.board.lateness.borrow_mut().saturating_record(late);
            }
            let Some(step) = self.seat.behaviour.step(&mut self.connection).await else {
                *due = end;
                return;
            };
            let done = self.connection.take_answered_at().unwrap_or_else(Instant::now);
            self.board.record(&step, *due, *due, done);
            *due += interval;
            self.breathe(&step).await;
        }
    }

    async fn breathe(&self, step: &Step) {
        if step.result.as_ref().is_err_and(Failure::breaks_connection) {
            tokio::time::sleep(BREATH).await;
        }
    }
}
