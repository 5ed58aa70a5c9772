//! Users who keep a socket open for a whole phase: each is an actor that lives its own life.
//!
//! Owns their threads, the moment at which all are there and the phase begins, and the board that a thread's users write
//! into. Beside `drive`, whose users ask one question after the other; what comes over a socket was not always asked for.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use actix::{Actor, ActorContext as _, Arbiter, AsyncContext as _, Context, Handler};
use anyhow::Context as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::drive::Tick;
use crate::failure::Failure;
use crate::pacer::Pacer;
use crate::scenario::{Phase, Stage};
use crate::stats::{Lane, Window};

/// Connections that a thread opens at once: more would overflow the server's queue, and a packet dropped there comes
/// again after a second.
const OPENING: usize = 64;

/// What the users of a thread share.
struct Board {
    lanes: RefCell<Vec<Lane>>,
    pacer: Pacer,
    doors: Semaphore,
    operations: Cell<u64>,
    errors: Cell<u64>,
}

/// A user's place: where it waits for the others and writes what it saw.
pub struct Seat {
    board: Rc<Board>,
    present: mpsc::UnboundedSender<()>,
    is_present: Cell<bool>,
    begun: watch::Receiver<Option<Window>>,
    /// The window once it is known to this seat: asked for with every frame, and no lock is worth that.
    window: Cell<Option<Window>>,
    blank: Window,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Seat {
    /// Opens something, with a bounded number of others.
    pub async fn enter<T>(&self, opening: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let _door = self.board.doors.acquire().await;
        opening.await
    }

    fn tell(&self) {
        if !self.is_present.replace(true) {
            // Nobody listens any more when the run was given up.
            let _ = self.present.send(());
        }
    }

    /// Waits until all are there. Gives back the window of the phase, whose warm-up begins now.
    pub async fn ready(&self) -> Window {
        self.tell();
        let mut begun = self.begun.clone();
        let window = begun.wait_for(Option::is_some).await.ok().and_then(|window| *window);
        self.window.set(window);
        // Gone when the run was given up: then what is written counts nowhere.
        window.unwrap_or(self.blank)
    }

    /// Wakes at moments.
    pub fn pacer(&self) -> &Pacer {
        &self.board.pacer
    }

    /// As [`Lane::success`].
    pub fn success(&self, lane: usize, at: Instant, due: Instant, done: Instant) {
        self.board.operations.set(self.board.operations.get() + 1);
        if let Some(lane) = self.board.lanes.borrow_mut().get_mut(lane) {
            lane.success(&self.window(), at, due, done, 1);
        }
    }

    /// As [`Lane::failure`].
    pub fn failure(&self, lane: usize, failure: &Failure) {
        self.board.errors.set(self.board.errors.get() + 1);
        if let Some(lane) = self.board.lanes.borrow_mut().get_mut(lane) {
            lane.failure(&self.window(), Instant::now(), failure);
        }
    }

    /// As [`Lane::given_up`].
    pub fn given_up(&self, lane: usize, due: Instant, at: Instant) {
        if let Some(lane) = self.board.lanes.borrow_mut().get_mut(lane) {
            lane.given_up(&self.window(), due, at);
        }
    }

    /// As [`Lane::unanswered`].
    pub fn unanswered(&self, lane: usize, due: Instant) {
        if let Some(lane) = self.board.lanes.borrow_mut().get_mut(lane) {
            lane.unanswered(&self.window(), due);
        }
    }

    fn window(&self) -> Window {
        let known = self.window.get().or_else(|| *self.begun.borrow());
        known.unwrap_or(self.blank)
    }
}

/// A phase of such users.
pub struct Crew<'a> {
    /// Where it plays.
    pub stage: &'a Stage<'a>,
    /// The phase's name.
    pub name: &'static str,
    /// Names of the kinds of operations.
    pub lanes: &'static [&'static str],
    /// Operations a second, for the report; `None` in a closed loop.
    pub rate: Option<f64>,
}

struct Member {
    life: Option<LocalBoxFuture<'static, ()>>,
}

impl Actor for Member {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(life) = self.life.take() {
            // A task beside the actor and not a future of its context, which would look into the mailbox with every frame: a
            // tenth of what reading one costs.
            let own = context.address();
            actix::spawn(async move {
                life.await;
                own.do_send(Ended);
            });
        }
    }
}

/// A member's life is over.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Ended;

impl Handler<Ended> for Member {
    type Result = ();

    fn handle(&mut self, _: Ended, context: &mut Self::Context) {
        context.stop();
    }
}

type Share<T> = oneshot::Receiver<anyhow::Result<(Vec<Lane>, Vec<(usize, T)>)>>;

