//! Streams: nothing stored is missed, nothing comes twice; across reconnects, restarts, and by long poll.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kind, Persona, Reply, Socket, World, at_once, on_both_stores};

on_both_stores!(
    a_resume_brings_exactly_what_is_missing,
    a_long_replay_comes_whole_while_more_is_said,
    what_is_not_kept_is_a_gap,
    a_restart_says_when_to_come_back_and_loses_nothing,
    the_long_poll_gives_the_same_events,
    a_long_poll_ends_when_there_is_news_and_when_the_server_stops,
    a_long_poll_is_bounded,
);

fn pair(world: &World) -> (Persona, Persona) {
    (world.register("ann"), world.register("ben"))
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

fn epoch(who: &Persona) -> String {
    let mut socket = Socket::connect(who.site());
    socket.hello(&who.token)["epoch"].as_str().unwrap().to_owned()
}

fn a_resume_brings_exactly_what_is_missing(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    for n in 0..5 {
        ann.tells(&ben, &format!("{n}"));
    }
    let (mut socket, welcome) = ben.resume(&epoch, 2);
    assert_eq!((&welcome["seq"], &welcome["replay"]), (&json!(5), &json!(3)));
    let events: Vec<Value> = (0..3).map(|_| socket.next_event()).collect();
    assert_eq!(seqs(&events), [3, 4, 5]);
    assert_eq!(socket.next_event(), json!({ "t": "synced", "d": { "seq": 5 } }));
    ann.tells(&ben, "live");
    assert_eq!(socket.next_event()["seq"], json!(6));
    // Nothing is missing: synced at once.
    let (mut socket, welcome) = ben.resume(&epoch, 6);
    assert_eq!(welcome["replay"], json!(0));
    assert_eq!(socket.next_event(), json!({ "t": "synced", "d": { "seq": 6 } }));
    // Without a resume: live, and nothing of before.
    let mut fresh = ben.socket();
    ann.tells(&ben, "again");
    assert_eq!(fresh.next_event()["seq"], json!(7));
}

fn a_long_replay_comes_whole_while_more_is_said(kind: Kind) {
    const BEFORE: usize = 450;
    const DURING: usize = 150;
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    at_once(3, |thread| {
        for n in 0..BEFORE / 3 {
            ann.tells(&ben, &format!("before {thread}/{n}"));
        }
    });
    std::thread::scope(|scope| {
        let talk = scope.spawn(|| {
            for n in 0..DURING {
                ann.tells(&ben, &format!("during {n}"));
            }
        });
        let (mut socket, _) = ben.resume(&epoch, 0);
        let mut next = 1;
        let mut synced = false;
        while next <= i64::try_from(BEFORE + DURING).unwrap() || !synced {
            let event = socket.next_event();
            if event["t"] == json!("synced") {
                assert!(!std::mem::replace(&mut synced, true), "once");
                assert_eq!(event["d"]["seq"], json!(next - 1));
            } else {
                assert_eq!(event["seq"], json!(next), "no hole, no repeat");
                next += 1;
            }
        }
        talk.join().unwrap();
        assert_eq!(socket.so_far(), Vec::<Value>::new());
    });
}

fn what_is_not_kept_is_a_gap(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    for n in 0..5 {
        ann.tells(&ben, &format!("{n}"));
    }
    world.fill(|connection| ovation_schema::streams::trim(connection, i64::MAX, 10_000, 3).map(|_| ()));
    let kept: Value = world_oldest(&ben, &epoch);
    assert_eq!(kept["newest"], json!(5));
    let oldest = kept["oldest"].as_i64().unwrap();
    assert!((2..=6).contains(&oldest), "{kept}");
    let gap = |epoch: &str, seq: i64| {
        let (mut socket, welcome) = ben.resume(epoch, seq);
        assert_eq!(welcome["replay"], json!(0));
        let gap = socket.next_event();
        assert_eq!(gap, json!({ "t": "gap", "d": { "oldest": oldest, "newest": 5 } }));
        socket
    };
    gap(&epoch, 0);
    gap(&epoch, 6);
    gap("another life", 5);
    let mut socket = gap("", 3);
    ann.tells(&ben, "live");
    assert_eq!(socket.next_event()["seq"], json!(6));
    let (mut socket, _) = ben.resume(&epoch, oldest - 1);
    let count = usize::try_from(7 - oldest).unwrap();
    let events: Vec<Value> = (0..count).map(|_| socket.next_event()).collect();
    assert_eq!(seqs(&events), (oldest..=6).collect::<Vec<_>>());
}

/// The `d` of the gap that a client from before everything gets.
fn world_oldest(who: &Persona, epoch: &str) -> Value {
    let (mut socket, _) = who.resume(epoch, 0);
    socket.next_event()["d"].take()
}

fn a_restart_says_when_to_come_back_and_loses_nothing(kind: Kind) {
    let mut world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    let (mut socket, mut guest) = (ben.socket(), Socket::connect(&world));
    guest.hello_with(&json!({}));
    ann.tells(&ben, "before");
    assert_eq!(socket.next_event()["seq"], json!(1));
    world.stop();
    for socket in [&mut socket, &mut guest] {
        let (code, reason) = socket.expect_close();
        assert_eq!((code, &reason["reason"]), (3001, &json!("restart")));
        let retry = reason["retry_after"].as_f64().unwrap();
        assert!((0.0..=10.0).contains(&retry), "{reason}");
    }
    world.start_again();
    ann.tells(&ben, "after");
    let (mut socket, welcome) = ben.resume(&epoch, 1);
    assert_eq!((&welcome["epoch"], &welcome["replay"]), (&json!(epoch), &json!(1)));
    assert_eq!(socket.next_event()["d"]["content"], json!("after"));
    assert_eq!(socket.next_event()["t"], json!("synced"));
}

fn poll(who: &Persona, query: &str) -> Reply {
    let bearer = format!("Bearer {}", who.token);
    who.site()
        .get_with(&format!("/events?{query}"), &[("Authorization", &bearer)])
}

fn the_long_poll_gives_the_same_events(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    let begin = poll(&ben, "").success();
    assert_eq!(
        (&begin["epoch"], &begin["next_seq"], &begin["events"]),
        (&json!(epoch), &json!(0), &json!([]))
    );
    let mut socket = ben.socket();
    ann.tells(&ben, "one");
    ann.follows(&ben);
    let pushed = json!([socket.next_event(), socket.next_event()]);
    let answer = poll(&ben, &format!("epoch={epoch}&since=0&wait=0")).success();
    assert_eq!((&answer["events"], &answer["next_seq"]), (&pushed, &json!(2)));
    assert_eq!(answer.get("gap"), None);
    let answer = poll(&ben, &format!("epoch={epoch}&since=2&wait=0")).success();
    assert_eq!((&answer["events"], &answer["next_seq"]), (&json!([]), &json!(2)));
    for query in [
        format!("epoch={epoch}&since=3&wait=0"),
        "epoch=x&since=1&wait=0".into(),
        "since=1&wait=0".into(),
    ] {
        let answer = poll(&ben, &query).success();
        assert_eq!(answer["gap"], json!({ "oldest": 1, "newest": 2 }), "{query}");
        assert_eq!(
            (&answer["events"], &answer["next_seq"]),
            (&json!([]), &json!(2)),
            "{query}"
        );
    }
    for query in ["since=-1", "since=x", "since=1&wait=61", "since=1&wait=-1"] {
        poll(&ben, query).refused();
    }
    assert_eq!(
        world
            .get(&format!("/events?since=0&token={}", ben.token))
            .refused()
            .code,
        1001
    );
    assert_eq!(poll(&ben.with_token("nonsense"), "since=0").refused().code, 1001);
}

fn a_long_poll_ends_when_there_is_news_and_when_the_server_stops(kind: Kind) {
    let mut world = World::new(kind);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    let query = |since: i64| format!("epoch={epoch}&since={since}&wait=60");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll(&ben, &query(0)));
        // Whether it waits already or not: the message is in its answer.
        ann.tells(&ben, "news");
        let answer = waiting.join().unwrap().success();
        assert_eq!(answer["events"][0]["d"]["content"], json!("news"));
    });
    let began = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll(&ben, &query(1)));
        // Also when it comes only after the stop: refused, or not connected at all, but not kept waiting.
        crate::harness::eventually("it waits", Duration::from_secs(10), || {
            (world.server().hub_status().connections == 1).then_some(())
        });
        world.stop();
        waiting.join().unwrap().refused();
    });
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

fn a_long_poll_is_bounded(kind: Kind) {
    let world = World::with(kind, |config| config.connections_per_user = 1);
    let (ann, ben) = pair(&world);
    let epoch = epoch(&ben);
    crate::harness::eventually("nobody is there", Duration::from_secs(10), || {
        (world.server().hub_status().connections == 0).then_some(())
    });
    let socket = ben.socket();
    assert_eq!(
        poll(&ben, &format!("epoch={epoch}&since=0")).refused().code,
        2001,
        "it counts as a connection"
    );
    drop(socket);
    for n in 0..501 {
        ann.tells(&ben, &format!("{n}"));
    }
    crate::harness::eventually("the place is free", Duration::from_secs(10), || {
        (world.server().hub_status().connections == 0).then_some(())
    });
    let answer = poll(&ben, &format!("epoch={epoch}&since=0")).success();
    assert_eq!(
        (answer["events"].as_array().unwrap().len(), &answer["next_seq"]),
        (500, &json!(500))
    );
}
