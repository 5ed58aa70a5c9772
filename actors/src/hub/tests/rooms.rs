use std::collections::VecDeque;

use tokio::time::Instant;

use super::*;
use crate::close::CloseCode;
use crate::hub::{Counts, NewComment, RoomError};

const VIDEO: VideoId = VideoId(7);

fn world() -> World {
    let world = World::new();
    world.store.set(|state| {
        state.videos.insert(VIDEO, (10, 2));
    });
    world
}

fn counters(favorites: i64, comments: i64) -> String {
    let d = format!(r#"{{"video_id":7,"favorite_count":{favorites},"comment_count":{comments}}}"#);
    format!(r#"{{"t":"video.counters","d":{d}}}"#)
}

fn viewers(viewers: usize) -> String {
    format!(r#"{{"t":"video.viewers","d":{{"video_id":7,"viewers":{viewers}}}}}"#)
}

fn comment(id: i64) -> NewComment {
    NewComment {
        id,
        user: UserId(3),
        user_name: "ann".into(),
        content: "hi \"there\"".into(),
        created_at: 5,
    }
}

#[test]
fn an_unknown_video_leaves_nothing_behind() {
    run(async {
        let world = world();
        let unknown = world.hub.watch_video(VideoId(8), outbox()).await;
        assert_eq!(unknown.err(), Some(RoomError::UnknownVideo));
        world.store.set(|state| state.away = true);
        let away = world.hub.watch_video(VIDEO, outbox()).await;
        assert_eq!(away.err(), Some(RoomError::Unavailable));
        world.store.set(|state| state.silent = true);
        let waiting = world.hub.watch_video(VIDEO, outbox());
        assert!(tokio::time::timeout(Duration::from_secs(5), waiting).await.is_err());
        world.assert_empty();
    });
}

#[test]
fn a_storm_of_likes_is_four_frames_a_second_and_the_last_value() {
    run(async {
        let mut world = world();
        world.like(7);
        let watching = outbox();
        let (seat, counts) = world.hub.watch_video(VIDEO, Arc::clone(&watching)).await.unwrap();
        let expected = Counts {
            favorite_count: 11,
            comment_count: 2,
            viewers: 1,
        };
        assert_eq!(counts, expected, "the row and the overlay");
        let mut times: VecDeque<Instant> = VecDeque::new();
        let mut last = Vec::new();
        for step in 0..3_000 {
            if step < 2_500 {
                world.like(7);
            }
            pass(1).await;
            let heard = heard(&watching);
            if !heard.is_empty() {
                assert_eq!(heard.len(), 1);
                times.push_back(Instant::now());
                last = heard;
            }
        }
        assert_eq!(last, [counters(2_511, 2)]);
        assert!(times.len() >= 9, "{}", times.len());
        for five in times.make_contiguous().windows(5) {
            assert!(five[4] - five[0] > Duration::from_secs(1));
        }
        pass(60_000).await;
        assert!(heard(&watching).is_empty(), "nothing changed, nothing said");
        assert_eq!(world.store.get(|state| state.reads), 1, "likes need no store");
        drop(seat);
        world.like(7);
        pass(1_000).await;
        assert!(heard(&watching).is_empty());
        world.assert_empty();
    });
}

#[test]
fn a_flush_in_between_changes_nothing() {
    run(async {
        let mut world = world();
        let watching = outbox();
        let _seat = world.hub.watch_video(VIDEO, Arc::clone(&watching)).await.unwrap();
        for _ in 0..5 {
            world.like(7);
        }
        pass(1_000).await;
        assert_eq!(heard(&watching).last(), Some(&counters(15, 2)));
        // Flushed, and after a while forgotten by the overlay: the row of the room is too old.
        world.store.set(|state| {
            state.videos.insert(VIDEO, (15, 2));
            state.mark = 5;
        });
        world.overlay.forget_through(5);
        world.like(7);
        pass(1_000).await;
        assert_eq!(heard(&watching), [counters(16, 2)]);
        assert_eq!(world.store.get(|state| state.reads), 2);
        // The same while the store is away: the room says nothing wrong, and catches up.
        world.store.set(|state| {
            state.videos.insert(VIDEO, (16, 2));
            state.mark = 6;
            state.away = true;
        });
        world.overlay.forget_through(6);
        world.like(7);
        pass(60_000).await;
        assert!(heard(&watching).is_empty());
        let reads = world.store.get(|state| state.reads);
        assert!((5..15).contains(&reads), "with patience: {reads}");
        let refused = world.hub.watch_video(VIDEO, outbox()).await;
        assert_eq!(refused.err(), Some(RoomError::Unavailable));
        world.store.set(|state| state.away = false);
        pass(11_000).await;
        assert_eq!(heard_of(&watching, "video.counters"), [counters(17, 2)]);
        assert_eq!(watching.take(1).close, None);
    });
}

#[test]
fn comments_are_told_at_once_and_counted() {
    run(async {
        let world = world();
        let watching = outbox();
        let _seat = world.hub.watch_video(VIDEO, Arc::clone(&watching)).await.unwrap();
        pass(1_000).await;
        world.store.set(|state| {
            state.videos.insert(VIDEO, (10, 3));
        });
        world.hub.commented(VIDEO, Some(comment(9)));
        settle().await;
        let d = r#"{"video_id":7,"comment":{"id":9,"user_id":3,"user_name":"ann","content":"hi \"there\"","created_at":5}}"#;
        assert_eq!(
            heard(&watching),
            [format!(r#"{{"t":"video.comment","d":{d}}}"#), counters(10, 3)]
        );
        pass(1_000).await;
        world.store.set(|state| {
            state.videos.insert(VIDEO, (10, 2));
        });
        world.hub.commented(VIDEO, None);
        settle().await;
        assert_eq!(heard(&watching), [counters(10, 2)], "one was deleted");
        // A storm: few are told, all are counted, and the store is asked twice a second.
        let reads = world.store.get(|state| state.reads);
        let mut told = Vec::new();
        for number in 0..2_000 {
            world.store.set(|state| {
                state.videos.insert(VIDEO, (10, 3 + number));
            });
            world.hub.commented(VIDEO, Some(comment(number)));
            if number % 10 == 9 {
                pass(10).await;
                told.extend(heard(&watching));
            }
        }
        let comments = told
            .iter()
            .filter(|text| text.starts_with(r#"{"t":"video.comment""#))
            .count();
        assert!((20..=60).contains(&comments), "{comments}");
        pass(1_000).await;
        told.extend(heard(&watching));
        assert_eq!(told.last(), Some(&counters(10, 2_002)));
        let reads = world.store.get(|state| state.reads) - reads;
        assert!(reads <= 8, "{reads}");
    });
}

#[test]
fn viewers_are_told_once_a_second_and_in_the_end() {
    run(async {
        let world = world();
        let first = outbox();
        let _first = world.hub.watch_video(VIDEO, Arc::clone(&first)).await.unwrap();
        pass(1_000).await;
        assert!(heard(&first).is_empty(), "the answer has told it");
        let mut seats = Vec::new();
        let mut frames = Vec::new();
        for number in 2..=52 {
            let (seat, counts) = world.hub.watch_video(VIDEO, outbox()).await.unwrap();
            assert_eq!(counts.viewers, number);
            seats.push(seat);
            pass(20).await;
            frames.extend(heard(&first));
        }
        assert_eq!(frames[0], viewers(2));
        assert!(frames.len() <= 3, "{frames:?}");
        seats.truncate(3);
        pass(2_000).await;
        assert_eq!(heard(&first), [viewers(4)]);
        assert_eq!(world.hub.status().rooms, 1);
    });
}

#[test]
fn a_connection_that_watches_again_goes_on_hearing() {
    run(async {
        let mut world = world();
        let watching = outbox();
        let (old, _) = world.hub.watch_video(VIDEO, Arc::clone(&watching)).await.unwrap();
        let _new = world.hub.watch_video(VIDEO, Arc::clone(&watching)).await.unwrap();
        world.like(7);
        settle().await;
        drop(old);
        settle().await;
        assert_eq!(
            heard_of(&watching, "video.counters"),
            [counters(11, 2)],
            "not taken away with the old seat"
        );
    });
}

#[test]
fn everybody_in_a_big_room_ends_with_the_same_counts() {
    run(async {
        let mut world = world();
        let mut seats = Vec::new();
        let mut latest = Vec::new();
        for number in 0..3_000 {
            let outbox = outbox();
            let (seat, counts) = world.hub.watch_video(VIDEO, Arc::clone(&outbox)).await.unwrap();
            latest.push((outbox, counters(counts.favorite_count, counts.comment_count)));
            seats.push(seat);
            if number % 7 == 0 {
                world.like(7);
            }
            if number % 50 == 0 {
                pass(number % 90).await;
            }
        }
        pass(2_000).await;
        for (outbox, known) in &latest {
            let heard = heard_of(outbox, "video.counters");
            assert_eq!(heard.last().unwrap_or(known), &counters(439, 2));
        }
    });
}

#[test]
fn whoever_loses_a_room_comes_back() {
    let (world, outbox) = (world(), outbox());
    let seat = run(async { world.hub.watch_video(VIDEO, Arc::clone(&outbox)).await.unwrap() });
    assert_eq!(outbox.take(1).close, Some(CloseCode::Restart.into()));
    drop(seat);
    world.assert_empty();
}
