//! Scenario 4: reading and writing, twenty to one.
//!
//! A reading is a like status, asked thirty at a time as a page of the feed; a writing is a like or its taking back. A
//! user reads the page around a video drawn by Zipf and then changes the status just read, so that every writing is a
//! real change: two pages, three writings, and again. Each page must show what the same user wrote before; in the end
//! the counts are what they were plus what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::LocalBoxFuture;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{LAG, Popular};
use crate::accounts::{Account, PATIENCE};
use crate::contract::{read_feed, read_status};
use crate::drive::{Behaviour, Load, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::settings::stream;
use crate::survey::{Page, walk};

/// Pages that the walk before the load takes: 100,000 videos.
const PAGES: usize = 3_334;
/// Pages that are counted again in the end, the most popular first.
const COUNTED: usize = 300;

const PAGE: usize = 0;
const WRITE: usize = 1;
/// What a user does, again and again; after a page, the place of the video that is changed: the one drawn or another.
const CYCLE: [Turn; 5] = [Turn::Read, Turn::Write, Turn::Read, Turn::Write, Turn::WriteOther];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Read,
    Write,
    WriteOther,
}

/// The scenario.
pub struct Mix;

impl Scenario for Mix {
    fn name(&self) -> &'static str {
        "mix"
    }

    fn about(&self) -> &'static str {
        "like statuses, thirty at a time, and changes of them, 20 to 1; videos by Zipf's law over the whole feed"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "page of statuses",
                unit: Some("statuses"),
                ceiling: None,
                goal: Some(Goal::UnitsASecond(300_000.0)),
            },
            Figure {
                lane: "write",
                unit: None,
                ceiling: None,
                goal: Some(Goal::UnitsASecond(15_000.0)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let connections = stage
                .settings
                .connections
                .unwrap_or(stage.settings.by_world(16, 64, 128));
            // A user has one connection: only then it must see its own writing in its next reading.
            let accounts = stage.peer.accounts(connections, stage.display).await?;
            let pages = Arc::new(walk(stage.peer.target(), PAGES).await?);
            ensure!(
                !pages.is_empty(),
                "the target has no videos: publish some, or let the bench start it with a world"
            );
            let popular = Popular::of(pages.iter().map(|page| page.videos.len()).sum());
            let users = accounts.into_iter().enumerate().map(|(number, account)| Mixer {
                account,
                pages: Arc::clone(&pages),
                popular,
                rng: stream(stage.settings.seed, number),
                turn: 0,
                place: (0, 0),
                statuses: Vec::new(),
                own: HashMap::new(),
                deltas: HashMap::new(),
                asked: None,
                unknown: Vec::new(),
            });
            Ok(Box::new(Rounds {
                users: users.collect(),
                pages,
            }) as Box<dyn Prepared>)
        })
    }
}

struct Rounds {
    users: Vec<Mixer>,
    pages: Arc<Vec<Page>>,
}

impl Prepared for Rounds {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let load = Load {
                target: stage.peer.target().clone(),
                lanes: &["page of statuses", "write"],
                users: std::mem::take(&mut self.users),
                pace: stage.pace(),
            };
            let (phase, users) = stage.phase("mix", load).await?;
            self.users = users;
            Ok(vec![phase])
        })
    }

    fn connections(&self) -> usize {
        self.users.len()
    }

    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let mut connection = Connection::new(stage.peer.target().clone());
            let begun = Instant::now();
            loop {
                self.settle(&mut connection).await?;
                let check = self.count(&mut connection, begun).await?;
                if check.passed || begun.elapsed() > LAG {
                    return Ok(vec![check]);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    }

    fn writes(&self) -> bool {
        true
    }
}

impl Rounds {
    /// What was asked and never answered may have happened or not: the user's own page knows.
    async fn settle(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        for user in &mut self.users {
            user.give_up();
            for (page, slot, was) in user.unknown.clone() {
                let path = self.pages[page].path_for(&user.account.token);
                let answer = connection.get_within(PATIENCE, &path).await;
                let feed = answer.and_then(Answer::ok).and_then(read_feed)?;
                self.pages[page].check(&feed)?;
                let (id, before) = (
                    feed.videos[slot].id,
                    user.own.get(&feed.videos[slot].id).copied().unwrap_or(was),
                );
                let now = feed.videos[slot].is_favorite;
                user.wrote(id, before, now);
                user.own.insert(id, now);
            }
        }
        Ok(())
    }

