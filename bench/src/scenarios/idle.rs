//! Scenario 8: connections that only stay, and all of them coming back at once.
//!
//! Measures what a connection costs while nothing happens, then drops all of them in the same moment, sends messages to
//! some of the users meanwhile, and lets everybody resume. Nothing may be missing, and what was sent must come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::LocalBoxFuture;

use super::OF_ONE_USER;
use crate::accounts::{Account, PATIENCE};
use crate::ceilings::Ceiling;
use crate::contract::read_status;
use crate::crew::{Crew, Seat};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::procfs;
use crate::scenario::{Check, Figure, Goal, Measure, Phase, Prepared, Scenario, Stage, Unit};
use crate::socket::{Position, Session, assert_socket};
use crate::stats::Window;
use crate::units::{float, float_len, ratio};

/// Connections that make a server ready before its memory is looked at.
const FIRST: usize = 16;
/// How long the server is looked at while all come back: as long as that may take.
const LONGEST_RETURN: Duration = Duration::from_secs(10);
/// Users who get a message while everybody is away.
const WRITTEN_TO: usize = 100;

/// The scenario.
pub struct Idle;

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "connections that stay and do nothing; then all are dropped at once and resume where they were"
    }

    fn figures(&self) -> &'static [Figure] {
        &[Figure {
            lane: "back and caught up",
            unit: None,
            ceiling: Some(Ceiling::SocketIdle),
            goal: None,
        }]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            assert_socket(stage.peer.target()).await?;
            let count = settings.connections.unwrap_or(settings.by_world(64, 2_000, 15_000));
            let users = settings.users.unwrap_or(count.div_ceil(OF_ONE_USER)).max(2);
            ensure!(
                count > 0 && count.div_ceil(users) <= OF_ONE_USER,
                "idle needs a connection, and a user for each {OF_ONE_USER} of them"
            );
            let accounts = stage.peer.accounts(users, stage.display).await?;
            let guest = |number: usize| Guest {
                account: Arc::clone(&accounts[number % accounts.len()]),
                position: None,
                expected: 0,
            };
            Ok(Box::new(Sleepers {
                guests: (0..count).map(guest).collect(),
                accounts,
                before: None,
                lost: Vec::new(),
                resumed: 0,
                replayed: 0,
            }) as Box<dyn Prepared>)
        })
    }
}

/// One connection's owner.
struct Guest {
    account: Arc<Account>,
    position: Option<Position>,
    /// Events that must come with the next resume.
    expected: i64,
}

struct Sleepers {
    guests: Vec<Guest>,
    accounts: Vec<Arc<Account>>,
    /// The server's memory before the first connection of the first round: what it keeps for later rounds counts too.
    before: Option<u64>,
    lost: Vec<String>,
    resumed: u64,
    replayed: i64,
}

impl Prepared for Sleepers {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            self.look(stage).await?;
            for guest in &mut self.guests {
                guest.position = None;
            }
            let idle = self.stay(stage).await?;
            self.write(stage.peer.target()).await?;
            let back = self.come_back(stage).await?;
            Ok(vec![idle, back])
        })
    }

    fn connections(&self) -> usize {
        self.guests.len()
    }

    fn verify<'a>(&'a mut self, _: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let detail = match self.lost.first() {
                None => format!(
                    "{} connections came back, with {} events that they had missed",
                    self.resumed, self.replayed
                ),
                Some(first) => format!("{} connections: {first}", self.lost.len()),
            };
            Ok(vec![Check::new("nothing is lost", self.lost.is_empty(), detail)])
        })
    }
}

impl Sleepers {
    /// The server's memory once it has seen its first sockets, so that what they make once counts for no connection.
    async fn look(&mut self, stage: &Stage<'_>) -> Result<(), Failure> {
        if let (None, Some(pid)) = (self.before, stage.peer.pid()) {
            let mut first = Vec::new();
            for account in self.accounts.iter().cycle().take(FIRST) {
                first.push(Session::open(stage.peer.target(), Some(account), None).await?);
            }
            drop(first);
            self.before = procfs::read(pid).map(|reading| reading.rss);
        }
        Ok(())
    }

