//! Scenario 3: everybody likes one video, one in ten takes it back, then the next video.
//!
//! Each connection speaks for its share of the users. What a user had liked before is learnt from its own page of the
//! feed, so that every request is a real change. At the end each count must be what it was plus what was acknowledged,
//! exactly, and the users' own flags must say the same; after a restart once more, when only the store can answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::{LocalBoxFuture, try_join_all};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::LAG;
use crate::accounts::{Account, PATIENCE};
use crate::ceilings::Ceiling;
use crate::contract::{read_feed, read_status};
use crate::drive::{Behaviour, Load, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::settings::stream;
use crate::survey::{Page, walk};

/// Users whose own flags are looked at in the end.
const SAMPLED: usize = 100;
/// Pages asked for at once before and after the load.
const AT_ONCE: usize = 32;

/// The scenario.
pub struct LikeStorm;

impl Scenario for LikeStorm {
    fn name(&self) -> &'static str {
        "like-storm"
    }

    fn about(&self) -> &'static str {
        "all users like one video, one in ten takes it back, then the next video; counts are exact in the end"
    }

    fn figures(&self) -> &'static [Figure] {
        &[Figure {
            lane: "like",
            unit: None,
            ceiling: Some(Ceiling::BarePost),
            goal: Some(Goal::OfCeiling(0.6)),
        }]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            let connections = settings.connections.unwrap_or(settings.by_world(16, 256, 256));
            let users = settings.users.unwrap_or(settings.by_world(24, 2_000, 20_000));
            ensure!(connections > 0 && users > 0, "like-storm needs a user and a connection");
            let mut pages = walk(stage.peer.target(), 1).await?;
            ensure!(
                !pages.is_empty(),
                "the target has no videos: publish some, or let the bench start it with a world"
            );
            let page = Arc::new(pages.remove(0));
            let accounts = stage.peer.accounts(users, stage.display).await?;
            let fans = fans(stage.peer.target(), &page, &accounts).await?;
            let mut slices: Vec<Vec<Fan>> = (0..connections.min(fans.len())).map(|_| Vec::new()).collect();
            let count = slices.len();
            for (number, fan) in fans.into_iter().enumerate() {
                slices[number % count].push(fan);
            }
            let crowds = slices.into_iter().enumerate();
            let crowds = crowds.map(|(number, fans)| Crowd::new(&page, fans, stream(settings.seed, number)));
            Ok(Box::new(Storm {
                crowds: crowds.collect(),
                page,
            }) as Box<dyn Prepared>)
        })
    }
}

/// A user and what it likes of the page: a bit for each video.
pub(super) struct Fan {
    pub(super) account: Arc<Account>,
    pub(super) likes: u32,
    /// Videos of which a wish was sent and never acknowledged.
    pub(super) unknown: u32,
}

/// Asks every user's own page.
pub(super) async fn fans(target: &Target, page: &Arc<Page>, accounts: &[Arc<Account>]) -> Result<Vec<Fan>, Failure> {
    let shares = accounts.chunks(accounts.len().div_ceil(AT_ONCE).max(1));
    let ask = |share: &[Arc<Account>]| {
        let (share, page, mut connection) = (share.to_vec(), Arc::clone(page), Connection::new(target.clone()));
        async move {
            let mut fans = Vec::with_capacity(share.len());
            for account in share {
                let likes = flags(&mut connection, &page, &account).await?.likes;
                fans.push(Fan {
                    account,
                    likes,
                    unknown: 0,
                });
            }
            Ok(fans)
        }
    };
    Ok(try_join_all(shares.map(ask)).await?.into_iter().flatten().collect())
}

/// A page as one user sees it.
struct Seen {
    likes: u32,
    counts: Vec<i64>,
}

async fn flags(connection: &mut Connection, page: &Page, account: &Account) -> Result<Seen, Failure> {
    let answer = connection.get_within(PATIENCE, &page.path_for(&account.token)).await;
    let feed = answer.and_then(Answer::ok).and_then(read_feed)?;
    page.check(&feed)?;
    let mut seen = Seen {
        likes: 0,
        counts: Vec::with_capacity(feed.videos.len()),
    };
    for (at, video) in feed.videos.iter().enumerate() {
        seen.likes |= u32::from(video.is_favorite) << at;
        seen.counts.push(video.favorite_count);
    }
    Ok(seen)
}

