use super::*;

fn is(user: i64, online: bool) -> String {
    format!(r#"{{"t":"presence","d":{{"user_id":{user},"online":{online}"#)
}

#[test]
fn friends_come_at_once_and_go_after_a_grace() {
    run(async {
        let world = World::new();
        let watching = outbox();
        let friend = world.hub.attach(UserId(2), 1, outbox()).unwrap();
        let (watch, now) = world
            .hub
            .watch_presence(UserId(1), &[UserId(2), UserId(3)], Arc::clone(&watching));
        let now: Vec<_> = now.iter().map(|presence| (presence.user_id, presence.online)).collect();
        assert_eq!(now, [(2, true), (3, false)]);
        settle().await;
        assert!(heard(&watching).is_empty());
        let _third = world.hub.attach(UserId(3), 1, outbox()).unwrap();
        settle().await;
        assert_eq!(heard(&watching), [is(3, true) + "}}"]);
        // A reload: gone and back within the grace.
        drop(friend);
        pass(2_900).await;
        let friend = world.hub.attach(UserId(2), 1, outbox()).unwrap();
        pass(10_000).await;
        assert!(heard(&watching).is_empty(), "no flicker");
        drop(friend);
        pass(2_900).await;
        assert!(heard(&watching).is_empty());
        pass(200).await;
        let told = heard(&watching);
        assert!(told[0].starts_with(&(is(2, false) + r#","last_seen":"#)), "{told:?}");
        assert_eq!(world.hub.departures().len(), 1);
        let (_, again) = world.hub.watch_presence(UserId(1), &[UserId(2)], outbox());
        assert!(again[0].last_seen.is_some(), "the store may not know yet");
        drop(watch);
        settle().await;
        let _friend = world.hub.attach(UserId(2), 1, outbox()).unwrap();
        settle().await;
        assert!(heard(&watching).is_empty());
    });
}

#[test]
fn whoever_is_no_friend_any_more_is_not_watched() {
    run(async {
        let world = World::new();
        let (one, other) = (outbox(), outbox());
        let _one = world
            .hub
            .watch_presence(UserId(1), &[UserId(2), UserId(3)], Arc::clone(&one));
        let _other = world.hub.watch_presence(UserId(2), &[UserId(1)], Arc::clone(&other));
        let before = world.hub.unfriendings();
        world.hub.unfriended(UserId(2), UserId(1));
        assert_ne!(
            world.hub.unfriendings(),
            before,
            "whoever is about to watch looks again"
        );
        let seats: Vec<_> = (1..=3)
            .map(|user| world.hub.attach(UserId(user), 1, outbox()))
            .collect();
        settle().await;
        assert_eq!(heard(&one), [is(3, true) + "}}"]);
        assert!(heard(&other).is_empty());
        drop(seats);
    });
}

#[test]
fn a_change_on_another_thread_is_never_missed() {
    run(async {
        let world = World::new();
        for _ in 0..200 {
            // It ends while the watch begins; here a session can end anywhere, as a connection's thread does it.
            let seat = world.hub.attach(UserId(2), 1, outbox()).unwrap();
            let watching = outbox();
            let leaving = std::thread::spawn(move || drop(seat));
            let (_watch, now) = world.hub.watch_presence(UserId(1), &[UserId(2)], Arc::clone(&watching));
            leaving.join().unwrap();
            pass(3_100).await;
            let online = now[0].online;
            assert_eq!(heard(&watching).len(), usize::from(online), "online at first: {online}");
        }
    });
}
