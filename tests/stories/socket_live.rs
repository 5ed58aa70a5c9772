//! Rooms, followers, friends: everyone who is looking sees it at once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kind, Persona, Socket, World, at_once, on_both_stores};

on_both_stores!(
    a_room_shows_likes_comments_and_viewers,
    the_last_count_always_arrives_and_frames_are_few,
    guests_watch_videos_and_nothing_else,
    rooms_are_left_and_joined_again,
    a_like_by_socket_is_a_like,
    those_who_are_told_are_told_once,
    friends_see_each_other_come_and_go,
    typing_goes_to_one_and_ends_by_itself,
    followers_hear_of_a_publish_and_others_of_a_number,
);

fn watch(video: i64) -> Value {
    json!({ "video_id": video })
}

/// Reads a room's counters until they say `likes`; how many frames that took.
fn until_likes(socket: &mut Socket, likes: i64) -> usize {
    for frames in 1.. {
        let event = socket.next_of("video.counters");
        if event["d"]["favorite_count"] == json!(likes) {
            return frames;
        }
    }
    unreachable!()
}

fn a_room_shows_likes_comments_and_viewers(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let mut first = Socket::connect(&world);
    first.hello_with(&json!({}));
    let joined = first.done("video.watch", &watch(video.id));
    assert_eq!(
        joined,
        json!({ "video_id": video.id, "favorite_count": 0, "comment_count": 0, "viewers": 1 })
    );
    let mut second = ben.socket();
    assert_eq!(second.done("video.watch", &watch(video.id))["viewers"], json!(2));
    let viewers = first.next_of("video.viewers");
    assert_eq!(viewers["d"], json!({ "video_id": video.id, "viewers": 2 }));
    ben.favorites(&video);
    let counters = first.next_of("video.counters");
    assert_eq!(
        counters,
        json!({ "t": "video.counters", "d": { "video_id": video.id, "favorite_count": 1, "comment_count": 0 } })
    );
    let comment = ben.comments(&video, "waves");
    let heard = first.next_of("video.comment");
    assert_eq!(heard["d"]["video_id"], json!(video.id));
    let told = &heard["d"]["comment"];
    assert_eq!(
        (&told["id"], &told["user_id"], &told["user_name"], &told["content"]),
        (&json!(comment.id), &json!(ben.id), &json!("ben"), &json!("waves"))
    );
    assert_eq!(first.next_of("video.counters")["d"]["comment_count"], json!(1));
    ben.uncomment(video.id, comment.id).done();
    assert_eq!(first.next_of("video.counters")["d"]["comment_count"], json!(0));
    drop(second);
    assert_eq!(first.next_of("video.viewers")["d"]["viewers"], json!(1));
}

fn the_last_count_always_arrives_and_frames_are_few(kind: Kind) {
    const LIKERS: usize = 40;
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let people: Vec<Persona> = (0..LIKERS).map(|n| world.register(&format!("liker{n}"))).collect();
    let mut socket = ann.socket();
    socket.done("video.watch", &watch(video.id));
    let began = Instant::now();
    at_once(8, |thread| {
        for round in 0..5 {
            for liker in people.iter().skip(thread).step_by(8) {
                liker.favorite(video.id, if round % 2 == 0 { 1 } else { 2 }).done();
            }
        }
    });
    let likes = i64::try_from(LIKERS).unwrap();
    let frames = until_likes(&mut socket, likes);
    let quarters = usize::try_from(began.elapsed().as_millis() / 250).unwrap() + 2;
    assert!(frames <= quarters, "{frames} frames in {:?}", began.elapsed());
    // The storm is over and the last value has come: nothing more is said.
    let rest: Vec<Value> = socket
        .so_far()
        .into_iter()
        .filter(|event| event["t"] == json!("video.counters"))
        .collect();
    assert_eq!(rest, Vec::<Value>::new());
    world.flush();
    let mut late = Socket::connect(&world);
    late.hello_with(&json!({}));
    assert_eq!(
        late.done("video.watch", &watch(video.id))["favorite_count"],
        json!(likes)
    );
}