    async fn count(&self, connection: &mut Connection, begun: Instant) -> Result<Check, Failure> {
        let mut deltas = BTreeMap::<i64, i64>::new();
        for (id, delta) in self.users.iter().flat_map(|user| &user.deltas) {
            *deltas.entry(*id).or_default() += delta;
        }
        let is_touched = |page: &&Page| page.videos.iter().any(|(id, _)| deltas.contains_key(id));
        let (mut wrong, mut counted) = (Vec::new(), 0);
        for page in self.pages.iter().filter(is_touched).take(COUNTED) {
            let answer = connection.get_within(PATIENCE, &page.path()).await;
            let feed = answer.and_then(Answer::ok).and_then(read_feed)?;
            page.check(&feed)?;
            for (video, (id, before)) in feed.videos.iter().zip(&page.videos) {
                let expected = before + deltas.get(id).copied().unwrap_or_default();
                counted += 1;
                if video.favorite_count != expected {
                    wrong.push(format!("video {id}: {}, not {expected}", video.favorite_count));
                }
            }
        }
        let passed = wrong.is_empty();
        wrong.truncate(10);
        let right = format!("{counted} counts, all exact after {} ms", begun.elapsed().as_millis());
        Ok(Check::new(
            "counts are exact",
            passed,
            if passed { right } else { wrong.join("; ") },
        ))
    }
}

struct Mixer {
    account: Arc<Account>,
    pages: Arc<Vec<Page>>,
    popular: Popular,
    rng: ChaCha8Rng,
    turn: usize,
    /// The page that was read last, and the place in it of the video that was drawn.
    place: (usize, usize),
    /// Its statuses.
    statuses: Vec<bool>,
    /// What this user wrote.
    own: HashMap<i64, bool>,
    /// What was acknowledged to it, video by video.
    deltas: HashMap<i64, i64>,
    /// A writing on its way: page, place in it, and the status before.
    asked: Option<(usize, usize, bool)>,
    /// Writings that were never answered.
    unknown: Vec<(usize, usize, bool)>,
}

impl Mixer {
    fn give_up(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.own.remove(&self.pages[asked.0].videos[asked.1].0);
            if !self.unknown.contains(&asked) {
                self.unknown.push(asked);
            }
        }
    }

    fn wrote(&mut self, id: i64, before: bool, now: bool) {
        *self.deltas.entry(id).or_default() += i64::from(now) - i64::from(before);
    }

    fn is_unknown(&self, page: usize, slot: usize) -> bool {
        self.unknown.iter().any(|(of, at, _)| (*of, *at) == (page, slot))
    }

    async fn read(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let rank = self.popular.draw(&mut self.rng);
        let page_len = self.pages[0].videos.len();
        let place = (rank / page_len, rank % page_len);
        let page = &self.pages[place.0];
        // Whatever comes: without this page's statuses nothing of it can be written.
        self.statuses.clear();
        let feed = connection
            .get(&page.path_for(&self.account.token))
            .await
            .and_then(Answer::ok)
            .and_then(read_feed)?;
        page.check(&feed)?;
        for video in &feed.videos {
            if self.own.get(&video.id).is_some_and(|own| *own != video.is_favorite) {
                return Err(Failure::Untrue(format!(
                    "user {} wrote that video {} is {}liked, and reads the opposite",
                    self.account.id,
                    video.id,
                    if video.is_favorite { "not " } else { "" }
                )));
            }
        }
        self.statuses.extend(feed.videos.iter().map(|video| video.is_favorite));
        self.place = place;
        Ok(())
    }

    async fn write(&mut self, connection: &mut Connection, slot: usize, before: bool) -> Result<(), Failure> {
        let id = self.pages[self.place.0].videos[slot].0;
        let action = if before { 2 } else { 1 };
        let path = format!(
            "/douyin/favorite/action/?token={}&video_id={id}&action_type={action}",
            self.account.token
        );
        self.asked = Some((self.place.0, slot, before));
        connection
            .post(&path, "")
            .await
            .and_then(Answer::ok)
            .and_then(read_status)?;
        self.asked = None;
        self.wrote(id, before, !before);
        self.own.insert(id, !before);
        self.statuses[slot] = !before;
        Ok(())
    }

    /// The video to change: the one that was drawn or any other of its page, as long as its status is known.
    fn slot(&mut self, turn: Turn) -> Option<usize> {
        let all = self.statuses.len();
        let is_other = turn == Turn::WriteOther && all > 1;
        let other = if is_other { self.rng.random_range(1..all) } else { 0 };
        let first = (self.place.1 + other).checked_rem(all)?;
        (0..all)
            .map(|step| (first + step) % all)
            .find(|slot| !self.is_unknown(self.place.0, *slot))
    }
}

impl Behaviour for Mixer {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        self.give_up();
        let turn = CYCLE[self.turn % CYCLE.len()];
        self.turn += 1;
        if turn != Turn::Read
            && let Some(slot) = self.slot(turn)
        {
            let before = self.statuses[slot];
            return Some(Step::on(WRITE, self.write(connection, slot, before).await));
        }
        let result = self.read(connection).await;
        let units = u32::try_from(self.statuses.len()).unwrap_or(u32::MAX);
        Some(Step {
            lane: PAGE,
            units,
            result,
        })
    }

    fn next_lane(&self) -> usize {
        if CYCLE[self.turn % CYCLE.len()] == Turn::Read {
            PAGE
        } else {
            WRITE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_is_twenty_statuses_to_one_writing() {
        let reads = CYCLE.iter().filter(|turn| **turn == Turn::Read).count();
        assert_eq!(reads * 30, 20 * (CYCLE.len() - reads));
    }
}
