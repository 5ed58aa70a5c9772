//! Scenario 7: everybody likes one video while thousands watch its counters.
//!
//! The storm runs twice a round, alone and watched. It goes in passes, all like and then all take it back, and a pass
//! begins when the one before is answered: so the count only rises or only falls within a pass, and the value of a frame
//! says which changes it includes. A frame that could be of two moments is taken for the later one, which only a
//! staleness longer than a pass would profit from. In the end every watcher's last frame must be the exact count.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::future::LocalBoxFuture;
use tokio::sync::{Barrier, watch};

use super::like_storm::{Fan, fans};
use crate::ceilings::Ceiling;
use crate::contract::read_status;
use crate::crew::{Crew, Seat};
use crate::failure::Failure;
use crate::http::{Answer, Connection, Target};
use crate::scenario::{Check, Figure, Goal, Measure, Phase, Prepared, Scenario, Stage, Unit};
use crate::socket::{Session, assert_socket};
use crate::stats::Window;
use crate::survey::walk;
use crate::units::{float, ratio};

/// Watchers whose every frame is compared with what was acknowledged; the others see the same frames.
const OBSERVERS: usize = 4;
/// Frames of a room in a second, at most (docs/protocol.md).
const FRAMES: f64 = 4.0;
const LIKE: usize = 0;
const STALE: usize = 1;

/// The scenario.
pub struct LiveCounters;

impl Scenario for LiveCounters {
    fn name(&self) -> &'static str {
        "live-counters"
    }

    fn about(&self) -> &'static str {
        "all users like one video, alone and beside thousands who watch its counters; the last frame is exact"
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure {
                lane: "like",
                unit: None,
                ceiling: Some(Ceiling::BarePost),
                goal: None,
            },
            Figure {
                lane: "like to counters frame",
                unit: None,
                ceiling: None,
                goal: Some(Goal::P99AtMost(250_000.0)),
            },
        ]
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>> {
        Box::pin(async {
            let settings = stage.settings;
            assert_socket(stage.peer.target()).await?;
            let watchers = settings.connections.unwrap_or(settings.by_world(16, 500, 5_000));
            let users = settings.users.unwrap_or(settings.by_world(24, 2_000, 20_000));
            let likers = settings.by_world(8, 64, 256).min(users);
            ensure!(
                watchers > 0 && likers > 0,
                "live-counters needs a user and a connection"
            );
            let mut pages = walk(stage.peer.target(), 1).await?;
            ensure!(
                !pages.is_empty(),
                "the target has no videos: publish some, or let the bench start it with a world"
            );
            let page = Arc::new(pages.remove(0));
            let (video, count) = page.videos.first().copied().context("an empty page")?;
            let accounts = stage.peer.accounts(users, stage.display).await?;
            let mut crowds: Vec<Vec<Fan>> = (0..likers).map(|_| Vec::new()).collect();
            for (number, fan) in fans(stage.peer.target(), &page, &accounts)
                .await?
                .into_iter()
                .enumerate()
            {
                crowds[number % likers].push(fan);
            }
            Ok(Box::new(Show {
                video,
                count,
                crowds,
                watchers,
                unknown: 0,
                wrong: Vec::new(),
                watched: 0,
            }) as Box<dyn Prepared>)
        })
    }
}

struct Show {
    video: i64,
    /// What was acknowledged so far, with what there was before.
    count: i64,
    crowds: Vec<Vec<Fan>>,
    watchers: usize,
    /// Likes that were never answered.
    unknown: i64,
    wrong: Vec<String>,
    /// Last frames that were right.
    watched: usize,
}

/// What the two sides of a phase share.
struct Scene {
    video: i64,
    target: Target,
    /// When each change was acknowledged, and the count that it led to.
    path: Mutex<Vec<(Instant, i64)>>,
    pass: Barrier,
    likers: usize,
    running: AtomicUsize,
    unknown: AtomicI64,
    settled: watch::Sender<bool>,
}

enum Role {
    Liker(Vec<Fan>),
    Watcher { observes: bool },
}

/// What they leave.
enum Left {
    Liker(Vec<Fan>),
    Watcher { last: Option<i64>, frames: u64 },
}

impl Prepared for Show {
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>> {
        Box::pin(async {
            let (alone, _) = self.phase(stage, "alone", &["like"], 0).await?;
            let lanes = &["like", "like to counters frame"];
            let (mut watched, frames) = self.phase(stage, "watched", lanes, self.watchers).await?;
            let likes = |phase: &Phase| {
                phase
                    .lanes
                    .first()
                    .map_or(0.0, |lane| float(lane.operations) / phase.seconds)
            };
            let rate = ratio(float(frames), watched.seconds);
            watched.measures = vec![
                Measure {
                    name: "the storm beside watchers",
                    unit: Unit::Share,
                    value: ratio(likes(&watched), likes(&alone)),
                    ceiling: None,
                    goal: Some(Goal::AtLeast(0.85)),
                    more_is_better: true,
                },
                Measure {
                    name: "frames a room, at most",
                    unit: Unit::PerSecond,
                    value: rate,
                    ceiling: None,
                    goal: None,
                    more_is_better: false,
                },
            ];
            // One frame more than the rate: the window may begin just before one; another for its way here.
            if float(frames) > FRAMES * watched.seconds + 2.0 {
                self.wrong.push(format!("{frames} frames in {} s", watched.seconds));
            }
            Ok(vec![alone, watched])
        })
    }