struct Storm {
    page: Arc<Page>,
    crowds: Vec<Crowd>,
}

impl Prepared for Storm {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let load = Load {
                target: stage.peer.target().clone(),
                lanes: &["like"],
                users: std::mem::take(&mut self.crowds),
                pace: stage.pace(),
            };
            let (phase, crowds) = stage.phase("storm", load).await?;
            self.crowds = crowds;
            Ok(vec![phase])
        })
    }

    fn connections(&self) -> usize {
        self.crowds.len()
    }

    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let begun = Instant::now();
            let mut connection = Connection::new(stage.peer.target().clone());
            loop {
                self.settle(&mut connection).await?;
                let checks = self.compare(&mut connection, begun).await?;
                if checks.iter().all(|check| check.passed) || begun.elapsed() > LAG {
                    return Ok(checks);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    }

    fn writes(&self) -> bool {
        true
    }
}

impl Storm {
    /// What was asked and never answered may have happened or not: only the users' own pages know.
    async fn settle(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        for crowd in &mut self.crowds {
            crowd.give_up();
            for at in 0..crowd.fans.len() {
                let fan = &crowd.fans[at];
                if fan.unknown != 0 {
                    let (unknown, likes) = (fan.unknown, flags(connection, &self.page, &fan.account).await?.likes);
                    for video in (0..self.page.videos.len()).filter(|video| unknown >> video & 1 == 1) {
                        crowd.know(at, video, likes >> video & 1 == 1);
                    }
                    // Still unknown: an answer that is late may yet change it, and is asked about again.
                    crowd.fans[at].unknown = unknown;
                }
            }
        }
        Ok(())
    }

    async fn compare(&self, connection: &mut Connection, begun: Instant) -> Result<Vec<Check>, Failure> {
        let step = (self.crowds.len() / SAMPLED).max(1);
        let sampled = self.crowds.iter().step_by(step).filter_map(|crowd| crowd.fans.first());
        let (mut wrong, mut asked, mut counts) = (Vec::new(), 0, Vec::new());
        for fan in sampled.take(SAMPLED) {
            let seen = flags(connection, &self.page, &fan.account).await?;
            if seen.likes != fan.likes {
                wrong.push(format!(
                    "user {}: {:b}, not {:b}",
                    fan.account.id, seen.likes, fan.likes
                ));
            }
            (asked, counts) = (asked + 1, seen.counts);
        }
        let right = format!("{asked} users, {} videos each", self.page.videos.len());
        Ok(vec![
            self.count(&counts, begun),
            found("is_favorite of sampled users", &wrong, right),
        ])
    }

    /// Every count is what it was and what was acknowledged since.
    fn count(&self, counts: &[i64], begun: Instant) -> Check {
        let (mut wrong, mut changed) = (Vec::new(), 0);
        for (at, (id, before)) in self.page.videos.iter().enumerate() {
            let delta: i64 = self.crowds.iter().map(|crowd| crowd.deltas[at]).sum();
            changed += u64::from(delta != 0);
            let expected = before + delta;
            if counts.get(at) != Some(&expected) {
                wrong.push(format!("video {id}: {:?}, not {expected}", counts.get(at)));
            }
        }
        let acknowledged: u64 = self.crowds.iter().map(|crowd| crowd.acknowledged).sum();
        let after = begun.elapsed().as_millis();
        let right = format!("{acknowledged} acknowledged changes, {changed} counts moved, all exact after {after} ms");
        found("counts are exact", &wrong, right)
    }
}

fn found(name: &str, wrong: &[String], right: String) -> Check {
    Check::new(
        name,
        wrong.is_empty(),
        if wrong.is_empty() { right } else { wrong.join("; ") },
    )
}

/// One connection's users.
struct Crowd {
    page: Arc<Page>,
    fans: Vec<Fan>,
    rng: ChaCha8Rng,
    /// What was acknowledged, video by video.
    deltas: Vec<i64>,
    acknowledged: u64,
    video: usize,
    fan: usize,
    /// The way of this pass over the videos: first everybody likes, in the next one nobody does any more.
    wish: bool,
    take_back: bool,
    /// A wish that was sent and not answered yet.
    asked: Option<(usize, usize)>,
}

