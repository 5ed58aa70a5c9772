//! Scenario 2: pages of the feed, drawn by Zipf from the newest fifty, by guests and by viewers.
//!
//! Both have a phase of their own, since each has its own ceiling. Every page must hold the videos that the walk before
//! the load found there, in their order. A guest's body is read in full once a page; while it stays the same to the byte,
//! a comparison says as much. A guest likes and follows nobody; viewers' flags are compared with their lists
//! in the end.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use anyhow::ensure;
use futures_util::future::LocalBoxFuture;
use rand_chacha::ChaCha8Rng;

use super::Popular;
use crate::accounts::PATIENCE;
use crate::ceilings::Ceiling;
use crate::contract::{Feed, Video, read_feed, read_videos};
use crate::drive::{Behaviour, Load, Step};
use crate::failure::Failure;
use crate::http::{Answer, Connection};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::settings::stream;
use crate::survey::{Page, walk};

/// Viewers whose flags are compared with their lists.
const SAMPLED: usize = 5;
/// Pages that are asked for.
const PAGES: usize = 50;

/// The scenario.
pub struct FeedPages;

impl Scenario for FeedPages {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn about(&self) -> &'static str {
        "pages of 30 videos from the newest 50 pages by Zipf's law; half of the time guests, half of the time viewers"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "guest's page",
                unit: None,
                ceiling: Some(Ceiling::BareFeed),
                goal: Some(Goal::OfCeiling(0.9)),
            },
            Figure {
                lane: "viewer's page",
                unit: None,
                ceiling: Some(Ceiling::BareFeedRead),
                goal: Some(Goal::OfCeiling(0.6)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let connections = stage
                .settings
                .connections
                .unwrap_or(stage.settings.by_world(16, 64, 64));
            let pages = walk(stage.peer.target(), PAGES).await?;
            ensure!(
                !pages.is_empty(),
                "the target has no videos: publish some, or let the bench start it with a world"
            );
            let mut connection = Connection::new(stage.peer.target().clone());
            let newest = connection.get_within(PATIENCE, &pages[0].path()).await;
            let page_bytes = newest.and_then(Answer::ok)?.len();
            let count = stage.settings.users.unwrap_or(stage.settings.by_world(24, 256, 256));
            let accounts = stage.peer.accounts(count, stage.display).await?;
            ensure!(
                !accounts.is_empty() && connections > 0,
                "feed needs a user and a connection"
            );
            let (popular, seen) = (
                Popular::of(pages.len()),
                pages.iter().map(|_| OnceLock::new()).collect(),
            );
            let (pages, seen): (_, Arc<[_]>) = (Arc::new(pages), seen);
            let reader = |number: usize, tokens: Vec<(i64, String)>| PageReader {
                pages: Arc::clone(&pages),
                seen: Arc::clone(&seen),
                popular,
                tokens,
                rng: stream(stage.settings.seed, number),
            };
            let tokens = |number: usize| accounts.iter().skip(number).step_by(connections);
            let viewer = |number: usize| {
                let mut own: Vec<_> = tokens(number)
                    .map(|account| (account.id, account.token.clone()))
                    .collect();
                if own.is_empty() {
                    let account = &accounts[number % accounts.len()];
                    own.push((account.id, account.token.clone()));
                }
                reader(connections + number, own)
            };
            Ok(Box::new(Rounds {
                page_bytes,
                guests: (0..connections).map(|number| reader(number, Vec::new())).collect(),
                viewers: (0..connections).map(viewer).collect(),
            }) as Box<dyn Prepared>)
        })
    }
}

struct Rounds {
    /// Of the newest page, as a guest sees it.
    page_bytes: usize,
    guests: Vec<PageReader>,
    viewers: Vec<PageReader>,
}

impl Prepared for Rounds {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let mut phases = Vec::new();
            for (name, lanes, users) in [
                ("guests", &["guest's page"], &mut self.guests),
                ("viewers", &["viewer's page"], &mut self.viewers),
            ] {
                let load = Load {
                    target: stage.peer.target().clone(),
                    lanes,
                    users: std::mem::take(users),
                    pace: stage.pace(),
                };
                let (phase, back) = stage.phase(name, load).await?;
                *users = back;
                phases.push(phase);
            }
            Ok(phases)
        })
    }

    fn connections(&self) -> usize {
        self.guests.len()
    }

    fn page_bytes(&self) -> Option<usize> {
        Some(self.page_bytes)
    }

    /// A viewer's flags on the pages say the same as the list of what this viewer likes (contract, 9).
    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let mut connection = Connection::new(stage.peer.target().clone());
            let (mut wrong, mut compared) = (Vec::new(), 0);
            let pages = self
                .viewers
                .first()
                .map(|viewer| Arc::clone(&viewer.pages))
                .unwrap_or_default();
            for token in self.viewers.iter().flat_map(|viewer| &viewer.tokens).take(SAMPLED) {
                let path = format!("/douyin/favorite/list/?user_id={}&token={}", token.0, token.1);
                let answer = connection.get_within(PATIENCE, &path).await;
                let listed = answer.and_then(Answer::ok).and_then(read_videos)?;
                let listed: HashSet<_> = listed.iter().map(|video| video.id).collect();
                for page in pages.iter() {
                    let answer = connection.get_within(PATIENCE, &page.path_for(&token.1)).await;
                    let feed = answer.and_then(Answer::ok).and_then(read_feed)?;
                    compared += feed.videos.len();
                    let differs = |video: &&Video<'_>| video.is_favorite != listed.contains(&video.id);
                    let differing = feed.videos.iter().filter(differs);
                    wrong.extend(differing.map(|video| format!("user {}, video {}", token.0, video.id)));
                }
            }
            let passed = wrong.is_empty();
            wrong.truncate(10);
            let detail = if passed {
                format!("{compared} flags")
            } else {
                wrong.join("; ")
            };
            Ok(vec![Check::new("flags agree with the viewers' lists", passed, detail)])
        })
    }
}

struct PageReader {
    pages: Arc<Vec<Page>>,
    /// A guest's body of each page that was read in full and found right.
    seen: Arc<[OnceLock<Box<[u8]>>]>,
    popular: Popular,
    /// Users by id, with their tokens; none for a guest.
    tokens: Vec<(i64, String)>,
    rng: ChaCha8Rng,
}

impl PageReader {
    async fn read(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let place = self.popular.draw(&mut self.rng);
        let page = &self.pages[place];
        let Some((_, token)) = self.tokens.first() else {
            let body = connection.get(&page.path()).await.and_then(Answer::ok)?;
            if self.seen[place].get().is_some_and(|seen| **seen == *body) {
                return Ok(());
            }
            let feed = read_feed(body)?;
            page.check(&feed)?;
            is_a_guests(&feed)?;
            let _ = self.seen[place].set(body.into());
            return Ok(());
        };
        let body = connection.get(&page.path_for(token)).await.and_then(Answer::ok)?;
        page.check(&read_feed(body)?)?;
        // The next question is another user's.
        self.tokens.rotate_left(1);
        Ok(())
    }
}

fn is_a_guests(feed: &Feed<'_>) -> Result<(), Failure> {
    match feed
        .videos
        .iter()
        .find(|video| video.is_favorite || video.author.is_follow)
    {
        Some(video) => Err(Failure::Untrue(format!(
            "video {} has a viewer's flag for a guest",
            video.id
        ))),
        None => Ok(()),
    }
}

impl Behaviour for PageReader {
    async fn step(&mut self, connection: &mut Connection) -> Option<Step> {
        Some(Step::one(self.read(connection).await))
    }
}
