//! The overlay against a plain set, with readers that hold what they read at any earlier moment.

use std::collections::{BTreeMap, BTreeSet};

use ovation_schema::{UserId, VideoId};
use proptest::prelude::*;

use super::*;

const USERS: i64 = 4;
const VIDEOS: i64 = 3;

/// The video's author is a user too.
fn author(video: i64) -> i64 {
    video
}

/// Rows as the store has them at one mark.
#[derive(Debug, Clone, Default)]
struct Rows {
    mark: i64,
    pairs: BTreeSet<(i64, i64)>,
}

impl Rows {
    fn video_count(&self, video: i64) -> i64 {
        self.pairs.iter().filter(|(_, v)| *v == video).count() as i64
    }
    fn given(&self, user: i64) -> i64 {
        self.pairs.iter().filter(|(u, _)| *u == user).count() as i64
    }
    fn received(&self, user: i64) -> i64 {
        self.pairs.iter().filter(|(_, v)| author(*v) == user).count() as i64
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A group of changes: user, video.
    Group(Vec<(i64, i64)>),
    /// The store takes so many entries.
    Flush(usize),
    /// Forget so many of those that are flushed.
    Forget(usize),
    /// The store goes back to the rows a reader saw.
    GoBack(usize),
    /// A reader reads.
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((1..=USERS, 1..=VIDEOS), 1..6).prop_map(Step::Group),
        3 => (1_usize..8).prop_map(Step::Flush),
        2 => (1_usize..8).prop_map(Step::Forget),
        1 => (0_usize..8).prop_map(Step::GoBack),
        3 => Just(Step::Read),
    ]
}

struct World {
    overlay: Overlay,
    ledger: Vec<Entry>,
    truth: BTreeSet<(i64, i64)>,
    rows: Rows,
    readers: Vec<Rows>,
    floor: i64,
}

impl World {
    fn run(&mut self, step: Step) {
        match step {
            Step::Group(pairs) => self.group(&pairs),
            Step::Flush(count) => {
                let entries = self.overlay.entries_after(self.rows.mark, count);
                for Entry { position, like } in entries {
                    let pair = (like.user.0, like.video.0);
                    if like.on {
                        self.rows.pairs.insert(pair);
                    } else {
                        self.rows.pairs.remove(&pair);
                    }
                    self.rows.mark = position;
                }
            }
            Step::Forget(count) => {
                let position = (self.overlay.floor() + count as i64).min(self.rows.mark);
                self.overlay.forget_through(position);
                self.floor = self.floor.max(position);
            }
            Step::GoBack(reader) => {
                let Some(rows) = self.readers.get(reader).cloned() else {
                    return;
                };
                let floor = self.overlay.floor();
                let lost: Vec<Entry> = self
                    .ledger
                    .iter()
                    .copied()
                    .filter(|entry| entry.position > rows.mark && entry.position <= floor)
                    .collect();
                self.overlay.prepend(rows.mark, &lost);
                self.floor = self.floor.min(rows.mark);
                self.readers.retain(|reader| reader.mark <= rows.mark);
                self.rows = rows;
            }
            Step::Read => self.readers.push(self.rows.clone()),
        }
    }

    fn group(&mut self, pairs: &[(i64, i64)]) {
        let mut entries = Vec::new();
        for &(user, video) in pairs {
            let was = self.truth.contains(&(user, video));
            if was {
                self.truth.remove(&(user, video));
            } else {
                self.truth.insert((user, video));
            }
            let position = self.ledger.len() as i64 + 1;
            let like = Like {
                user: UserId(user),
                video: VideoId(video),
                author: UserId(author(video)),
                on: !was,
                was: Some(was),
                at_ms: position,
            };
            self.ledger.push(Entry { position, like });
            entries.push(Entry { position, like });
        }
        self.overlay.apply(&entries);
    }