impl Crowd {
    fn new(page: &Arc<Page>, fans: Vec<Fan>, rng: ChaCha8Rng) -> Self {
        Self {
            deltas: vec![0; page.videos.len()],
            page: Arc::clone(page),
            fans,
            rng,
            acknowledged: 0,
            video: 0,
            fan: 0,
            wish: true,
            take_back: false,
            asked: None,
        }
    }

    fn likes(&self, fan: usize, video: usize) -> bool {
        self.fans[fan].likes >> video & 1 == 1
    }

    /// The pair is on or off: whatever that changes belongs to the count.
    fn know(&mut self, fan: usize, video: usize, on: bool) {
        if self.likes(fan, video) != on {
            self.fans[fan].likes ^= 1 << video;
            self.deltas[video] += if on { 1 } else { -1 };
        }
    }

    /// What was sent before the last round ended, and never answered.
    fn give_up(&mut self) {
        if let Some((fan, video)) = self.asked.take() {
            self.fans[fan].unknown |= 1 << video;
        }
    }

    fn advance(&mut self) {
        self.take_back = false;
        self.fan += 1;
        if self.fan == self.fans.len() {
            (self.fan, self.video) = (0, self.video + 1);
        }
        if self.video == self.page.videos.len() {
            (self.video, self.wish) = (0, !self.wish);
        }
    }

    /// The next real change; `None` when there is none left, because none was ever acknowledged.
    fn next(&mut self) -> Option<(usize, usize, bool)> {
        for _ in 0..=2 * self.fans.len() * self.page.videos.len() {
            let (fan, video) = (self.fan, self.video);
            let wish = self.wish != self.take_back;
            if self.fans[fan].unknown >> video & 1 == 0 && self.likes(fan, video) != wish {
                return Some((fan, video, wish));
            }
            self.advance();
        }
        None
    }

    async fn send(&mut self, connection: &mut Connection, wish: (usize, usize, bool)) -> Result<(), Failure> {
        let (fan, video, on) = wish;
        let action = if on { 1 } else { 2 };
        let (id, token) = (self.page.videos[video].0, &self.fans[fan].account.token);
        let path = format!("/douyin/favorite/action/?token={token}&video_id={id}&action_type={action}");
        self.asked = Some((fan, video));
        connection
            .post(&path, "")
            .await
            .and_then(Answer::ok)
            .and_then(read_status)?;
        self.asked = None;
        self.acknowledged += 1;
        self.know(fan, video, on);
        Ok(())
    }
}

impl Behaviour for Crowd {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        self.give_up();
        let wish = self.next()?;
        let result = self.send(connection, wish).await;
        if result.is_ok() && !self.take_back && self.rng.random_ratio(1, 10) {
            self.take_back = true;
        } else {
            self.advance();
        }
        Some(Step::one(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn crowd(fans: usize) -> Crowd {
        let page = Arc::new(Page {
            latest_time: None,
            next_time: Some(1),
            videos: vec![(7, 0), (6, 3)],
        });
        let fan = |number: usize| Fan {
            account: Arc::new(Account {
                id: i64::try_from(number).unwrap(),
                name: String::new(),
                token: String::new(),
                password: String::new(),
            }),
            likes: u32::from(number == 1),
            unknown: 0,
        };
        Crowd::new(&page, (0..fans).map(fan).collect(), stream(1, 0))
    }

    #[test]
    fn every_wish_is_a_change_and_deltas_add_up() {
        let mut crowd = crowd(3);
        let mut states = HashSet::from([(1, 0)]);
        for number in 0..1_000 {
            let (fan, video, on) = crowd.next().unwrap();
            assert!(if on {
                states.insert((fan, video))
            } else {
                states.remove(&(fan, video))
            });
            crowd.know(fan, video, on);
            crowd.take_back = !crowd.take_back && number % 10 == 0;
            if !crowd.take_back {
                crowd.advance();
            }
        }
        for video in 0..2 {
            let on = states.iter().filter(|(_, of)| *of == video).count();
            assert_eq!(crowd.deltas[video], i64::try_from(on).unwrap() - i64::from(video == 0));
        }
    }

    #[test]
    fn what_was_never_answered_is_left_alone() {
        let mut crowd = crowd(1);
        crowd.asked = Some((0, 0));
        crowd.give_up();
        assert_eq!(crowd.next(), Some((0, 1, true)));
        crowd.fans[0].unknown = 0b11;
        assert_eq!(crowd.next(), None);
    }
}
