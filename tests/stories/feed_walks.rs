//! The feed under random use: whatever is published and however one scrolls, a walk sees each older video once.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::clip::CLIP;
use crate::harness::{Kind, World, on_both_stores};

on_both_stores!(any_walk_sees_everything_older_exactly_once);

/// What happens between two pages of a walk.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    AskAgain,
    Publish(usize),
    AskInSeconds,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        Just(Between::Nothing),
        Just(Between::AskAgain),
        (1..4_usize).prop_map(Between::Publish),
        Just(Between::AskInSeconds),
    ]
}

fn any_walk_sees_everything_older_exactly_once(kind: Kind) {
    let world = World::new(kind);
    let authors = [world.register("ann"), world.register("ben")];
    let plan = (1..35_usize, prop::collection::vec((any::<bool>(), between()), 1..6));
    let config = Config {
        cases: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    // What was published, newest first, kept beside the server's own idea of it. A mutex since proptest wants `Fn`.
    let published = std::sync::Mutex::new(Vec::new());
    let publish = |author: usize| {
        let author = &authors[author];
        author.uploads("walk", CLIP).done();
        let newest = author.works_of(author.id)[0].id;
        published.lock().unwrap().insert(0, newest);
    };
    runner
        .run(&plan, |(uploads, steps)| {
            for number in 0..uploads {
                publish(number % 2);
            }
            let expected = published.lock().unwrap().clone();
            let guest = world.guest();
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            for turn in 0.. {
                let page = guest.page(&cursor);
                if page.videos.is_empty() {
                    break;
                }
                seen.extend(page.videos.iter().map(|video| video.id));
                prop_assert!(seen.len() <= expected.len(), "a scroll has an end");
                let (as_ben, step) = steps[turn % steps.len()];
                match step {
                    Between::Nothing => {}
                    Between::AskAgain => prop_assert_eq!(&page, &guest.page(&cursor)),
                    Between::Publish(count) => (0..count).for_each(|_| publish(usize::from(as_ben))),
                    Between::AskInSeconds => {
                        let coarse = guest.page(&(page.next_time / 1000));
                        let older = &expected[seen.len()..];
                        let all_older = coarse.videos.iter().all(|video| older.contains(&video.id));
                        prop_assert!(all_older, "a bound in seconds never gives anything newer");
                    }
                }
                cursor = page.next_time.to_string();
            }
            prop_assert_eq!(seen, expected);
            Ok(())
        })
        .unwrap();
}
