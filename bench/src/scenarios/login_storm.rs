//! Scenario 9: many log in at once while others read at half of what the server can do.
//!
//! A round has two phases: the readers alone at a fixed rate, then the same readers with the storm beside them. A login
//! must give a token and the id of the user who asked.

use std::sync::Arc;

use anyhow::ensure;
use futures_util::future::{LocalBoxFuture, join};

use super::user_info::{Reader, Readers};
use crate::accounts::Account;
use crate::ceilings::Ceiling;
use crate::contract::read_login;
use crate::drive::{Behaviour, Driven, Load, Pace, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection, encode};
use crate::procfs;
use crate::scenario::{Check, Figure, Goal, Measure, Phase, Prepared, Scenario, Stage, Unit};
use crate::units::{float, float_len, micros, ratio};

/// How the names of the server's threads begin that hash passwords; where there are none, there is no figure of them.
const HASHERS: &str = "password-";
/// Logins at once.
const LOGINS: usize = 32;

/// The scenario.
pub struct LoginStorm;

impl Scenario for LoginStorm {
    fn name(&self) -> &'static str {
        "login-storm"
    }

    fn about(&self) -> &'static str {
        "32 logins at once beside user-info at half of its maximum (an open loop); first the readers alone"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "login",
                unit: None,
                // Of an idle machine: it has no aim, since the readers take their part of the cores. The measure has one.
                ceiling: Some(Ceiling::Hash),
                goal: None,
            },
            Figure {
                lane: "user info alone",
                unit: None,
                ceiling: None,
                goal: None,
            },
            Figure {
                lane: "user info beside logins",
                unit: None,
                ceiling: None,
                goal: Some(Goal::P99OfAlone(2.0)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let count = stage.settings.users.unwrap_or(2 * LOGINS);
            let accounts = stage.peer.accounts(count, stage.display).await?;
            ensure!(!accounts.is_empty(), "login-storm needs a user");
            let mut readers = Readers::prepare(stage).await?;
            let rate = match stage.settings.rate {
                Some(rate) => rate,
                None => half_of_maximum(stage, &mut readers).await?,
            };
            let logins = (0..LOGINS).map(|number| Visitor {
                accounts: accounts
                    .iter()
                    .skip(number % accounts.len())
                    .step_by(LOGINS)
                    .cloned()
                    .collect(),
                next: 0,
            });
            Ok(Box::new(Rounds {
                readers,
                visitors: logins.collect(),
                rate,
            }) as Box<dyn Prepared>)
        })
    }
}

async fn half_of_maximum(stage: &Stage<'_>, readers: &mut Readers) -> anyhow::Result<f64> {
    let load = Load {
        target: stage.peer.target().clone(),
        lanes: &["maximum"],
        users: readers.take(),
        pace: Pace::Closed,
    };
    let (phase, users) = stage.phase("readers' maximum", load).await?;
    readers.put(users);
    let maximum = float(phase.lanes[0].operations) / phase.seconds;
    ensure!(
        maximum > 0.0,
        "no reader was answered: {}",
        phase.lanes[0].failures.join("; ")
    );
    Ok(maximum / 2.0)
}

struct Rounds {
    readers: Readers,
    visitors: Vec<Visitor>,
    rate: f64,
}

impl Rounds {
    fn load(&mut self, stage: &Stage<'_>, lanes: &'static [&'static str]) -> Load<Reader> {
        Load {
            target: stage.peer.target().clone(),
            lanes,
            users: self.readers.take(),
            pace: Pace::Open { per_second: self.rate },
        }
    }
}

impl Prepared for Rounds {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let load = self.load(stage, &["user info alone"]);
            let (alone, users) = stage.phase("alone", load).await?;
            self.readers.put(users);

            let load = self.load(stage, &["user info beside logins"]);
            let logins = Load {
                target: stage.peer.target().clone(),
                lanes: &["login"],
                users: std::mem::take(&mut self.visitors),
                pace: Pace::Closed,
            };
            let window = stage.window();
            stage.display.begin(
                &format!("{} · beside logins", stage.peer.name()),
                stage.settings.length(),
            );
            let both = join(stage.driver.drive(load, window), stage.driver.drive(logins, window));
            let hashing = async {
                match stage.peer.pid() {
                    Some(pid) => procfs::sample_threads(pid, HASHERS, window).await,
                    None => None,
                }
            };
            let (((readers, visitors), hashing), server, client) = stage.watched(window, join(both, hashing)).await;
            let (readers, visitors): (Driven<_>, Driven<_>) = (readers?, visitors?);
            self.readers.put(readers.users);
            self.visitors = visitors.users;
            let mut lanes = visitors.lanes;
            let logins = lanes.first().map_or(0, |lane| lane.operations);
            let hashing = hashing.map_or_else(Vec::new, |cpu| {
                let threads = stage.settings.hash_threads;
                hashing_measures(cpu, logins, window.seconds() * float_len(threads))
            });
            lanes.extend(readers.lanes);
            let beside = Phase {
                name: "beside logins",
                lanes,
                seconds: window.seconds(),
                server,
                client,
                measures: hashing,
                lateness_p99: Some(micros(readers.lateness.value_at_quantile(0.99))),
            };
            Ok(vec![alone, beside])
        })
    }

    fn connections(&self) -> usize {
        self.visitors.len()
    }

    fn verify<'a>(&'a mut self, _: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What became of the processor time that the hashing threads got: a storm beside readers is given less than an idle machine
/// has, and answers for that part only.
fn hashing_measures(cpu_micros: u64, logins: u64, core_seconds: f64) -> Vec<Measure> {
    let seconds = float(cpu_micros) / 1e6;
    let measure = |name, unit, value, ceiling, goal| Measure {
        name,
        unit,
        value,
        ceiling,
        goal,
        more_is_better: true,
    };
    let rate = ratio(float(logins), seconds);
    vec![
        measure(
            "logins in a second of hashing",
            Unit::PerSecond,
            rate,
            Some(Ceiling::Hash),
            Some(Goal::OfCeiling(0.95)),
        ),
        measure(
            "cores that hashing got",
            Unit::Share,
            ratio(seconds, core_seconds),
            None,
            None,
        ),
    ]
}

/// A connection over which one user after the other logs in.
struct Visitor {
    accounts: Vec<Arc<Account>>,
    next: usize,
}

impl Visitor {
    async fn log_in(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let account = &self.accounts[self.next % self.accounts.len()];
        self.next += 1;
        let (name, password) = (encode(&account.name), encode(&account.password));
        let path = format!("/douyin/user/login/?username={name}&password={password}");
        let login = connection
            .post(&path, "")
            .await
            .and_then(Answer::ok)
            .and_then(read_login)?;
        if login.user_id != account.id {
            return Err(Failure::Untrue(format!(
                "{} is user {}, not {}",
                account.name, account.id, login.user_id
            )));
        }
        Ok(())
    }
}

impl Behaviour for Visitor {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        Some(Step::one(self.log_in(connection).await))
    }
}