    fn connections(&self) -> usize {
        self.crowds.len()
    }

    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>> {
        Box::pin(async {
            let pages = walk(stage.peer.target(), 1).await?;
            let shown = pages
                .first()
                .and_then(|page| page.videos.iter().find(|(id, _)| *id == self.video));
            let shown = shown.map(|(_, count)| *count);
            let is_right = shown.is_some_and(|shown| (shown - self.count).abs() <= self.unknown);
            let frames = if self.wrong.is_empty() {
                format!("{} watchers, each with the exact count last", self.watched)
            } else {
                self.wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
            };
            let count = format!("{shown:?}, acknowledged {}, {} unanswered", self.count, self.unknown);
            Ok(vec![
                Check::new("the last frame is exact", self.wrong.is_empty(), frames),
                Check::new("the count is exact", is_right, count),
            ])
        })
    }

    fn writes(&self) -> bool {
        true
    }
}

impl Show {
    /// A storm with so many watchers. Gives back the most frames that one of them got within the window.
    async fn phase(
        &mut self,
        stage: &Stage<'_>,
        name: &'static str,
        lanes: &'static [&'static str],
        watchers: usize,
    ) -> anyhow::Result<(Phase, u64)> {
        let crowds = std::mem::take(&mut self.crowds);
        let scene = Arc::new(Scene {
            video: self.video,
            target: stage.peer.target().clone(),
            path: Mutex::new(vec![(Instant::now(), self.count)]),
            pass: Barrier::new(crowds.len()),
            likers: crowds.len(),
            running: AtomicUsize::new(crowds.len()),
            unknown: AtomicI64::new(0),
            settled: watch::Sender::new(false),
        });
        let mut roles: Vec<_> = crowds.into_iter().map(Role::Liker).collect();
        roles.extend((0..watchers).map(|number| Role::Watcher {
            observes: number < OBSERVERS,
        }));
        let crew = Crew {
            stage,
            name,
            lanes,
            rate: None,
        };
        let shared = Arc::clone(&scene);
        let life = move |role: Role, seat: Seat| {
            let scene = Arc::clone(&shared);
            async move {
                match role {
                    Role::Liker(fans) => Left::Liker(like(&scene, fans, &seat).await),
                    Role::Watcher { observes } => look(&scene, observes, &seat).await,
                }
            }
        };
        let (phase, left) = crew.live(roles, life).await?;
        self.count = scene.count();
        self.unknown += scene.unknown.load(Ordering::Relaxed);
        let mut most = 0;
        for left in left {
            match left {
                Left::Liker(fans) => self.crowds.push(fans),
                Left::Watcher { last, frames } => {
                    most = most.max(frames);
                    if last.is_some_and(|last| (last - self.count).abs() <= self.unknown) {
                        self.watched += 1;
                    } else {
                        self.wrong
                            .push(format!("the last frame said {last:?}, and the count is {}", self.count));
                    }
                }
            }
        }
        Ok((phase, most))
    }
}

impl Scene {
    fn path(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, i64)>> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is acknowledged by now.
    fn count(&self) -> i64 {
        self.path().last().map_or(0, |(_, count)| *count)
    }

    fn acknowledge(&self, at: Instant, delta: i64) {
        let mut path = self.path();
        let count = path.last().map_or(0, |(_, count)| *count);
        path.push((at, count + delta));
    }

    /// The last moment up to `at` at which the count was the one of a frame; of what came after `included`. A value that is
    /// as many changes ahead as can be under way includes everything; `None` for one that is not known.
    fn place(&self, value: i64, at: Instant, included: usize) -> Option<usize> {
        let path = self.path();
        let before = path.partition_point(|(acknowledged, _)| *acknowledged <= at);
        let known = path.get(included..before)?;
        if let Some(place) = known.iter().rposition(|(_, count)| *count == value) {
            return Some(included + place);
        }
        let ahead = i64::try_from(self.likers).unwrap_or(i64::MAX);
        let (_, last) = known.last()?;
        ((value - last).abs() <= ahead).then_some(before - 1)
    }

    fn leave(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.send_replace(true);
        }
    }
}

/// One connection's users, pass after pass. Gives them back.
async fn like(scene: &Scene, mut fans: Vec<Fan>, seat: &Seat) -> Vec<Fan> {
    let window = seat.ready().await;
    let mut asked = None;
    let liking = passes(scene, &mut fans, seat, &window, &mut asked);
    let _ = tokio::time::timeout_at(window.cutoff().into(), liking).await;
    if let Some((at, begun)) = asked {
        // Sent and never answered: nobody knows, and it is left alone from now on.
        let fan: &mut Fan = &mut fans[at];
        fan.unknown |= 1;
        scene.unknown.fetch_add(1, Ordering::Relaxed);
        seat.unanswered(LIKE, begun);
    }
    scene.leave();
    fans
}