impl Crew<'_> {
    /// Lets everybody live, and measures both sides from when all are there. Gives back what they leave, in their order.
    pub async fn live<S, T, F, Life>(&self, members: Vec<S>, life: F) -> anyhow::Result<(Phase, Vec<T>)>
    where
        S: Send + 'static,
        T: Send + 'static,
        F: Fn(S, Seat) -> Life + Clone + Send + 'static,
        Life: Future<Output = T> + 'static,
    {
        let (present, mut arriving) = mpsc::unbounded_channel();
        let (start, begun) = watch::channel(None);
        let count = members.len();
        let threads = self.stage.driver.threads.max(1);
        let mut shares: Vec<Vec<(usize, S)>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, member) in members.into_iter().enumerate() {
            shares[number % threads].push((number, member));
        }
        let mut running: Vec<(Arbiter, Share<T>)> = Vec::new();
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let (done, seen) = oneshot::channel();
            let (arbiter, life, ticks) = (Arbiter::new(), life.clone(), self.stage.driver.ticks.clone());
            let (present, begun, lanes, blank) = (present.clone(), begun.clone(), self.lanes, self.stage.window());
            arbiter.spawn_fn(move || {
                actix::spawn(async move {
                    // The receiver is gone only when the run was given up.
                    let _ = done.send(room(share, life, lanes, (present, begun, blank), &ticks).await);
                });
            });
            running.push((arbiter, seen));
        }
        drop(present);
        for here in 0..count {
            if arriving.recv().await.is_none() {
                break;
            }
            if here % 100 == 99 {
                self.stage.display.count("connections", here + 1, count);
            }
        }
        let window = self.stage.window();
        let title = format!("{} · {}", self.stage.peer.name(), self.name);
        self.stage.display.begin(&title, self.stage.settings.length());
        start.send_replace(Some(window));
        let gathering = gather(running, self.lanes, &window);
        let (gathered, server, client) = self.stage.watched(window, gathering).await;
        let (mut lanes, mut left) = gathered?;
        for lane in &mut lanes {
            lane.open_rate = self.rate;
        }
        left.sort_by_key(|(number, _)| *number);
        let phase = Phase {
            name: self.name,
            lanes,
            seconds: window.seconds(),
            server,
            client,
            lateness_p99: None,
            measures: Vec::new(),
        };
        Ok((phase, left.into_iter().map(|(_, left)| left).collect()))
    }
}

type Signals = (mpsc::UnboundedSender<()>, watch::Receiver<Option<Window>>, Window);

/// One thread's users.
async fn room<S, T, F, Life>(
    members: Vec<(usize, S)>,
    life: F,
    lanes: &'static [&'static str],
    (present, begun, blank): Signals,
    ticks: &mpsc::UnboundedSender<Tick>,
) -> anyhow::Result<(Vec<Lane>, Vec<(usize, T)>)>
where
    S: 'static,
    T: 'static,
    F: Fn(S, Seat) -> Life,
    Life: Future<Output = T> + 'static,
{
    let board = Rc::new(Board {
        lanes: RefCell::new(lanes.iter().map(|name| Lane::new(name, &blank)).collect()),
        pacer: Pacer::start().context("no kernel timer")?,
        doors: Semaphore::new(OPENING),
        operations: Cell::new(0),
        errors: Cell::new(0),
    });
    let (home, mut returning) = mpsc::unbounded_channel();
    for (number, member) in members {
        let seat = Seat {
            board: Rc::clone(&board),
            present: present.clone(),
            is_present: Cell::new(false),
            begun: begun.clone(),
            window: Cell::new(None),
            blank,
        };
        let (life, home) = (life(member, seat), home.clone());
        let life = async move {
            // Nobody waits for it when the run was given up.
            let _ = home.send((number, life.await));
        };
        let member = Member {
            life: Some(Box::pin(life)),
        };
        member.start();
    }
    drop((home, present));
    let mut left = Vec::new();
    let mut seconds = tokio::time::interval(std::time::Duration::from_secs(1));
    seconds.tick().await;
    loop {
        tokio::select! {
            one = returning.recv() => match one {
                Some(one) => left.push(one),
                None => break,
            },
            _ = seconds.tick() => drop(ticks.send(Tick {
                operations: board.operations.take(),
                errors: board.errors.take(),
                p99: 0,
            })),
        }
    }
    Ok((board.lanes.take(), left))
}

async fn gather<T>(
    running: Vec<(Arbiter, Share<T>)>,
    names: &[&'static str],
    window: &Window,
) -> anyhow::Result<(Vec<Lane>, Vec<(usize, T)>)> {
    let mut lanes: Vec<_> = names.iter().map(|name| Lane::new(name, window)).collect();
    let mut left = Vec::new();
    for (arbiter, seen) in running {
        let (others, back) = seen.await.context("a thread of users has panicked")??;
        for (lane, other) in lanes.iter_mut().zip(&others) {
            lane.merge(other);
        }
        left.extend(back);
        arbiter.stop();
        // Joined, so that no phase runs beside the next one.
        tokio::task::spawn_blocking(move || arbiter.join())
            .await?
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    }
    Ok((lanes, left))
}
