//! Chat over the socket: stored, acknowledged, pushed to every device, in one order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Kind, Persona, Socket, World, at_once, on_both_stores};

on_both_stores!(
    a_message_reaches_every_device_of_both,
    rest_and_socket_are_one_system,
    a_resend_is_applied_once,
    a_key_is_one_message,
    history_is_paged_newest_first,
    read_marks_move_forward_only,
    unread_counts_follow,
    what_makes_no_message_is_refused_and_changes_nothing,
    crossing_messages_have_one_order_on_every_device,
    operations_of_one_connection_keep_their_order,
);

const KEY: &str = "key-0123456789abcdef";

fn pair(world: &World) -> (Persona, Persona) {
    (world.register("ann"), world.register("ben"))
}

fn message(to: &Persona, content: &str, key: &str) -> Value {
    json!({ "to_user_id": to.id, "content": content, "key": key })
}

fn a_message_reaches_every_device_of_both(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let (mut phone, mut desk, mut other) = (ann.socket(), ann.socket(), ben.socket());
    let stored = phone.done("message.send", &message(&ben, "hello ☃", KEY));
    let id = stored["message_id"].as_i64().unwrap();
    let time = stored["create_time"].as_i64().unwrap();
    assert_eq!(stored, json!({ "message_id": id, "create_time": time }));
    let mut expected = json!({
        "message_id": id, "from_user_id": ann.id, "to_user_id": ben.id, "content": "hello ☃", "create_time": time,
    });
    let received = other.next_event();
    expected["unread"] = json!(1);
    assert_eq!(received, json!({ "t": "message.new", "seq": 1, "d": expected }));
    expected.as_object_mut().unwrap().remove("unread");
    expected["key"] = json!(KEY);
    let own = json!({ "t": "message.new", "seq": 1, "d": expected });
    assert_eq!(phone.next_event(), own);
    assert_eq!(desk.next_event(), own);
    let chat = ben.chat(&ann, &0);
    assert_eq!((chat[0].id, chat[0].create_time), (id, time));
}

fn rest_and_socket_are_one_system(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let mut socket = ben.socket();
    ann.tells(&ben, "by REST");
    let event = socket.next_of("message.new");
    assert_eq!((&event["seq"], &event["d"]["content"]), (&json!(1), &json!("by REST")));
    socket.done("message.send", &message(&ann, "by socket", KEY));
    let chat = ann.chat(&ben, &0);
    let texts: Vec<_> = chat.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts, ["by REST", "by socket"]);
}

fn a_resend_is_applied_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let (mut one, mut two, mut other) = (ann.socket(), ann.socket(), ben.socket());
    let first = one.done("message.send", &message(&ben, "once", KEY));
    for socket in [&mut one, &mut two] {
        let mut again = socket.done("message.send", &message(&ben, "once", KEY));
        assert_eq!(again["dup"].take(), json!(true));
        again.as_object_mut().unwrap().remove("dup");
        assert_eq!(again, first);
    }
    // At the same moment from two devices: one of the two is the first.
    let mut devices = [ann.socket(), ann.socket()];
    let request = message(&ben, "together", "another-key-0123456789");
    let ids: Vec<_> = devices
        .iter_mut()
        .map(|socket| socket.send("message.send", &request))
        .collect();
    let acks: Vec<_> = devices
        .iter_mut()
        .zip(&ids)
        .map(|(socket, id)| socket.answer(id))
        .collect();
    assert_eq!(acks[0]["d"]["message_id"], acks[1]["d"]["message_id"], "{acks:?}");
    let dups = acks.iter().filter(|ack| ack["d"]["dup"] == json!(true)).count();
    assert_eq!(dups, 1, "{acks:?}");
    for (seq, content) in [(1, "once"), (2, "together")] {
        let event = other.next_event();
        assert_eq!((&event["seq"], &event["d"]["content"]), (&json!(seq), &json!(content)));
    }
    assert_eq!(other.so_far(), Vec::<Value>::new());
    assert_eq!(ben.chat(&ann, &0).len(), 2);
    // The key is the sender's: somebody else may use the same.
    let own = other.done("message.send", &message(&ann, "mine", KEY));
    assert_eq!(own.get("dup"), None);
}