    fn check(&self) {
        let truth = Rows {
            mark: 0,
            pairs: self.truth.clone(),
        };
        let view = self.overlay.view();
        for rows in self.readers.iter().chain([&self.rows]) {
            let fresh = rows.mark >= self.floor;
            assert_eq!(view.check(rows.mark).is_ok(), fresh);
            for video in 1..=VIDEOS {
                let count = view.video_count(VideoId(video), rows.video_count(video), rows.mark);
                assert_eq!(
                    count,
                    if fresh {
                        Ok(truth.video_count(video))
                    } else {
                        Err(Stale)
                    }
                );
            }
            for user in 1..=USERS {
                let counts = view.user_counts(UserId(user), rows.given(user), rows.received(user), rows.mark);
                let expected = (truth.given(user), truth.received(user));
                assert_eq!(counts, if fresh { Ok(expected) } else { Err(Stale) });
                for video in (1..=VIDEOS).filter(|_| fresh) {
                    let row = rows.pairs.contains(&(user, video));
                    let on = view.pair(UserId(user), VideoId(video)).unwrap_or(row);
                    assert_eq!(on, self.truth.contains(&(user, video)), "user {user} video {video}");
                }
            }
        }
        drop(view);
        self.check_lists();
    }

    fn check_lists(&self) {
        for user in 1..=USERS {
            let mut latest = BTreeMap::new();
            for entry in self.ledger.iter().filter(|entry| entry.position > self.floor) {
                if entry.like.user.0 == user {
                    latest.insert(entry.like.video, (entry.position, entry.like.on));
                }
            }
            let mut expected: Vec<_> = latest.into_iter().collect();
            expected.sort_by_key(|(_, (position, _))| std::cmp::Reverse(*position));
            let expected: Vec<_> = expected.into_iter().map(|(video, (at, on))| (video, on, at)).collect();
            assert_eq!(self.overlay.view().likes_of(UserId(user)), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_of_any_moment_sees_the_truth_or_reads_again(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World {
            overlay: Overlay::starting_at(0),
            ledger: Vec::new(),
            truth: BTreeSet::new(),
            rows: Rows::default(),
            readers: Vec::new(),
            floor: 0,
        };
        for step in steps {
            world.run(step);
            world.check();
        }
        // What is flushed and forgotten leaves nothing behind.
        world.run(Step::Flush(usize::MAX));
        world.overlay.forget_through(world.rows.mark);
        let state = world.overlay.read();
        assert!(state.log.is_empty() && state.pairs.is_empty() && state.videos.is_empty() && state.users.is_empty());
    }
}

fn entry(position: i64, user: i64, on: bool, was: Option<bool>) -> Entry {
    let like = Like {
        user: UserId(user),
        video: VideoId(9),
        author: UserId(1),
        on,
        was,
        at_ms: 0,
    };
    Entry { position, like }
}

#[test]
fn a_wish_is_a_guess_before_its_flush_and_exact_from_its_mark_on() {
    let overlay = Overlay::starting_at(0);
    // The row says "liked" already, which nobody could look up; then it is unliked.
    overlay.apply(&[entry(1, 5, true, None), entry(2, 5, false, Some(true))]);
    let view = overlay.view();
    assert_eq!(
        view.video_count(VideoId(9), 1, 1),
        Ok(0),
        "with the rows of the wish's flush"
    );
    assert_eq!(view.video_count(VideoId(9), 0, 2), Ok(0), "with the rows after both");
    assert_eq!(
        view.video_count(VideoId(9), 1, 0),
        Ok(1),
        "a guess: the wish counted as a change"
    );
}

#[test]
fn a_count_is_never_below_zero() {
    let overlay = Overlay::starting_at(0);
    overlay.apply(&[entry(1, 5, false, None)]);
    assert_eq!(overlay.view().video_count(VideoId(9), 0, 0), Ok(0));
    assert_eq!(overlay.view().user_counts(UserId(1), 0, 0, 0), Ok((0, 0)));
}

/// Run it with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_million_entries_load_within_a_second_or_so() {
    let entries: Vec<Entry> = (1..=1_000_000_i64)
        .map(|position| Entry {
            position,
            like: Like {
                user: UserId(position * 7_919 % 300_000),
                video: VideoId(position * 104_729 % 50_000),
                author: UserId(position * 104_729 % 50_000 % 9_000),
                on: true,
                was: Some(false),
                at_ms: 0,
            },
        })
        .collect();
    let overlay = Overlay::starting_at(0);
    let began = std::time::Instant::now();
    for entries in entries.chunks(10_000) {
        overlay.apply(entries);
    }
    println!("apply {:?}", began.elapsed());
    let began = std::time::Instant::now();
    let mut longest = std::time::Duration::ZERO;
    for position in (2_000..=1_000_000).step_by(2_000) {
        let one = std::time::Instant::now();
        overlay.forget_through(position);
        longest = longest.max(one.elapsed());
    }
    println!("forget {:?}, longest batch {longest:?}", began.elapsed());
}
