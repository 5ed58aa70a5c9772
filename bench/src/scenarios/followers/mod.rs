//! Scenario 6, as its aim says it: an author publishes, and every follower who is online must hear of it.
//!
//! Publishes go over REST with a real, tiny clip; followers hold a socket and have asked for `feed.watch`. Everybody who
//! reads must be told of each publish once, with the title that was sent, and of none that was not made. Such news are
//! ephemeral events, which a server may drop for whoever is slow; then the number of newer videos, which merges them, must
//! say as many. A closed loop waits for the last follower, so nobody is slow there and nothing may be dropped.

mod scene;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::{LocalBoxFuture, try_join_all};

use super::OF_ONE_USER;
use super::deliveries::{MANY, measures};
use crate::accounts::{Account, PATIENCE};
use crate::ceilings::Ceiling;
use crate::contract::{read_status, read_user};
use crate::crew::{Crew, Seat};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::socket::assert_socket;
use crate::units::{float_len, index};
use scene::{PUBLISHING, Scene};

/// Follows that are asked for at once.
const FOLLOWING: usize = 16;

/// The scenario.
pub struct Followers;

impl Scenario for Followers {
    fn name(&self) -> &'static str {
        "followers"
    }

    fn about(&self) -> &'static str {
        "an author's publishes to all followers who are online; then beside followers who stopped reading"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "delivery",
                unit: None,
                ceiling: Some(Ceiling::SocketFan),
                goal: Some(Goal::UnitsASecond(500_000.0)),
            },
            Figure {
                lane: "until the last has it",
                unit: None,
                ceiling: None,
                goal: Some(Goal::P99AtMost(100_000.0)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            assert_socket(stage.peer.target()).await?;
            let connections = settings.connections.unwrap_or(settings.by_world(32, 1_000, 10_000));
            // The author is a user of the world as well.
            let most = settings.world.map_or(connections, |world| world.users() as usize - 1);
            let users = settings.users.unwrap_or(connections).min(connections).min(most);
            ensure!(
                users > 0 && connections.div_ceil(users) <= OF_ONE_USER,
                "followers needs a connection, and a user for each {OF_ONE_USER} of them"
            );
            let mut accounts = stage.peer.accounts(1 + users, stage.display).await?;
            let author = accounts.remove(0);
            follow(stage, &author, &accounts).await?;
            let works = works(stage.peer.target(), &author).await?;
            Ok(Box::new(Audience {
                author,
                followers: accounts,
                connections,
                run: rand::random(),
                said: 0,
                works,
                acknowledged: 0,
                unknown: 0,
                knew: 0,
                wrong: Vec::new(),
            }) as Box<dyn Prepared>)
        })
    }
}

/// Everybody follows the author; who does so already stays as they are.
async fn follow(stage: &Stage<'_>, author: &Account, followers: &[Arc<Account>]) -> Result<(), Failure> {
    let next = std::cell::Cell::new(0);
    let worker = || async {
        let mut connection = Connection::new(stage.peer.target().clone());
        while let Some(follower) = followers.get(next.get()) {
            next.set(next.get() + 1);
            let path = format!(
                "/douyin/relation/action/?token={}&to_user_id={}&action_type=1",
                follower.token, author.id
            );
            let answer = connection.post_within(PATIENCE, &path, "").await;
            answer.and_then(Answer::ok).and_then(read_status)?;
            if next.get().is_multiple_of(1_000) {
                stage.display.count("follows", next.get(), followers.len());
            }
        }
        Ok(())
    };
    try_join_all((0..FOLLOWING).map(|_| worker())).await.map(drop)
}

/// How many videos the author has.
async fn works(target: &Target, author: &Account) -> Result<i64, Failure> {
    let path = format!("/douyin/user/?user_id={}&token={}", author.id, author.token);
    let mut connection = Connection::new(target.clone());
    let answer = connection.get_within(PATIENCE, &path).await;
    Ok(read_user(answer.and_then(Answer::ok)?)?.work_count)
}

