//! The bounds of a socket, each with its code, and who may open one.

use std::time::{Duration, Instant};

use ovation::config::Config;
use serde_json::{Value, json};

use crate::harness::frames::{Incoming, RawSocket, client_frame, opcode};
use crate::harness::{Kind, Socket, World, eventually, on_both_stores};

on_both_stores!(hello_comes_first_and_once, a_user_has_so_many_connections);

fn sqlite(change: impl FnOnce(&mut Config)) -> World {
    World::with(Kind::Sqlite, change)
}

fn hello_comes_first_and_once(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    for text in [
        r#"{"t":"ping","id":"1"}"#,
        r#"{"t":"hello"}"#,
        r#"{"t":"hello","id":"","d":{}}"#,
        r#"{"t":"hello","id":1,"d":{}}"#,
        r#"{"t":"hello","id":"1","d":[]}"#,
        r#"{"t":"hello","id":"1","d":{"token":5}}"#,
        r#"{"t":"hello","id":"1","d":{"resume":{"seq":-1}}}"#,
        r#"["hello"]"#,
        "hello",
        "",
    ] {
        let mut socket = Socket::connect(&world);
        socket.send_text(text);
        assert_eq!(socket.expect_close().0, 3501, "{text}");
    }
    for token in ["nonsense", &format!("{}x", ann.token), &"x".repeat(5000)] {
        let mut socket = Socket::connect(&world);
        let id = socket.send("hello", &json!({ "token": token }));
        let answer = socket.answer(&id);
        assert_eq!((&answer["t"], &answer["code"]), (&json!("err"), &json!("unauthorized")));
        assert_eq!(socket.expect_close(), (3500, json!({ "reason": "invalid_token" })));
    }
    let mut socket = ann.socket();
    assert_eq!(socket.refused("hello", &json!({ "token": ann.token })), "bad_request");
    assert_eq!(socket.refused("dance", &json!({})), "bad_request");
}

fn a_user_has_so_many_connections(kind: Kind) {
    let world = World::with(kind, |config| config.connections_per_user = 2);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let first = ann.socket();
    let _second = ann.socket();
    let mut third = Socket::connect(&world);
    let id = third.send("hello", &json!({ "token": ann.token }));
    assert_eq!(third.answer(&id)["code"], json!("limit_exceeded"));
    assert_eq!(third.expect_close().0, 3504);
    let _other = ben.socket();
    first.close();
    eventually("the place is free", Duration::from_secs(5), || {
        let mut again = Socket::connect(&world);
        let id = again.send("hello", &json!({ "token": ann.token }));
        (again.answer(&id)["t"] == json!("welcome")).then_some(())
    });
}

#[test]
fn a_message_over_the_limit_ends_the_connection_before_it_is_read() {
    let world = sqlite(|_| {});
    let ann = world.register("ann");
    let welcome = Socket::connect(&world).hello(&ann.token);
    let limit = usize::try_from(welcome["limits"]["message_bytes"].as_i64().unwrap()).unwrap();
    let padded = |length: usize| {
        let text = r#"{"t":"ping","id":"1"}"#;
        format!("{text}{}", " ".repeat(length - text.len()))
    };
    let mut socket = ann.socket();
    socket.send_text(&padded(limit));
    assert_eq!(socket.answer("1")["t"], json!("pong"));
    socket.send_text(&padded(limit + 1));
    assert_eq!(socket.expect_close().0, 1009);
    // In parts: the sum counts. Only the head of a huge frame: refused by its length.
    let mut raw = ann.socket().into_raw();
    let half = vec![b' '; limit / 2 + 1];
    raw.put_frame(false, opcode::TEXT, &half).unwrap();
    raw.put_frame(true, opcode::CONTINUATION, &half).unwrap();
    assert_eq!(Socket::over(raw).expect_close().0, 1009);
    let mut raw = ann.socket().into_raw();
    raw.put([0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]).unwrap();
    assert_eq!(Socket::over(raw).expect_close().0, 1009);
}

