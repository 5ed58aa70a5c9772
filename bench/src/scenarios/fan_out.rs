//! Scenario 6: a few authors, many who hear of them: comments on videos that thousands watch.
//!
//! A room passes on a bounded number of comments a second, so everybody watches several, and no room gets more than that.
//! Everybody who reads must get the comments in order, none twice, with the text that was sent. Comments in a room are
//! ephemeral events, which a server may drop for a slow reader: what did not come is shown as the share that was
//! delivered. A second phase has readers who stopped reading, which must not harm the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::LocalBoxFuture;

use super::deliveries::{DELIVERY, Deliveries, Heard, MANY, measures};
use crate::accounts::Account;
use crate::ceilings::Ceiling;
use crate::contract::read_status;
use crate::crew::{Crew, Seat};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::scenario::{Check, Figure, Goal, Phase, Prepared, Scenario, Stage};
use crate::socket::{Session, assert_socket, parse};
use crate::survey::walk;
use crate::units::{float, float_len, index};

/// Videos that everybody watches: as many as one connection may.
const ROOMS: usize = 16;
/// Who comments, each on its share of the videos.
const AUTHORS: usize = 4;
/// Between two comments in a room of a closed loop: below the twenty a second that a room of Ovation passes on.
const APART: Duration = Duration::from_millis(56);

/// The scenario.
pub struct FanOut;

impl Scenario for FanOut {
    fn name(&self) -> &'static str {
        "fan-out"
    }

    fn about(&self) -> &'static str {
        "comments on a video that many watch, to every one of them; then beside readers who stopped reading"
    }

    fn figures(&self) -> &'static [Figure] {
        &[Figure {
            lane: "delivery",
            unit: None,
            ceiling: Some(Ceiling::SocketFan),
            goal: Some(Goal::UnitsASecond(500_000.0)),
        }]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            assert_socket(stage.peer.target()).await?;
            let watchers = settings.connections.unwrap_or(settings.by_world(32, 1_000, 10_000));
            ensure!(watchers > 0, "fan-out needs a connection");
            let pages = walk(stage.peer.target(), 1).await?;
            let page = pages.first();
            let page =
                page.context("the target has no videos: publish some, or let the bench start it with a world")?;
            let videos: Arc<[i64]> = page.videos.iter().map(|(id, _)| *id).take(ROOMS).collect();
            let authors = stage.peer.accounts(AUTHORS.min(videos.len()), stage.display).await?;
            ensure!(!authors.is_empty(), "fan-out needs a user who comments");
            Ok(Box::new(Hall {
                videos,
                authors,
                watchers,
                run: rand::random(),
                said: 0,
                read: 0,
            }) as Box<dyn Prepared>)
        })
    }
}

struct Hall {
    videos: Arc<[i64]>,
    authors: Vec<Arc<Account>>,
    watchers: usize,
    /// Tells the comments of this run from those of others.
    run: u32,
    /// Numbers of comments go on from phase to phase.
    said: u64,
    /// Comments that were read, by all readers together.
    read: u64,
}

/// What the two sides of a phase share.
struct Scene {
    videos: Arc<[i64]>,
    target: Target,
    run: u32,
    interval: Option<Duration>,
    deliveries: Deliveries,
}

enum Role {
    Author { account: Arc<Account>, rooms: Vec<usize> },
    Reader,
    Stalled,
}

impl Prepared for Hall {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let all_read = self.phase(stage, "all read", 0, None).await?;
            let share = stage.settings.stalled / 100.0;
            let stalled = index((float_len(self.watchers) * share).ceil()).min(self.watchers - 1);
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
        self.watchers
    }

    fn verify<'a>(&'a mut self, _: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        // Order, repetition and texts are checked as they come. Some may be dropped; all of them are no fan-out.
        let told = format!("{} comments read by those who watch", self.read);
        let check = Check {
            name: "comments reach who watches".to_owned(),
            passed: self.said == 0 || self.read > 0,
            detail: told,
        };
        Box::pin(async { Ok(vec![check]) })
    }

    fn writes(&self) -> bool {
        true
    }
}

impl Hall {
    async fn phase(
        &mut self,
        stage: &Stage<'_>,
        name: &'static str,
        stalled: usize,
        all_read: Option<&Phase>,
    ) -> anyhow::Result<Phase> {
        let readers = self.watchers - stalled;
        let rate = stage.settings.rate;
        let scene = Arc::new(Scene {
            videos: Arc::clone(&self.videos),
            target: stage.peer.target().clone(),
            run: self.run,
            interval: rate.map(|rate| Duration::from_secs_f64(float_len(self.authors.len()) / rate)),
            deliveries: Deliveries::new(self.authors.len(), readers, rate.is_some()),
        });
        let crew = Crew {
            stage,
            name,
            lanes: &["delivery", "until the last has it", "comment"],
            rate,
        };
        let (authors, said) = (self.authors.len(), self.said);
        let author = |(number, account): (usize, &Arc<Account>)| Role::Author {
            account: Arc::clone(account),
            rooms: (number..self.videos.len()).step_by(authors).collect(),
        };
        let mut roles: Vec<_> = self.authors.iter().enumerate().map(author).collect();
        roles.extend((0..readers).map(|_| Role::Reader));
        roles.extend((0..stalled).map(|_| Role::Stalled));
        let life = move |role: Role, seat: Seat| {
            let scene = Arc::clone(&scene);
            async move {
                match role {
                    Role::Author { account, rooms } => scene.comment(&seat, &account, &rooms, said).await,
                    Role::Reader => (0, scene.read(&seat, true).await),
                    Role::Stalled => (0, scene.read(&seat, false).await),
                }
            }
        };
        let (mut phase, left) = crew.live(roles, life).await?;
        let said = left.iter().map(|(said, _)| *said).max().unwrap_or_default();
        let got: u64 = left.iter().map(|(_, got)| *got).sum();
        let sent: u64 = left.iter().map(|(end, _)| end.saturating_sub(self.said)).sum();
        self.said = self.said.max(said);
        self.read += got;
        for lane in &mut phase.lanes {
            lane.is_aimed = readers >= MANY;
        }
        measures(&mut phase, got, sent, readers, all_read);
        if let (None, Some(lane)) = (rate, phase.lanes.get_mut(DELIVERY)) {
            let comments = float_len(self.videos.len()) / APART.as_secs_f64();
            lane.pace_limit = Some(comments * float_len(readers));
        }
        Ok(phase)
    }
}

