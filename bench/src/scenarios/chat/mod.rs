//! Scenario 5: pairs who chat, send → ack → receive.
//!
//! One user of a pair sends, the other one receives, both over sockets. Every event must be the next of its user's stream,
//! every message the next of its conversation on both sides, with the text that was sent; what was acknowledged must have
//! arrived in the end, at the latest by a resume, and stand in the conversation's history, after a restart once more.

mod pair;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::{LocalBoxFuture, try_join_all};

use crate::accounts::Account;
use crate::ceilings::Ceiling;
use crate::crew::{Crew, Seat};
use crate::failure::Failure;
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::settings::stream;
use crate::socket::assert_socket;
use crate::units::{float_len, ratio};
use pair::{Pair, RECEIVE};

/// Pairs that are settled at once in the end.
const AT_ONCE: usize = 32;

/// The scenario.
pub struct Chat;

impl Scenario for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn about(&self) -> &'static str {
        "pairs of users, messages of 64 bytes over sockets, one in flight a pair; order, gaps and texts are checked"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "send to ack",
                unit: None,
                ceiling: Some(Ceiling::SocketEcho),
                goal: Some(Goal::P99BeyondSync(2_000.0)),
            },
            Figure {
                lane: "send to receive",
                unit: None,
                ceiling: Some(Ceiling::SocketEcho),
                goal: Some(Goal::P50BeyondSync(75.0)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            assert_socket(stage.peer.target()).await?;
            let asked = settings.users.or(settings.connections).map(|count| count / 2);
            let pairs = asked.unwrap_or(settings.by_world(8, 100, 1_000));
            ensure!(pairs > 0, "chat needs two users and two connections a pair");
            let accounts = stage.peer.accounts(2 * pairs, stage.display).await?;
            let run = rand::random();
            let pair = |(number, two): (usize, &[Arc<Account>])| {
                let (author, reader) = (Arc::clone(two.first()?), Arc::clone(two.get(1)?));
                Some(Pair::new(run, author, reader, stream(settings.seed, number)))
            };
            let pairs = accounts.chunks(2).enumerate().filter_map(pair).collect();
            Ok(Box::new(Pairs { pairs }) as Box<dyn Prepared>)
        })
    }
}

struct Pairs {
    pairs: Vec<Pair>,
}

impl Prepared for Pairs {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let (count, rate) = (float_len(self.pairs.len()), stage.settings.rate);
            let interval = rate.map(|rate| Duration::from_secs_f64(ratio(count, rate)));
            for (number, pair) in self.pairs.iter_mut().enumerate() {
                pair.pace = interval.map(|interval| (interval, interval.mul_f64(float_len(number) / count)));
            }
            let crew = Crew {
                stage,
                name: "chat",
                lanes: &["send to ack", "send to receive"],
                rate,
            };
            let target = stage.peer.target().clone();
            let pairs = std::mem::take(&mut self.pairs);
            let life = move |mut pair: Pair, seat: Seat| {
                let target = target.clone();
                async move {
                    if let Err(failure) = pair.chat(&target, &seat).await {
                        seat.failure(RECEIVE, &failure);
                    }
                    pair.give_up();
                    pair
                }
            };
            let (mut phase, pairs) = crew.live(pairs, life).await?;
            // Many pairs in a closed loop find the server's limit, where latencies say how long the queue is. The aims are
            // for one message in flight, and for a rate.
            for lane in &mut phase.lanes {
                lane.is_aimed = rate.is_some() || pairs.len() == 1;
            }
            self.pairs = pairs;
            Ok(vec![phase])
        })
    }

    fn connections(&self) -> usize {
        2 * self.pairs.len()
    }

    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let target = stage.peer.target();
            let (mut wrong, mut sent, mut acknowledged) = (Vec::new(), 0, 0);
            for some in self.pairs.chunks_mut(AT_ONCE) {
                let settling = some.iter_mut().map(|pair| async {
                    let found = pair.settle(target).await;
                    match found {
                        Err(failure @ (Failure::Connect(_) | Failure::Closed(_))) => Err(failure),
                        found => Ok(found.err().map(|failure| format!("user {}: {failure}", pair.reader.id))),
                    }
                });
                wrong.extend(try_join_all(settling).await?.into_iter().flatten());
                sent += some.iter().map(|pair| pair.sent).sum::<u64>();
                acknowledged += some.iter().map(|pair| pair.acknowledged).sum::<u64>();
            }
            let passed = wrong.is_empty();
            wrong.truncate(5);
            let detail = if passed {
                format!("{acknowledged} of {sent} messages acknowledged, all there once and in order")
            } else {
                wrong.join("; ")
            };
            Ok(vec![Check::new(
                "what was acknowledged has arrived, in order",
                passed,
                detail,
            )])
        })
    }

    fn writes(&self) -> bool {
        true
    }
}
