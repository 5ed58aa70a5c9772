//! Scenario 1: `GET /douyin/user/`, logged in, of users drawn by Zipf.
//!
//! Every answer must be of the user who was asked for, by id and by name where the name is known.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use rand_chacha::ChaCha8Rng;

use super::Popular;
use crate::accounts::Account;
use crate::ceilings::Ceiling;
use crate::contract::read_user;
use crate::drive::{Behaviour, Load, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::settings::stream;

/// The scenario.
pub struct UserInfo;

impl Scenario for UserInfo {
    fn name(&self) -> &'static str {
        "user-info"
    }

    fn about(&self) -> &'static str {
        "a user's profile, logged in, a token checked on every request; the users asked for follow Zipf's law"
    }

    fn figures(&self) -> &'static [Figure] {
        &[Figure {
            lane: "user info",
            unit: None,
            ceiling: Some(Ceiling::BareGet),
            goal: Some(Goal::OfCeiling(0.7)),
        }]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let readers = Readers::prepare(stage).await?;
            Ok(Box::new(readers) as Box<dyn Prepared>)
        })
    }
}

/// Whom one can ask about.
#[derive(Debug)]
enum People {
    /// A seeded world: the ids 1 to n, called `user1` to `usern`.
    Seeded(usize),
    /// Those who act.
    Known(Vec<Arc<Account>>),
}

impl People {
    fn len(&self) -> usize {
        match self {
            Self::Seeded(count) => *count,
            Self::Known(accounts) => accounts.len(),
        }
    }

    fn id(&self, place: usize) -> i64 {
        match self {
            Self::Seeded(_) => i64::try_from(place + 1).unwrap_or(i64::MAX),
            Self::Known(accounts) => accounts[place].id,
        }
    }

    fn is_called(&self, place: usize, name: &str) -> bool {
        match self {
            Self::Seeded(_) => name.strip_prefix("user").and_then(|number| number.parse().ok()) == Some(place + 1),
            Self::Known(accounts) => accounts[place].name == name,
        }
    }
}

/// The readers of one target; the login storm has them as its background.
pub struct Readers {
    users: Vec<Reader>,
}

impl Readers {
    /// As many as there are connections.
    pub async fn prepare(stage: &Stage<'_>) -> anyhow::Result<Self> {
        let connections = stage
            .settings
            .connections
            .unwrap_or(stage.settings.by_world(16, 64, 64));
        let accounts = stage
            .peer
            .accounts(stage.settings.users.unwrap_or(connections), stage.display)
            .await?;
        anyhow::ensure!(
            !accounts.is_empty() && connections > 0,
            "user-info needs a user and a connection"
        );
        // Only where the numbers of all users we know are their ids, ids of others can be known without asking.
        let numbered = accounts
            .iter()
            .all(|account| account.name == format!("user{}", account.id));
        let people = match stage.peer.world() {
            Some(world) if numbered => People::Seeded(world.size.users() as usize),
            _ => People::Known(accounts.clone()),
        };
        let (popular, people) = (Popular::of(people.len()), Arc::new(people));
        let users = (0..connections).map(|number| Reader {
            token: accounts[number % accounts.len()].token.clone(),
            people: Arc::clone(&people),
            popular,
            rng: stream(stage.settings.seed, number),
        });
        Ok(Self { users: users.collect() })
    }

    /// Takes them to a load.
    pub fn take(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.users)
    }

    /// Brings them back.
    pub fn put(&mut self, users: Vec<Reader>) {
        self.users = users;
    }
}

impl Prepared for Readers {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let load = Load {
                target: stage.peer.target().clone(),
                lanes: &["user info"],
                users: self.take(),
                pace: stage.pace(),
            };
            let (phase, users) = stage.phase("user info", load).await?;
            self.put(users);
            Ok(vec![phase])
        })
    }

    fn connections(&self) -> usize {
        self.users.len()
    }

    fn verify<'a>(&'a mut self, _: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A user who looks at profiles.
pub struct Reader {
    token: String,
    people: Arc<People>,
    popular: Popular,
    rng: ChaCha8Rng,
}

impl Reader {
    async fn look(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let place = self.popular.draw(&mut self.rng);
        let id = self.people.id(place);
        let path = format!("/douyin/user/?user_id={id}&token={}", self.token);
        let user = connection.get(&path).await.and_then(Answer::ok).and_then(read_user)?;
        if user.id != id {
            return Err(Failure::Untrue(format!("asked for user {id} and got user {}", user.id)));
        }
        if !self.people.is_called(place, &user.name) {
            return Err(Failure::Untrue(format!("user {id} is called {:?}", user.name)));
        }
        Ok(())
    }
}

impl Behaviour for Reader {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        Some(Step::one(self.look(connection).await))
    }
}
