//! Saying hello, and going on where another connection ended (docs/protocol.md, "Connecting" and "Resume").

use serde_json::{Value, json};

use crate::harness::{Kind, Socket, World, on_both_stores};

on_both_stores!(
    a_lost_connection_is_gone_on_with,
    a_guest_has_no_stream,
    what_was_missed_comes_before_what_is_new
);

fn contents(events: &[Value]) -> Vec<(i64, &str)> {
    let read = |event: &Value| event["seq"].as_i64().unwrap();
    events
        .iter()
        .map(|event| (read(event), event["d"]["content"].as_str().unwrap_or_default()))
        .collect()
}

fn a_lost_connection_is_gone_on_with(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let mut first = Socket::connect(&world);
    let epoch = first.hello(&ben.token)["epoch"].as_str().unwrap().to_owned();
    ann.tells(&ben, "one");
    assert_eq!(contents(&[first.next_of("message.new")]), [(1, "one")]);
    first.into_raw().cut();
    ann.tells(&ben, "two");
    ann.tells(&ben, "three");

    let (mut second, welcome) = ben.resume(&epoch, 1);
    assert_eq!((&welcome["seq"], &welcome["replay"]), (&json!(3), &json!(2)));
    assert_eq!(welcome["epoch"], epoch);
    let replayed = [second.next_event(), second.next_event()];
    assert_eq!(contents(&replayed), [(2, "two"), (3, "three")]);
    assert_eq!(second.next_event(), json!({"t": "synced", "d": {"seq": 3}}));
    ann.tells(&ben, "four");
    assert_eq!(contents(&[second.next_event()]), [(4, "four")]);
    assert_eq!(second.so_far(), [Value::Null; 0]);
    second.close();
}

fn a_guest_has_no_stream(kind: Kind) {
    let world = World::new(kind);
    let mut guest = world.guest().socket();
    for (t, d) in [
        (
            "message.send",
            json!({"to_user_id": 1, "content": "x", "key": "0".repeat(32)}),
        ),
        ("presence.watch", json!({"user_ids": []})),
        ("feed.watch", json!({})),
        ("favorite.set", json!({"video_id": 1, "on": true})),
    ] {
        assert_eq!(guest.refused(t, &d), "unauthorized", "{t}");
    }
    assert_eq!(guest.so_far(), [Value::Null; 0]);
}

fn what_was_missed_comes_before_what_is_new(kind: Kind) {
    const MISSED: i64 = 40;
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let mut socket = ben.socket();
    ann.tells(&ben, "0");
    let epoch = {
        let mut other = Socket::connect(&world);
        other.hello(&ben.token)["epoch"].as_str().unwrap().to_owned()
    };
    for number in 1..=MISSED {
        ann.tells(&ben, &number.to_string());
    }
    let (mut late, _) = ben.resume(&epoch, 1);
    // While the replay is under way.
    ann.tells(&ben, "new");
    for number in 2..=MISSED + 2 {
        assert_eq!(late.next_of("message.new")["seq"], number);
    }
    for number in 1..=MISSED + 2 {
        assert_eq!(socket.next_event()["seq"], number);
    }
}