fn a_key_is_one_message(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let cid = world.register("cid");
    let mut socket = ann.socket();
    socket.done("message.send", &message(&ben, "first", KEY));
    assert_eq!(
        socket.refused("message.send", &message(&ben, "other text", KEY)),
        "key_conflict"
    );
    assert_eq!(
        socket.refused("message.send", &message(&cid, "first", KEY)),
        "key_conflict"
    );
    assert_eq!(ben.chat(&ann, &0).len(), 1);
    assert!(cid.chat(&ann, &0).is_empty());
}

fn history_is_paged_newest_first(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    for number in 0..7 {
        let (from, to) = if number % 2 == 0 { (&ann, &ben) } else { (&ben, &ann) };
        from.tells(to, &format!("{number}"));
    }
    let mut socket = ann.socket();
    let mut before = Value::Null;
    let mut seen = Vec::new();
    loop {
        let page = socket.done(
            "message.history",
            &json!({ "with_user_id": ben.id, "limit": 3, "before": before }),
        );
        for message in page["messages"].as_array().unwrap() {
            let number: i64 = message["content"].as_str().unwrap().parse().unwrap();
            let ids = if number % 2 == 0 {
                (ann.id, ben.id)
            } else {
                (ben.id, ann.id)
            };
            assert_eq!(
                (&message["from_user_id"], &message["to_user_id"]),
                (&json!(ids.0), &json!(ids.1))
            );
            seen.push(number);
        }
        match page.get("next") {
            Some(next) => before = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    let empty = socket.done("message.history", &json!({ "with_user_id": 999_999 }));
    assert_eq!(empty["messages"], json!([]));
    for limit in [0, -1, 101] {
        let asked = json!({ "with_user_id": ben.id, "limit": limit });
        assert_eq!(socket.refused("message.history", &asked), "bad_request");
    }
}

fn read_marks_move_forward_only(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let cid = world.register("cid");
    let ids: Vec<i64> = (0..3)
        .map(|number| {
            ann.tells(&ben, &format!("{number}"));
            ben.chat(&ann, &0).last().unwrap().id
        })
        .collect();
    cid.tells(&ben, "elsewhere");
    let elsewhere = ben.chat(&cid, &0)[0].id;
    let (mut reader, mut second, mut writer) = (ben.socket(), ben.socket(), ann.socket());
    let mark = |message: i64| json!({ "with_user_id": ann.id, "message_id": message });
    assert_eq!(
        reader.done("message.read", &mark(ids[1])),
        json!({ "message_id": ids[1], "unread": 1 })
    );
    let seen = writer.next_event();
    assert_eq!(
        (&seen["t"], &seen["d"]["message_id"]),
        (&json!("message.read"), &json!(ids[1]))
    );
    assert_eq!(
        (&seen["d"]["user_id"], &seen["d"]["with_user_id"]),
        (&json!(ben.id), &json!(ann.id))
    );
    assert_eq!(
        seen["d"].get("unread"),
        None,
        "how much the reader has left is not the writer's business"
    );
    let own = second.next_event();
    assert_eq!((&own["t"], &own["d"]["unread"]), (&json!("message.read"), &json!(1)));
    // Back, and again the same: nothing moves and nobody hears of it.
    assert_eq!(reader.done("message.read", &mark(ids[0]))["unread"], json!(1));
    assert_eq!(reader.done("message.read", &mark(ids[1]))["unread"], json!(1));
    assert_eq!(writer.so_far(), Vec::<Value>::new());
    for message in [elsewhere, 999_999] {
        assert_eq!(reader.refused("message.read", &mark(message)), "not_found");
    }
    let page = writer.done("message.history", &json!({ "with_user_id": ben.id }));
    assert_eq!(page["peer_read_message_id"], json!(ids[1]));
    let page = reader.done("message.history", &json!({ "with_user_id": ann.id }));
    assert_eq!((&page["read_message_id"], &page["unread"]), (&json!(ids[1]), &json!(1)));
}

fn unread_counts_follow(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let cid = world.register("cid");
    ann.tells(&ben, "1");
    ann.tells(&ben, "2");
    cid.tells(&ben, "3");
    ben.tells(&ann, "mine are read");
    let mut socket = Socket::connect(&world);
    let welcome = socket.hello(&ben.token);
    assert_eq!(welcome["unread"], json!(3));
    ann.tells(&ben, "4");
    assert_eq!(socket.next_event()["d"]["unread"], json!(3), "in this conversation");
    let last = ben.chat(&ann, &0).last().unwrap().id;
    let asked = json!({ "with_user_id": ann.id, "message_id": last });
    assert_eq!(socket.done("message.read", &asked)["unread"], json!(0));
    let mut again = Socket::connect(&world);
    assert_eq!(again.hello(&ben.token)["unread"], json!(1));
}

fn what_makes_no_message_is_refused_and_changes_nothing(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let mut socket = ann.socket();
    let nobody = json!({ "to_user_id": 999_999, "content": "x", "key": KEY });
    assert_eq!(socket.refused("message.send", &nobody), "not_found");
    let long = "x".repeat(2001);
    for d in [
        message(&ann, "to myself", KEY),
        message(&ben, "", KEY),
        message(&ben, &long, KEY),
        message(&ben, "bell \u{7}", KEY),
        message(&ben, "short key", "abc"),
        message(&ben, "odd key", "key with spaces 0123"),
        message(&ben, "long key", &"k".repeat(65)),
        json!({ "to_user_id": ben.id, "content": "no key" }),
        json!({ "to_user_id": ben.id.to_string(), "content": "id as text", "key": KEY }),
        json!({ "to_user_id": 1.5, "content": "no id", "key": KEY }),
        json!({ "to_user_id": -1, "content": "no id", "key": KEY }),
        json!({ "to_user_id": (1_i64 << 53) + 1, "content": "no id", "key": KEY }),
        Value::Null,
    ] {
        assert_eq!(socket.refused("message.send", &d), "bad_request", "{d}");
    }
    assert!(ann.chat(&ben, &0).is_empty());
    assert_eq!(socket.so_far(), Vec::<Value>::new());
    // None of them has used up the key.
    assert_eq!(socket.done("message.send", &message(&ben, "now", KEY)).get("dup"), None);
}

fn crossing_messages_have_one_order_on_every_device(kind: Kind) {
    const EACH: usize = 25;
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let mut watching: Vec<Socket> = [&ann, &ann, &ben, &ben].iter().map(|who| who.socket()).collect();
    at_once(4, |number| {
        let (from, to) = if number % 2 == 0 { (&ann, &ben) } else { (&ben, &ann) };
        let mut socket = from.socket();
        let ids: Vec<_> = (0..EACH)
            .map(|n| {
                let key = format!("thread-{number}-message-{n:04}");
                socket.send("message.send", &message(to, &format!("{number}/{n}"), &key))
            })
            .collect();
        for id in ids {
            assert_eq!(socket.answer(&id)["t"], json!("ack"));
        }
    });
    let stored: Vec<i64> = ann.chat(&ben, &0).iter().map(|message| message.id).collect();
    assert_eq!(stored.len(), 4 * EACH);
    for socket in &mut watching {
        let events: Vec<Value> = (0..4 * EACH).map(|_| socket.next_event()).collect();
        let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        let dense: Vec<i64> = (1..=4 * i64::try_from(EACH).unwrap()).collect();
        assert_eq!(seqs, dense);
        let order: Vec<i64> = events
            .iter()
            .map(|event| event["d"]["message_id"].as_i64().unwrap())
            .collect();
        assert_eq!(order, stored, "the conversation's order");
    }
    let times: BTreeSet<i64> = ann.chat(&ben, &0).iter().map(|message| message.create_time).collect();
    assert_eq!(times.len(), 4 * EACH);
}

fn operations_of_one_connection_keep_their_order(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = pair(&world);
    let mut socket = ann.socket();
    let ids: Vec<_> = (0..40)
        .map(|n| {
            socket.send(
                "message.send",
                &message(&ben, &format!("{n}"), &format!("ordered-key-{n:06}")),
            )
        })
        .collect();
    for id in &ids {
        assert_eq!(socket.answer(id)["t"], json!("ack"));
    }
    let texts: Vec<String> = ben.chat(&ann, &0).into_iter().map(|message| message.content).collect();
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected);
}