    /// All connect, and stay through the window.
    async fn stay(&mut self, stage: &Stage<'_>) -> anyhow::Result<Phase> {
        let crew = Crew {
            stage,
            name: "idle",
            lanes: &["idle"],
            rate: None,
        };
        let target = stage.peer.target().clone();
        let life = move |mut guest: Guest, seat: Seat| {
            let target = target.clone();
            async move {
                let begun = Instant::now();
                let opening = Session::open(&target, Some(&guest.account), None);
                let opened = seat.enter(opening).await;
                let open_at = Instant::now();
                let stayed = match opened {
                    Ok(session) => stay(session, &seat, &mut guest).await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = stayed {
                    seat.failure(0, &failure);
                }
                (guest, begun, open_at)
            }
        };
        let (mut phase, left) = crew.live(std::mem::take(&mut self.guests), life).await?;
        let (count, first) = (float_len(left.len()), left.iter().map(|(_, begun, _)| *begun).min());
        let last = left.iter().map(|(_, _, open)| *open).max();
        self.guests = left.into_iter().map(|(guest, _, _)| guest).collect();
        let measure = |name, unit, value, ceiling, goal| Measure {
            name,
            unit,
            value,
            ceiling,
            goal,
            more_is_better: unit == Unit::PerSecond,
        };
        if let Some(took) = first.zip(last).map(|(first, last)| (last - first).as_secs_f64()) {
            let rate = ratio(count, took);
            phase
                .measures
                .push(measure("connections with hello", Unit::PerSecond, rate, None, None));
        }
        if let Some(usage) = &phase.server {
            let grown = usage.rss.last().copied().unwrap_or(usage.rss_peak);
            let each = self
                .before
                .map(|before| ratio(float(grown.saturating_sub(before)), count));
            let (ceiling, goal) = (Some(Ceiling::SocketIdle), Some(Goal::CeilingAtMost(1.2)));
            phase
                .measures
                .extend(each.map(|each| measure("memory a connection", Unit::Bytes, each, ceiling, goal)));
            let micros = ratio(float(usage.cpu_micros), phase.seconds * count);
            phase.measures.push(measure(
                "CPU a connection and second",
                Unit::Micros,
                micros,
                None,
                Some(Goal::AtMost(2.0)),
            ));
        }
        // Nobody asked for anything.
        phase.lanes.clear();
        Ok(phase)
    }

    /// While nobody is there, some get a message.
    async fn write(&mut self, target: &Target) -> Result<(), Failure> {
        let mut connection = Connection::new(target.clone());
        let (Some(author), Some(second)) = (self.accounts.first(), self.accounts.get(1)) else {
            return Ok(());
        };
        let readers: Vec<_> = self.accounts.iter().take(WRITTEN_TO).map(Arc::clone).collect();
        for reader in readers {
            let from = if reader.id == author.id { second } else { author };
            let path = format!(
                "/douyin/message/action/?token={}&to_user_id={}&action_type=1&content=while+you+were+away",
                from.token, reader.id
            );
            let answer = connection.post_within(PATIENCE, &path, "").await;
            answer.and_then(Answer::ok).and_then(read_status)?;
            // Both sides' streams have it.
            let both = [reader.id, from.id];
            for guest in self.guests.iter_mut().filter(|guest| both.contains(&guest.account.id)) {
                guest.expected += 1;
            }
        }
        Ok(())
    }

    /// All at once; the clock of each runs from when all began.
    async fn come_back(&mut self, stage: &Stage<'_>) -> anyhow::Result<Phase> {
        // Everybody comes once, which takes no warm-up and needs no long look.
        let mut settings = stage.settings.clone();
        settings.duration = settings.duration.min(LONGEST_RETURN);
        settings.warm_up = Duration::ZERO;
        let stage = &Stage {
            settings: &settings,
            ..*stage
        };
        let crew = Crew {
            stage,
            name: "all back",
            lanes: &["back and caught up"],
            rate: None,
        };
        let target = stage.peer.target().clone();
        let life = move |mut guest: Guest, seat: Seat| {
            let target = target.clone();
            async move {
                let window = seat.ready().await;
                // The window's length says nothing here: everybody comes once, as fast as it goes.
                let begun = Instant::now();
                let opening = Session::open(&target, Some(&guest.account), guest.position.clone());
                let came = match seat.enter(opening).await {
                    Ok(session) => catch_up(session, &mut guest).await,
                    Err(failure) => Err(failure),
                };
                let at = Instant::now();
                match &came {
                    Ok(_) => seat.success(0, window.start, begun, at),
                    Err(failure) => seat.failure(0, failure),
                }
                (guest, came.map_err(|failure| failure.to_string()), begun, at)
            }
        };
        let (mut phase, left) = crew.live(std::mem::take(&mut self.guests), life).await?;
        let first = left.iter().map(|(_, _, begun, _)| *begun).min();
        let last = left.iter().map(|(_, _, _, at)| *at).max();
        let took = first
            .zip(last)
            .map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        // What the window saw is the whole of it: the rate is that of the coming back.
        phase.seconds = took.max(1e-6);
        phase.measures.push(Measure {
            name: "until all are back",
            unit: Unit::Micros,
            value: took * 1e6,
            ceiling: None,
            goal: Some(Goal::AtMost(10_000_000.0)),
            more_is_better: false,
        });
        for (guest, came, _, _) in left {
            match came {
                Ok(replayed) => {
                    self.resumed += 1;
                    self.replayed += replayed;
                }
                Err(failure) => self.lost.push(failure),
            }
            self.guests.push(guest);
        }
        Ok(phase)
    }
}

/// Stays until the window ends: pings are answered, anything that comes has its number checked.
async fn stay(mut session: Session, seat: &Seat, guest: &mut Guest) -> Result<(), Failure> {
    let window: Window = seat.ready().await;
    let end = tokio::time::sleep_until(window.end.into());
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = session.next() => drop(event?),
            () = &mut end => break,
        }
    }
    guest.position = session.position.take();
    Ok(())
}

/// Reads until the server says that this is all, and compares. Gives back how many events there were.
async fn catch_up(mut session: Session, guest: &mut Guest) -> Result<i64, Failure> {
    let reading = async {
        let mut replayed = 0;
        loop {
            let (event, _) = session.next().await?;
            if event.t == "synced" {
                break;
            }
            replayed += i64::from(event.seq.is_some());
        }
        let expected = std::mem::take(&mut guest.expected);
        if replayed != expected {
            return Err(Failure::Untrue(format!(
                "{replayed} events came with the resume, and {expected} had been missed"
            )));
        }
        Ok(replayed)
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or(Err(Failure::Timeout))
}