fn guests_watch_videos_and_nothing_else(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let mut guest = Socket::connect(&world);
    let welcome = guest.hello_with(&json!({ "client": "test/1" }));
    for absent in ["user_id", "epoch", "seq", "replay", "unread"] {
        assert_eq!(welcome.get(absent), None, "{welcome}");
    }
    guest.done("video.watch", &watch(video.id));
    guest.done("video.unwatch", &watch(video.id));
    for (t, d) in [
        (
            "message.send",
            json!({ "to_user_id": ann.id, "content": "x", "key": "k".repeat(20) }),
        ),
        ("message.history", json!({ "with_user_id": ann.id })),
        ("message.read", json!({ "with_user_id": ann.id, "message_id": 1 })),
        ("typing", json!({ "to_user_id": ann.id, "on": true })),
        ("presence.watch", json!({ "user_ids": [ann.id] })),
        ("feed.watch", json!({})),
        ("favorite.set", json!({ "video_id": video.id, "on": true })),
    ] {
        assert_eq!(guest.refused(t, &d), "unauthorized", "{t}");
    }
    assert_eq!(ann.sees(&video).favorite_count, 0);
}

fn rooms_are_left_and_joined_again(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let mut socket = ann.socket();
    socket.done("video.watch", &watch(video.id));
    assert_eq!(
        socket.done("video.watch", &watch(video.id))["viewers"],
        json!(1),
        "once"
    );
    socket.done("video.unwatch", &watch(video.id));
    socket.done("video.unwatch", &watch(video.id));
    ben.favorites(&video);
    let joined = socket.done("video.watch", &watch(video.id));
    assert_eq!(joined["favorite_count"], json!(1));
    assert_eq!(socket.refused("video.watch", &watch(999_999)), "not_found");
    assert_eq!(socket.refused("video.watch", &json!({})), "bad_request");
    ben.unfavorites(&video);
    until_likes(&mut socket, 0);
}

fn a_like_by_socket_is_a_like(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let mut socket = ben.socket();
    let set = |on: bool| json!({ "video_id": video.id, "on": on });
    assert_eq!(socket.done("favorite.set", &set(true)), json!({ "changed": true }));
    assert_eq!(socket.done("favorite.set", &set(true)), json!({ "changed": false }));
    let seen = ben.sees(&video);
    assert_eq!((seen.favorite_count, seen.is_favorite), (1, true));
    assert_eq!(socket.done("favorite.set", &set(false)), json!({ "changed": true }));
    assert_eq!(ben.sees(&video).favorite_count, 0);
    assert_eq!(
        socket.refused("favorite.set", &json!({ "video_id": 999_999, "on": true })),
        "not_found"
    );
    ben.favorites(&video);
    assert_eq!(socket.done("favorite.set", &set(true)), json!({ "changed": false }));
}

fn those_who_are_told_are_told_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    let mut socket = ann.socket();
    ben.follows(&ann);
    let follow = socket.next_event();
    assert_eq!(
        follow,
        json!({ "t": "follow.new", "seq": 1, "d": { "user_id": ben.id, "name": "ben" } })
    );
    ben.unfollows(&ann);
    ben.follows(&ann);
    let comment = ben.comments(&video, "first");
    ann.comments(&video, "my own");
    let told = socket.next_event();
    assert_eq!((&told["t"], &told["seq"]), (&json!("comment.new"), &json!(2)));
    assert_eq!(
        (
            &told["d"]["comment_id"],
            &told["d"]["video_id"],
            &told["d"]["user_id"],
            &told["d"]["content"]
        ),
        (&json!(comment.id), &json!(video.id), &json!(ben.id), &json!("first"))
    );
    ben.favorites(&video);
    ann.favorites(&video);
    world.flush();
    let liked = socket.next_event();
    assert_eq!(
        liked,
        json!({ "t": "favorite.new", "seq": 3, "d": { "video_id": video.id, "count": 1, "user_ids": [ben.id] } })
    );
    ben.unfavorites(&video);
    world.flush();
    ben.favorites(&video);
    world.flush();
    assert_eq!(socket.so_far(), Vec::<Value>::new());
}

