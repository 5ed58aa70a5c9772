use super::*;
use crate::hub::NewVideo;

fn video(id: i64) -> NewVideo {
    NewVideo {
        id: VideoId(id),
        author: UserId(1),
        title: "t".into(),
        publish_time: 5,
    }
}

fn newer(newer: u64) -> String {
    format!(r#"{{"t":"feed.new","d":{{"newer":{newer}}}}}"#)
}

fn published(id: i64) -> String {
    let video = format!(r#"{{"id":{id},"author_id":1,"title":"t","publish_time":5}}"#);
    format!(r#"{{"t":"feed.new","d":{{"video":{video}}}}}"#)
}

#[test]
fn followers_hear_of_the_video_and_everybody_of_the_number() {
    run(async {
        let world = World::new();
        world.store.set(|state| {
            state.follows.insert((UserId(2), UserId(1)));
        });
        let (follower, second, stranger) = (outbox(), outbox(), outbox());
        let watch = world.hub.watch_feed(UserId(2), Arc::clone(&follower), 0);
        let _second = world.hub.watch_feed(UserId(2), Arc::clone(&second), 4);
        world.hub.published(video(9));
        let _stranger = world.hub.watch_feed(UserId(3), Arc::clone(&stranger), 0);
        settle().await;
        let mut all = heard(&follower);
        all.sort();
        assert_eq!(all, [newer(1), published(9)]);
        assert_eq!(heard_of(&second, "feed.new").len(), 2);
        assert!(heard(&stranger).is_empty(), "its number was taken after the publish");
        for id in 10..20 {
            world.hub.published(video(id));
        }
        settle().await;
        assert_eq!(heard(&follower), (10..20).map(published).collect::<Vec<_>>());
        pass(1_000).await;
        assert_eq!((heard(&follower), heard(&stranger)), (vec![newer(11)], vec![newer(10)]));
        assert_eq!(heard(&second).last(), Some(&newer(15)));
        pass(10_000).await;
        assert!(heard(&follower).is_empty());
        drop(watch);
        world.hub.published(video(20));
        settle().await;
        assert!(heard(&follower).is_empty());
    });
}

/// An outbox that drops nothing of a flood nobody takes anything of.
fn roomy() -> Arc<Outbox> {
    let limits = OutboxLimits {
        frames: 1_024,
        bytes: 1_048_576,
    };
    Arc::new(Outbox::new(limits))
}

#[test]
fn a_flood_counts_and_asks_in_pieces() {
    run(async {
        let world = World::new();
        let all: Vec<_> = (0..2_500).map(|user| (UserId(user), roomy())).collect();
        let watches: Vec<_> = all
            .iter()
            .map(|(user, outbox)| world.hub.watch_feed(*user, Arc::clone(outbox), 0))
            .collect();
        world
            .store
            .set(|state| state.follows.extend(all.iter().map(|(user, _)| (*user, UserId(1)))));
        settle().await;
        world.hub.published(video(1));
        settle().await;
        assert_eq!(world.store.get(|state| state.questions.clone()), [1_000, 1_000, 500]);
        for (_, outbox) in &all {
            assert_eq!(heard(outbox).len(), 2, "the video and the number");
        }
        for id in 2..=5_000 {
            world.hub.published(video(id));
        }
        pass(2_000).await;
        let questions = world.store.get(|state| state.questions.len());
        assert!(questions <= 3 * 600, "{questions}");
        for (_, outbox) in &all {
            assert!(heard(outbox).contains(&newer(5_000)));
        }
        drop(watches);
        world.assert_empty();
    });
}

#[test]
fn a_store_that_is_away_is_asked_again_and_then_let_be() {
    run(async {
        let world = World::new();
        world.store.set(|state| {
            state.follows.insert((UserId(2), UserId(1)));
            state.away = true;
        });
        let follower = outbox();
        let _watch = world.hub.watch_feed(UserId(2), Arc::clone(&follower), 0);
        world.hub.published(video(1));
        pass(100).await;
        assert_eq!(heard(&follower), [newer(1)]);
        world.store.set(|state| state.away = false);
        pass(1_000).await;
        assert_eq!(heard(&follower), [published(1)]);
        world.store.set(|state| state.away = true);
        world.hub.published(video(2));
        pass(10_000).await;
        assert_eq!(world.store.get(|state| state.questions.len()), 5);
        world.store.set(|state| state.away = false);
        world.hub.published(video(3));
        pass(2_000).await;
        assert_eq!(heard(&follower), [newer(3), published(3)]);
    });
}

#[test]
fn a_second_watch_of_a_connection_counts_anew() {
    run(async {
        let world = World::new();
        let connection = outbox();
        let old = world.hub.watch_feed(UserId(2), Arc::clone(&connection), 0);
        world.hub.published(video(1));
        settle().await;
        let _new = world.hub.watch_feed(UserId(2), Arc::clone(&connection), 0);
        drop(old);
        settle().await;
        assert!(heard(&connection).is_empty(), "the old number is withdrawn");
        pass(1_000).await;
        world.hub.published(video(2));
        settle().await;
        assert_eq!(heard(&connection), [newer(1)]);
    });
}