struct Audience {
    author: Arc<Account>,
    followers: Vec<Arc<Account>>,
    connections: usize,
    /// Tells the publishes of this run from those of others.
    run: u32,
    /// Numbers of publishes go on from phase to phase.
    said: u64,
    /// The author's videos before the first publish.
    works: i64,
    acknowledged: u64,
    /// Publishes whose answer never came or was an error.
    unknown: u64,
    /// Followers' connections that knew of everything, and what others lacked.
    knew: usize,
    wrong: Vec<String>,
}

impl Prepared for Audience {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let all_read = self.phase(stage, "all read", 0, None).await?;
            let share = stage.settings.stalled / 100.0;
            let stalled = index((float_len(self.connections) * share).ceil()).min(self.connections - 1);
            if stalled == 0 {
                return Ok(vec![all_read]);
            }
            let beside = self
                .phase(stage, "some stopped reading", stalled, Some(&all_read))
                .await?;
            Ok(vec![all_read, beside])
        })
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let shown = works(stage.peer.target(), &self.author).await? - self.works;
            let least = i64::try_from(self.acknowledged).unwrap_or(i64::MAX);
            let most = i64::try_from(self.acknowledged + self.unknown).unwrap_or(i64::MAX);
            let told = match self.wrong.first() {
                None => format!("{} followers' connections, each told of every publish", self.knew),
                Some(first) => format!("{} connections: {first}", self.wrong.len()),
            };
            Ok(vec![
                Check::new("every follower knows of every publish", self.wrong.is_empty(), told),
                Check::new(
                    "the author has every video",
                    (least..=most).contains(&shown),
                    format!(
                        "{shown} more, acknowledged {}, {} unanswered",
                        self.acknowledged, self.unknown
                    ),
                ),
            ])
        })
    }

    fn writes(&self) -> bool {
        true
    }
}

enum Role {
    Publisher { turn: u64 },
    Follower { account: Arc<Account>, reads: bool },
}

impl Audience {
    async fn phase(
        &mut self,
        stage: &Stage<'_>,
        name: &'static str,
        stalled: usize,
        all_read: Option<&Phase>,
    ) -> anyhow::Result<Phase> {
        let (readers, rate) = (self.connections - stalled, stage.settings.rate);
        let interval = rate.map(|rate| Duration::from_secs_f64(float_len(PUBLISHING) / rate));
        let author = (stage.peer.target().clone(), Arc::clone(&self.author));
        let scene = Arc::new(Scene::new(author, (self.run, self.said), interval, readers));
        let crew = Crew {
            stage,
            name,
            lanes: &["delivery", "until the last has it", "publish"],
            rate,
        };
        let mut roles: Vec<_> = (0..PUBLISHING as u64).map(|turn| Role::Publisher { turn }).collect();
        let accounts = self.followers.iter().cycle().take(self.connections);
        roles.extend(accounts.enumerate().map(|(number, account)| Role::Follower {
            account: Arc::clone(account),
            reads: number < readers,
        }));
        let shared = Arc::clone(&scene);
        let life = move |role: Role, seat: Seat| {
            let scene = Arc::clone(&shared);
            async move {
                match role {
                    Role::Publisher { turn } => {
                        scene.publish(&seat, turn).await;
                        None
                    }
                    Role::Follower { account, reads } => Some(scene.follow(&seat, &account, reads).await),
                }
            }
        };
        let (mut phase, left) = crew.live(roles, life).await?;
        let (sent, acknowledged) = scene.counts();
        self.said = scene.last();
        self.acknowledged += acknowledged;
        self.unknown += sent - acknowledged;
        let told: Vec<_> = left.into_iter().flatten().filter(|told| told.is_whole).collect();
        let came = told.iter().map(|told| told.count).sum();
        for told in &told {
            if scene.is_complete(told) {
                self.knew += 1;
            } else {
                self.wrong.push(format!(
                    "told of {} publishes and of {} newer videos, where {acknowledged} were acknowledged",
                    told.count, told.newer
                ));
            }
        }
        if let [delivery, until_last, ..] = &mut phase.lanes[..] {
            delivery.is_aimed = readers >= MANY;
            until_last.is_aimed = readers >= 10 * MANY;
        }
        measures(&mut phase, came, acknowledged, readers, all_read);
        Ok(phase)
    }
}