fn friends_see_each_other_come_and_go(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben, cid) = (world.register("ann"), world.register("ben"), world.register("cid"));
    ann.follows(&ben);
    ben.follows(&ann);
    cid.follows(&ann);
    let mut socket = ann.socket();
    let both = json!({ "user_ids": [ben.id, cid.id, 999_999] });
    let watched = socket.done("presence.watch", &both);
    assert_eq!(
        watched,
        json!({ "users": [{ "user_id": ben.id, "online": false }] }),
        "friends only"
    );
    let (phone, desk) = (ben.socket(), ben.socket());
    assert_eq!(
        socket.next_event(),
        json!({ "t": "presence", "d": { "user_id": ben.id, "online": true } })
    );
    phone.close();
    assert_eq!(socket.so_far(), Vec::<Value>::new(), "one device is still there");
    desk.close();
    let left = socket.next_event();
    assert_eq!((&left["t"], &left["d"]["online"]), (&json!("presence"), &json!(false)));
    let seen = left["d"]["last_seen"].as_i64().unwrap();
    assert!((ovation_schema::now_ms() - seen).abs() < 60_000);
    let watched = socket.done("presence.watch", &both);
    assert_eq!(watched["users"][0]["last_seen"], json!(seen));
    // Not friends any more: nothing is said of what comes after.
    ben.unfollows(&ann);
    let _back = ben.socket();
    assert_eq!(socket.so_far(), Vec::<Value>::new());
    assert_eq!(socket.done("presence.watch", &both), json!({ "users": [] }));
}

fn typing_goes_to_one_and_ends_by_itself(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben, cid) = (world.register("ann"), world.register("ben"), world.register("cid"));
    let (mut writer, mut reader, mut other) = (ann.socket(), ben.socket(), cid.socket());
    let typing = |on: bool| json!({ "to_user_id": ben.id, "on": on });
    let heard = |on: bool| json!({ "t": "typing", "d": { "from_user_id": ann.id, "on": on } });
    assert_eq!(writer.done("typing", &typing(true)), json!({}));
    assert_eq!(reader.next_event(), heard(true));
    writer.done("typing", &typing(false));
    assert_eq!(reader.next_event(), heard(false));
    writer.done("typing", &typing(true));
    assert_eq!(reader.next_event(), heard(true));
    let began = Instant::now();
    assert_eq!(reader.next_event(), heard(false));
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "by itself, after 6 s: {:?}",
        began.elapsed()
    );
    assert_eq!(other.so_far(), Vec::<Value>::new());
    assert_eq!(
        writer.refused("typing", &json!({ "to_user_id": ann.id, "on": true })),
        "bad_request"
    );
}

fn followers_hear_of_a_publish_and_others_of_a_number(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben, cid) = (world.register("ann"), world.register("ben"), world.register("cid"));
    ben.follows(&ann);
    let old = cid.publishes("old");
    let (mut follower, mut stranger) = (ben.socket(), cid.socket());
    assert_eq!(follower.done("feed.watch", &json!({})), json!({ "newer": 0 }));
    let since = json!({ "since": 1 });
    assert_eq!(stranger.done("feed.watch", &since), json!({ "newer": 1 }), "{old:?}");
    let video = ann.publishes("new");
    let mut told = [follower.next_of("feed.new"), follower.next_of("feed.new")];
    told.sort_by_key(|event| event["d"].get("newer").is_some());
    let shown = &told[0]["d"]["video"];
    assert_eq!(
        (&shown["id"], &shown["author_id"], &shown["title"]),
        (&json!(video.id), &json!(ann.id), &json!("new"))
    );
    assert_eq!(told[1]["d"], json!({ "newer": 1 }));
    assert_eq!(stranger.next_of("feed.new")["d"], json!({ "newer": 2 }));
    assert_eq!(follower.so_far(), Vec::<Value>::new());
}
