//! What is left when everybody has gone.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Attach(i64),
    WatchVideo(i64),
    WatchPresence(i64, i64),
    WatchFeed(i64),
    /// Gives one of the seats up, on another thread or here.
    Leave(usize, bool),
    Busy(i64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0i64..5).prop_map(Step::Attach),
        (0i64..5).prop_map(Step::WatchVideo),
        (0i64..5, 0i64..5).prop_map(|(watcher, friend)| Step::WatchPresence(watcher, friend)),
        (0i64..5).prop_map(Step::WatchFeed),
        (any::<usize>(), any::<bool>()).prop_map(|(at, here)| Step::Leave(at, here)),
        (any::<usize>(), any::<bool>()).prop_map(|(at, here)| Step::Leave(at, here)),
        (0i64..5).prop_map(Step::Busy),
        (0u64..4_000).prop_map(Step::Wait),
    ]
}

async fn play(steps: Vec<Step>) {
    let mut world = World::new();
    world
        .store
        .set(|state| state.videos.extend((0..4).map(|id| (VideoId(id), (0, 0)))));
    let mut seats: Vec<(Box<dyn Send>, Option<i64>)> = Vec::new();
    for step in steps {
        match step {
            Step::Attach(user) => {
                let taken = seats.iter().filter(|(_, of)| *of == Some(user)).count();
                let seat = world.hub.attach(UserId(user), 1, outbox());
                assert_eq!(seat.is_ok(), taken < 3, "as many seats as connections");
                seats.extend(seat.ok().map(|seat| (Box::new(seat) as Box<dyn Send>, Some(user))));
            }
            Step::WatchVideo(video) => {
                let seat = world.hub.watch_video(VideoId(video), outbox()).await;
                assert_eq!(seat.is_ok(), video < 4);
                seats.extend(seat.ok().map(|seat| (Box::new(seat.0) as Box<dyn Send>, None)));
            }
            Step::WatchPresence(watcher, friend) => {
                let (watch, now) = world.hub.watch_presence(UserId(watcher), &[UserId(friend)], outbox());
                assert_eq!(now[0].online, seats.iter().any(|(_, of)| *of == Some(friend)));
                seats.push((Box::new(watch), None));
            }
            Step::WatchFeed(user) => seats.push((Box::new(world.hub.watch_feed(UserId(user), outbox(), 0)), None)),
            Step::Leave(at, here) if !seats.is_empty() => {
                let (seat, _) = seats.swap_remove(at % seats.len());
                if here {
                    drop(seat);
                } else {
                    std::thread::spawn(move || drop(seat)).join().unwrap();
                }
            }
            Step::Leave(..) => {}
            Step::Busy(id) => {
                world.like(id);
                world.hub.announce(&[event(id, 1)]);
                world.hub.typing(UserId(id), UserId((id + 1) % 5), true);
                world.hub.unfriended(UserId(id), UserId((id + 1) % 5));
            }
            Step::Wait(ms) => pass(ms).await,
        }
        let connections = seats.iter().filter(|(_, of)| of.is_some()).count();
        assert_eq!(world.hub.status().connections, connections);
    }
    seats.clear();
    world.assert_empty();
    pass(10_000).await;
    world.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_left_when_everybody_has_gone(steps in prop::collection::vec(step(), 0..60)) {
        run(play(steps));
    }
}