impl Scene {
    /// Where a comment stands.
    fn video(&self, number: u64) -> Option<i64> {
        self.videos.get(index(float(number % ROOMS as u64))).copied()
    }

    fn text(&self, number: u64) -> String {
        format!("bench-{:08x}-{number:010}", self.run)
    }

    /// An author: the next comment once everybody has the last one, or at its time.
    async fn comment(&self, seat: &Seat, account: &Account, rooms: &[usize], mut said: u64) -> (u64, u64) {
        let window = seat.ready().await;
        let mut connection = Connection::new(self.target.clone());
        let mut due = Instant::now();
        let apart = APART.div_f64(float_len(rooms.len()));
        for room in rooms.iter().copied().cycle() {
            if due >= window.end {
                break;
            }
            seat.pacer().until(due).await;
            said += 1;
            let key = said * ROOMS as u64 + room as u64;
            self.deliveries.begin(key, due);
            let path = format!(
                "/douyin/comment/action/?token={}&video_id={}&action_type=1&comment_text={}",
                account.token,
                self.videos[room],
                self.text(key)
            );
            let posted = connection
                .post_within(window.cutoff() - Instant::now(), &path, "")
                .await;
            let posted = posted.and_then(Answer::ok).and_then(read_status);
            let done = connection.take_answered_at().unwrap_or_else(Instant::now);
            self.deliveries.sent(seat, key, due, posted.as_ref().map(|()| done));
            if posted.is_err() {
                break;
            }
            due = if let Some(interval) = self.interval {
                due + interval
            } else {
                self.deliveries.wait(seat, &window, key).await;
                Instant::now().max(due + apart)
            };
        }
        let mine = |key: u64| rooms.contains(&index(float(key % ROOMS as u64)));
        self.deliveries.leave(seat, &window, mine).await;
        (said, 0)
    }

    /// A guest who watches, and reads or does not. Gives back how many comments came.
    async fn read(&self, seat: &Seat, reads: bool) -> u64 {
        let mut got = 0;
        if let Err(failure) = self.attend(seat, reads, &mut got).await {
            seat.failure(DELIVERY, &failure);
        }
        got
    }

    async fn attend(&self, seat: &Seat, reads: bool, got: &mut u64) -> Result<(), Failure> {
        let opening = async {
            let mut session = Session::open(&self.target, None, None).await?;
            for (number, video) in (1..).zip(self.videos.iter()) {
                let request = format!("{{\"t\":\"video.watch\",\"id\":\"{number}\",\"d\":{{\"video_id\":{video}}}}}");
                session.ask(&request, number, |_| Ok(())).await?;
            }
            Ok::<_, Failure>(session)
        };
        let mut session = seat.enter(opening).await?;
        let window = seat.ready().await;
        if !reads {
            tokio::time::sleep_until(window.end.into()).await;
            return Ok(());
        }
        self.deliveries.until_over(self.listen(&mut session, seat, got)).await
    }

    async fn listen(&self, session: &mut Session, seat: &Seat, got: &mut u64) -> Result<(), Failure> {
        let (mut last, mut place) = ([0; ROOMS], 0);
        loop {
            let (text, at) = session.text().await?;
            let heard = self
                .deliveries
                .heard(&mut place, text, |text| self.read_comment(text))?;
            let Heard::Number(number) = heard else { continue };
            let last = &mut last[index(float(number % ROOMS as u64))];
            if number <= *last {
                return Err(Failure::Untrue(format!("comment {number} came after comment {last}")));
            }
            *last = number;
            *got += 1;
            self.deliveries.arrived(seat, number, at);
        }
    }

    /// What a frame says: the number of a comment of this run, or nothing.
    fn read_comment(&self, text: &str) -> Result<Heard, Failure> {
        let event = parse(text)?;
        if event.t != "video.comment" {
            return Ok(Heard::Nothing);
        }
        let content = event.d.comment.map(|comment| comment.content).unwrap_or_default();
        let number = content.rsplit('-').next().and_then(|number| number.parse().ok());
        match number.filter(|number| content == self.text(*number) && event.d.video_id == self.video(*number)) {
            Some(number) => Ok(Heard::Number(number)),
            None => Err(Failure::Untrue(format!("a comment that nobody wrote: {content:?}"))),
        }
    }
}