#[test]
fn only_text_is_understood() {
    let world = sqlite(|_| {});
    let ann = world.register("ann");
    let mut raw = ann.socket().into_raw();
    raw.put_frame(true, 0x2, b"{}").unwrap();
    assert_eq!(Socket::over(raw).expect_close().0, 1003);
    for text in [
        "{",
        "[]",
        "7",
        r#"{"t":5,"id":"1"}"#,
        r#"{"id":"1"}"#,
        r#"{"t":"ping"}"#,
        r#"{"t":"ping","id":"1","d":[]}"#,
    ] {
        let mut socket = ann.socket();
        socket.send_text(text);
        assert_eq!(socket.expect_close().0, 3501, "{text}");
    }
    let mut socket = ann.socket();
    let long = "i".repeat(65);
    socket.send_text(&json!({ "t": "ping", "id": long }).to_string());
    assert_eq!(socket.expect_close().0, 3501);
    // Deep nesting is refused, not followed.
    let mut socket = ann.socket();
    socket.send_text(&format!(
        r#"{{"t":"ping","id":"1","d":{}{}}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    ));
    assert_eq!(socket.expect_close().0, 3501);
}

#[test]
fn more_operations_than_announced_end_the_connection() {
    let world = sqlite(|config| config.operations_per_second = 5);
    let ann = world.register("ann");
    let mut socket = ann.socket();
    for _ in 0..10 {
        socket.send("ping", &json!({}));
    }
    for n in 1..=9 {
        // `hello` was the first one.
        assert_eq!(socket.answer(&(n + 1).to_string())["t"], json!("pong"));
    }
    for _ in 0..20 {
        socket.send("ping", &json!({}));
    }
    assert_eq!(socket.expect_close().0, 3013);
}

#[test]
fn a_connection_watches_so_many_rooms_and_friends() {
    let world = sqlite(|config| config.rooms_per_connection = 2);
    let ann = world.register("ann");
    let videos: Vec<i64> = (0..3).map(|n| ann.publishes(&format!("{n}")).id).collect();
    let mut socket = ann.socket();
    let watch = |n: usize| json!({ "video_id": videos[n] });
    socket.done("video.watch", &watch(0));
    socket.done("video.watch", &watch(1));
    assert_eq!(socket.refused("video.watch", &watch(2)), "limit_exceeded");
    socket.done("video.watch", &watch(1));
    socket.done("video.unwatch", &watch(0));
    socket.done("video.watch", &watch(2));
    let many: Vec<i64> = (1..=201).collect();
    assert_eq!(
        socket.refused("presence.watch", &json!({ "user_ids": many })),
        "limit_exceeded"
    );
}

#[test]
fn sockets_that_do_not_say_hello_are_few_and_short() {
    let world = sqlite(|config| config.sockets_without_hello = 2);
    let ann = world.register("ann");
    let began = Instant::now();
    let mut silent = Socket::connect(&world);
    let _other = Socket::connect(&world);
    let refused = RawSocket::upgrade(world.address(), "/ws", &[]).map(|_| ()).unwrap_err();
    assert_eq!(refused.status, 503);
    assert_eq!(silent.expect_close().0, 3501);
    let waited = began.elapsed();
    assert!((4..=8).contains(&waited.as_secs()), "5 s: {waited:?}");
    drop(silent);
    // Those that say hello give their place to the next.
    let mut well = Vec::new();
    eventually("the places are free", Duration::from_secs(10), || {
        let raw = RawSocket::upgrade(world.address(), "/ws", &[]).ok()?;
        let mut socket = Socket::over(raw);
        socket.hello(&ann.token);
        well.push(socket);
        (well.len() == 3).then_some(())
    });
}

#[test]
fn an_address_has_so_many_sockets() {
    let world = sqlite(|config| config.sockets_per_address = 2);
    let ann = world.register("ann");
    let first = ann.socket();
    let _second = ann.socket();
    let refused = RawSocket::upgrade(world.address(), "/ws", &[]).map(|_| ()).unwrap_err();
    assert_eq!(refused.status, 429);
    first.close();
    eventually("the place is free", Duration::from_secs(5), || {
        RawSocket::upgrade(world.address(), "/ws", &[]).ok().map(|_| ())
    });
}

#[test]
fn who_may_open_a_socket() {
    let world = sqlite(|config| config.allowed_origins = vec!["https://friend.test".into()]);
    let address = world.address();
    let upgrade = |path: &str, headers: &[(&str, &str)]| RawSocket::upgrade(address, path, headers);
    assert_eq!(
        upgrade("/ws", &[("Origin", "https://evil.test")])
            .map(|_| ())
            .unwrap_err()
            .status,
        403
    );
    assert_eq!(
        upgrade("/ws", &[("Origin", "null")]).map(|_| ()).unwrap_err().status,
        403
    );
    upgrade("/ws", &[("Origin", "https://friend.test")]).unwrap();
    upgrade("/ws/", &[]).unwrap();
    let chosen = upgrade("/ws", &[("Sec-WebSocket-Protocol", "other, ovation.v1")]).unwrap();
    assert_eq!(chosen.protocol.as_deref(), Some("ovation.v1"));
    let unknown = upgrade("/ws", &[("Sec-WebSocket-Protocol", "other")])
        .map(|_| ())
        .unwrap_err();
    assert_eq!(unknown.status, 400);
    assert_eq!(
        upgrade("/ws/echo", &[])
            .map(|_| ())
            .unwrap_err()
            .refused_as(&[200, 404])
            .code,
        1005
    );
    let plain = world.get("/ws");
    assert_eq!(plain.status, 426, "no upgrade: {}", plain.text());
    assert_eq!(
        (plain.header("upgrade"), plain.header("sec-websocket-version")),
        (Some("websocket"), Some("13"))
    );
    // Compression is never agreed to, and a token in the URL is nobody's.
    let ann = world.register("ann");
    let offered = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let raw = RawSocket::upgrade(address, &format!("/ws?token={}", ann.token), &offered).unwrap();
    let mut socket = Socket::over(raw);
    assert_eq!(socket.hello_with(&json!({})).get("user_id"), None);
}

#[test]
fn a_token_in_the_header_stands_in_for_the_one_in_hello() {
    let world = sqlite(|_| {});
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let bearer = format!("Bearer {}", ann.token);
    let open = || Socket::over(RawSocket::upgrade(world.address(), "/ws", &[("Authorization", &bearer)]).unwrap());
    assert_eq!(open().hello_with(&json!({}))["user_id"], json!(ann.id));
    assert_eq!(
        open().hello(&ben.token)["user_id"],
        json!(ben.id),
        "the frame is nearer"
    );
}

#[test]
fn the_standard_is_kept() {
    let world = sqlite(|_| {});
    let ann = world.register("ann");
    let mut raw = ann.socket().into_raw();
    raw.put_frame(true, opcode::PING, b"are you there").unwrap();
    let pong = raw.frame().unwrap();
    assert_eq!(
        (pong.opcode, pong.payload.as_slice()),
        (opcode::PONG, b"are you there".as_slice())
    );
    raw.put_frame(true, opcode::CLOSE, &1000_u16.to_be_bytes()).unwrap();
    let close = raw.frame().unwrap();
    assert_eq!(
        (close.opcode, &close.payload[..2]),
        (opcode::CLOSE, 1000_u16.to_be_bytes().as_slice())
    );
    assert!(raw.frame().is_none(), "the server ends the TCP connection");
    // Not masked; a reserved bit; a text that is none; a close code that nobody may send.
    let mut unmasked = client_frame(true, opcode::TEXT, b"{}");
    unmasked[1] &= 0x7F;
    let mut reserved = client_frame(true, opcode::TEXT, b"{}");
    reserved[0] |= 0x40;
    let invalid = client_frame(true, opcode::TEXT, &[0xFF, 0xFE]);
    let unknown_code = client_frame(true, opcode::CLOSE, &1005_u16.to_be_bytes());
    for (bytes, code) in [
        (unmasked, 1002),
        (reserved, 1002),
        (invalid, 1007),
        (unknown_code, 1002),
    ] {
        let mut raw = ann.socket().into_raw();
        raw.put(&bytes).unwrap();
        assert_eq!(Socket::over(raw).expect_close().0, code);
    }
}

#[test]
fn a_silent_peer_is_closed_and_one_that_answers_is_not() {
    let world = sqlite(|config| config.heartbeat = Duration::from_secs(1));
    let ann = world.register("ann");
    let mut raw = ann.socket().into_raw();
    let mut lively = ann.socket();
    let began = Instant::now();
    // Its pings are read and never answered.
    let close = loop {
        match raw.wait(Duration::from_secs(10)) {
            Incoming::Frame(frame) if frame.opcode == opcode::PING => {}
            Incoming::Frame(frame) => break frame,
            other => panic!("{other:?}"),
        }
        lively.so_far();
    };
    assert_eq!(
        (close.opcode, &close.payload[..2]),
        (opcode::CLOSE, 3012_u16.to_be_bytes().as_slice())
    );
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(lively.so_far(), Vec::<Value>::new());
}