async fn passes(scene: &Scene, fans: &mut [Fan], seat: &Seat, window: &Window, asked: &mut Option<(usize, Instant)>) {
    let mut connection = Connection::new(scene.target.clone());
    for wish in [true, false].into_iter().cycle() {
        for (at, fan) in fans.iter_mut().enumerate() {
            if Instant::now() >= window.end {
                return;
            }
            if fan.unknown & 1 == 1 || (fan.likes & 1 == 1) == wish {
                continue;
            }
            let (begun, action) = (Instant::now(), if wish { 1 } else { 2 });
            let path = format!(
                "/douyin/favorite/action/?token={}&video_id={}&action_type={action}",
                fan.account.token, scene.video
            );
            *asked = Some((at, begun));
            let answer = connection.post(&path, "").await;
            match answer.and_then(Answer::ok).and_then(read_status) {
                Ok(()) => {
                    let done = connection.take_answered_at().unwrap_or_else(Instant::now);
                    *asked = None;
                    scene.acknowledge(done, if wish { 1 } else { -1 });
                    fan.likes ^= 1;
                    seat.success(LIKE, done, begun, done);
                }
                Err(failure) => {
                    seat.failure(LIKE, &failure);
                    return;
                }
            }
        }
        tokio::select! {
            _ = scene.pass.wait() => {}
            () = tokio::time::sleep_until(window.end.into()) => return,
        }
    }
}

/// A guest who watches.
async fn look(scene: &Scene, observes: bool, seat: &Seat) -> Left {
    let (mut last, mut frames) = (None, 0);
    if let Err(failure) = watch_video(scene, observes, seat, &mut last, &mut frames).await {
        seat.failure(STALE, &failure);
    }
    Left::Watcher { last, frames }
}

async fn watch_video(
    scene: &Scene,
    observes: bool,
    seat: &Seat,
    last: &mut Option<i64>,
    frames: &mut u64,
) -> Result<(), Failure> {
    let request = format!(
        "{{\"t\":\"video.watch\",\"id\":\"1\",\"d\":{{\"video_id\":{}}}}}",
        scene.video
    );
    let opening = async {
        let mut session = Session::open(&scene.target, None, None).await?;
        let joined = session.ask(&request, 1, |_| Ok(())).await?;
        Ok::<_, Failure>((session, joined))
    };
    let (mut session, joined) = seat.enter(opening).await?;
    *last = joined.d.favorite_count;
    let window = seat.ready().await;
    let (mut settled, mut included) = (scene.settled.subscribe(), 0);
    let mut is_settled = false;
    let cutoff = tokio::time::sleep_until(window.cutoff().into());
    tokio::pin!(cutoff);
    while !(is_settled && *last == Some(scene.count())) {
        tokio::select! {
            event = session.next() => {
                let (event, at) = event?;
                if event.t != "video.counters" || event.d.video_id != Some(scene.video) {
                    continue;
                }
                let Some(value) = event.d.favorite_count else {
                    return Err(Failure::Untrue("a counters frame without a count".to_owned()));
                };
                *last = Some(value);
                *frames += u64::from((window.start..window.end).contains(&at));
                if observes {
                    included = note(scene, value, at, included, seat);
                }
            }
            _ = settled.wait_for(|settled| *settled), if !is_settled => is_settled = true,
            () = &mut cutoff => return Ok(()),
        }
    }
    Ok(())
}

/// Every change that this frame is the first to include. Gives back the last of them.
fn note(scene: &Scene, value: i64, at: Instant, included: usize, seat: &Seat) -> usize {
    let Some(place) = scene.place(value, at, included) else {
        return included;
    };
    let fresh: Vec<_> = scene.path().get(included + 1..=place).unwrap_or_default().to_vec();
    for (acknowledged, _) in fresh {
        seat.success(STALE, acknowledged, acknowledged, at);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_frame_is_placed_on_the_path_of_the_count() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let scene = Scene {
            video: 1,
            target: Target::local(([127, 0, 0, 1], 1).into()),
            // Up to 103 and down again.
            path: Mutex::new(
                [100, 101, 102, 103, 102, 101]
                    .into_iter()
                    .zip(0..)
                    .map(|(count, ms)| (at(ms), count))
                    .collect(),
            ),
            pass: Barrier::new(1),
            likers: 1,
            running: AtomicUsize::new(1),
            unknown: AtomicI64::new(0),
            settled: watch::Sender::new(false),
        };
        assert_eq!(scene.place(102, at(3), 0), Some(2));
        assert_eq!(scene.place(102, at(9), 0), Some(4), "of two moments the later one");
        assert_eq!(scene.place(103, at(2), 0), Some(2), "one that is under way");
        assert_eq!(scene.place(90, at(9), 0), None);
        assert_eq!(
            scene.place(100, at(9), 3),
            Some(5),
            "it was included before: one that is under way"
        );
        assert_eq!(scene.count(), 101);
    }
}
