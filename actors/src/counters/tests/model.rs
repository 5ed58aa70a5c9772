//! Everything against a plain set: likes, flush failures, lost answers, crashes, a store that forgets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fakes::{Fault, Rows};
use super::storm::futures;
use super::*;

const USERS: i64 = 5;
const VIDEOS: i64 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Likes and unlikes that wait together.
    Group(Vec<(i64, i64, bool)>),
    /// So many milliseconds.
    Time(u64),
    /// The next flush fails so.
    Fault(Fault),
    FlushNow,
    /// Everything in memory is gone.
    Crash,
    /// The actor stops.
    Stop,
    /// A reader reads and keeps what it read.
    Read,
    /// The store goes back to what a reader read.
    GoBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let like = (1..=USERS, 1..=VIDEOS, any::<bool>());
    prop_oneof![
        8 => prop::collection::vec(like, 1..12).prop_map(Step::Group),
        4 => (1_u64..8_000).prop_map(Step::Time),
        1 => (30_000_u64..90_000).prop_map(Step::Time),
        2 => prop_oneof![Just(Fault::Away), Just(Fault::LostAnswer), Just(Fault::Hangs)].prop_map(Step::Fault),
        2 => Just(Step::FlushNow),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
        3 => Just(Step::Read),
        1 => (0_usize..6).prop_map(Step::GoBack),
    ]
}

struct World {
    ledger: FakeLedger,
    store: FakeStore,
    running: Option<Running>,
    truth: BTreeSet<(i64, i64)>,
    readers: Vec<Rows>,
}

impl World {
    fn running(&self) -> &Running {
        self.running.as_ref().expect("between crashes")
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Group(likes) => self.group(likes).await,
            Step::Time(ms) => {
                pass(Duration::from_millis(ms)).await;
                // Whoever reads for longer than changes are kept would be told to read again; a pair would not.
                if ms >= 8_000 {
                    self.readers.clear();
                }
            }
            Step::Fault(fault) => self.store.server().flush_fault = Some(fault),
            // A fault may be waiting for it.
            Step::FlushNow => drop(self.running().counters.flush_now().await),
            Step::Crash => {
                self.running().counters.0.fatal.silence();
                drop(self.running.take());
                self.running = Some(Running::start(&self.ledger, &self.store).await);
                self.readers.clear();
            }
            Step::Stop => {
                self.running()
                    .address
                    .send(super::super::writer::End::Stop)
                    .await
                    .unwrap();
            }
            Step::Read => self.readers.push(self.store.rows()),
            Step::GoBack(reader) => {
                if let Some(rows) = self.readers.get(reader).cloned() {
                    self.readers.retain(|reader| reader.mark <= rows.mark);
                    self.store.server().rows = rows;
                    self.running().counters.suspect_mark();
                    pass(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn group(&mut self, likes: Vec<(i64, i64, bool)>) {
        let outcomes = futures(
            likes
                .iter()
                .map(|(user, video, on)| self.running().set(*user, *video, *on)),
        )
        .await;
        for ((user, video, on), outcome) in likes.into_iter().zip(outcomes) {
            let changed = if on {
                self.truth.insert((user, video))
            } else {
                self.truth.remove(&(user, video))
            };
            let expected = if changed { Outcome::Changed } else { Outcome::Unchanged };
            assert_eq!(outcome, Ok(expected), "user {user} video {video} on {on}");
        }
    }

    fn check(&self) {
        assert_eq!(self.running().reasons(), Vec::<String>::new());
        let truth = |of: &dyn Fn(&(i64, i64)) -> bool| self.truth.iter().filter(|pair| of(pair)).count() as i64;
        let view = self.running().counters.overlay().view();
        let now = self.store.rows();
        for rows in self.readers.iter().chain([&now]) {
            if view.check(rows.mark).is_err() {
                continue;
            }
            for video in 1..=VIDEOS {
                let expected = truth(&|pair| pair.1 == video);
                let count = view.video_count(VideoId(video), rows.video_count(video), rows.mark);
                assert_eq!(count, Ok(expected), "video {video}");
                let counts = view.user_counts(UserId(100 + video), 0, rows.received(100 + video), rows.mark);
                assert_eq!(counts, Ok((0, expected)));
            }
            for user in 1..=USERS {
                let counts = view.user_counts(UserId(user), rows.given(user), 0, rows.mark);
                assert_eq!(counts, Ok((truth(&|pair| pair.0 == user), 0)), "user {user}");
                for video in 1..=VIDEOS {
                    let row = rows.pairs.contains(&(user, video));
                    let on = view.pair(UserId(user), VideoId(video)).unwrap_or(row);
                    assert_eq!(on, self.truth.contains(&(user, video)), "user {user} video {video}");
                }
            }
        }
        assert!(view.check(now.mark).is_ok(), "who reads now is never stale");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_what_is_seen_and_what_arrives(steps in prop::collection::vec(step(), 1..50)) {
        run(async {
            let (ledger, store) = (FakeLedger::default(), FakeStore::default());
            let running = Running::start(&ledger, &store).await;
            let mut world = World { ledger, store, running: Some(running), truth: BTreeSet::new(), readers: Vec::new() };
            for step in steps {
                world.run(step).await;
                world.check();
            }
            world.store.server().flush_fault = None;
            world.running().counters.flush_now().await.unwrap();
            let rows = world.store.rows();
            assert_eq!(rows.pairs, world.truth);
            // Everything again from the start: state decides.
            world.store.server().rows.mark = 0;
            world.running().counters.flush_now().await.unwrap();
            let again = world.store.rows();
            assert!(again.counts.iter().all(|(video, count)| rows.video_count(*video) == *count));
            assert_eq!((again.pairs, again.mark), (rows.pairs, rows.mark));
        });
    }
}
