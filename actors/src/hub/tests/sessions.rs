use super::*;
use crate::close::CloseCode;
use crate::hub::TooManyConnections;

#[test]
fn every_connection_hears_every_event_in_order() {
    run(async {
        let world = World::new();
        let (one, two, other) = (outbox(), outbox(), outbox());
        let _one = world.hub.attach(UserId(1), 1, Arc::clone(&one)).unwrap();
        let two_seat = world.hub.attach(UserId(1), 1, Arc::clone(&two)).unwrap();
        let _other = world.hub.attach(UserId(2), 1, Arc::clone(&other)).unwrap();
        world
            .hub
            .announce(&[event(1, 1), event(1, 2), event(2, 1), event(3, 1)]);
        settle().await;
        for outbox in [&one, &two] {
            let durable = outbox.take(1).durable;
            assert_eq!(durable, [Frame::durable(&event(1, 1)), Frame::durable(&event(1, 2))]);
        }
        assert_eq!(other.take(1).durable, [Frame::durable(&event(2, 1))]);
        drop(two_seat);
        world.hub.announce(&[event(1, 3)]);
        settle().await;
        assert_eq!(one.take(3).newest, 3);
        assert_eq!(two.take(3).newest, 2, "it has left");
    });
}

#[test]
fn a_flood_is_bounded_and_not_refused() {
    run(async {
        let world = World::new();
        let (outbox, late) = (outbox(), outbox());
        let _seat = world.hub.attach(UserId(1), 1, Arc::clone(&outbox)).unwrap();
        settle().await;
        // Nobody has a turn meanwhile.
        for seq in 1..=10_000 {
            world.hub.announce(&[event(1, seq)]);
        }
        let _late = world.hub.attach(UserId(1), 1, Arc::clone(&late)).unwrap();
        settle().await;
        let taken = outbox.take(1);
        assert_eq!(taken.newest, 10_000, "all are known");
        assert!(
            !taken.durable.is_empty() && taken.durable.len() < 100,
            "{}",
            taken.durable.len()
        );
        assert_eq!(late.take(1).newest, 10_000, "it may have read its stream before");
        world.hub.announce(&[event(1, 10_001)]);
        settle().await;
        assert_eq!(outbox.take(10_001).durable.len(), 1, "live again");
    });
}

#[test]
fn connections_of_a_user_are_bounded() {
    run(async {
        let world = World::new();
        let attach = || world.hub.attach(UserId(1), 1, outbox());
        let mut seats = vec![attach().unwrap(), attach().unwrap(), attach().unwrap()];
        assert_eq!(attach().err(), Some(TooManyConnections));
        assert_eq!((world.hub.status().connections, world.hub.status().users), (3, 1));
        seats.pop();
        seats.push(attach().unwrap());
        assert!(world.hub.is_online(UserId(1)));
        seats.clear();
        assert!(!world.hub.is_online(UserId(1)));
        assert_eq!(world.hub.departures().len(), 1);
        world.assert_empty();
    });
}

#[test]
fn void_tokens_end_their_connections_alone() {
    run(async {
        let world = World::new();
        let (old, new, late) = (outbox(), outbox(), outbox());
        let _old = world.hub.attach(UserId(1), 1, Arc::clone(&old)).unwrap();
        let _new = world.hub.attach(UserId(1), 2, Arc::clone(&new)).unwrap();
        world.hub.revoke(UserId(1), 2, CloseCode::Revoked.into());
        let _late = world.hub.attach(UserId(1), 1, Arc::clone(&late)).unwrap();
        settle().await;
        assert_eq!(old.take(1).close, Some(CloseCode::Revoked.into()));
        assert_eq!(
            late.take(1).close,
            Some(CloseCode::Revoked.into()),
            "it was on its way in"
        );
        assert_eq!(new.take(1).close, None);
    });
}

#[test]
fn typing_ends_by_itself() {
    run(async {
        let world = World::new();
        let (from, to) = (outbox(), outbox());
        let seat = world.hub.attach(UserId(1), 1, from).unwrap();
        let _to = world.hub.attach(UserId(2), 1, Arc::clone(&to)).unwrap();
        let typing = |on| world.hub.typing(UserId(1), UserId(2), on);
        let is = |on: bool| vec![format!(r#"{{"t":"typing","d":{{"from_user_id":1,"on":{on}}}}}"#)];
        typing(true);
        pass(4_000).await;
        assert_eq!(heard(&to), is(true));
        typing(true);
        pass(5_990).await;
        assert_eq!(heard(&to), is(true), "renewed");
        pass(20).await;
        assert_eq!(heard(&to), is(false));
        typing(false);
        settle().await;
        assert!(heard(&to).is_empty(), "it had ended");
        typing(true);
        typing(false);
        settle().await;
        assert_eq!(heard(&to), is(false), "merged");
        typing(true);
        settle().await;
        assert_eq!(heard(&to), is(true));
        drop(seat);
        settle().await;
        assert_eq!(heard(&to), is(false), "whoever is gone does not write");
        pass(60_000).await;
        assert!(heard(&to).is_empty());
    });
}

#[test]
fn whoever_loses_a_session_comes_back() {
    let (world, outbox) = (World::new(), outbox());
    let seat = run(async {
        let seat = world.hub.attach(UserId(1), 1, Arc::clone(&outbox)).unwrap();
        settle().await;
        seat
    });
    // The thread of the session has ended, and the seat is still taken.
    assert_eq!(outbox.take(1).close, Some(CloseCode::Restart.into()));
    run(async {
        let again = self::outbox();
        let _again = world.hub.attach(UserId(1), 1, Arc::clone(&again)).unwrap();
        world.hub.announce(&[event(1, 1)]);
        settle().await;
        assert_eq!(again.take(1).durable.len(), 1);
        drop(seat);
        assert!(world.hub.is_online(UserId(1)));
    });
    world.assert_empty();
}
