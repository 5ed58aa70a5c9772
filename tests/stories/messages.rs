//! Chat: oldest first, strictly increasing, and a poller that loses and repeats nothing (contract 7.4, 7.5).

use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::SimpleConnection;

use crate::harness::{Kind, Params, World, at_once, on_both_stores};

on_both_stores!(
    a_conversation_is_the_two_peoples_oldest_first,
    a_poll_brings_only_the_other_sides_news,
    a_poller_loses_and_repeats_nothing_during_a_storm,
    texts_arrive_byte_for_byte_and_whole,
    what_is_refused_is_not_sent,
    a_clock_that_steps_back_loses_no_message,
);

fn a_conversation_is_the_two_peoples_oldest_first(kind: Kind) {
    let world = World::new(kind);
    let [ann, ben, cleo] = ["ann", "ben", "cleo"].map(|name| world.register(name));
    assert_eq!(ann.chat(&ben, &0), []);
    ann.tells(&ben, "one");
    ben.tells(&ann, "two");
    cleo.tells(&ann, "from somebody else");
    ann.tells(&ben, "three");

    for pre in ["0", ""] {
        let chat = ann.chat(&ben, &pre);
        let texts: Vec<&str> = chat.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(
            texts,
            ["one", "two", "three"],
            "strangers may write; both directions, oldest first"
        );
        assert_eq!(chat, ben.chat(&ann, &pre), "both see the same");
    }
    let bare = ann.get("/douyin/message/chat/", &[("to_user_id", &ben.id)]).success();
    assert_eq!(
        bare["message_list"].as_array().unwrap().len(),
        3,
        "older apps send no pre_msg_time"
    );
    assert_eq!(cleo.chat(&ben, &0), []);
    assert_eq!(cleo.chat(&ann, &0).len(), 1);
}

fn a_poll_brings_only_the_other_sides_news(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.tells(&ben, "one");
    ben.tells(&ann, "two");
    ann.tells(&ben, "three");
    ben.tells(&ann, "four");
    let all = ann.chat(&ben, &0);
    let times: Vec<i64> = all.iter().map(|message| message.create_time).collect();

    let texts = |pre: i64| -> Vec<String> {
        let news = ann.chat(&ben, &pre);
        news.into_iter().map(|message| message.content).collect()
    };
    assert_eq!(texts(times[0]), ["two", "four"], "the app shows its own already");
    assert_eq!(texts(times[1]), ["four"], "strictly newer");
    assert_eq!(texts(times[3] - 1), ["four"]);
    assert_eq!(texts(times[3]), [""; 0]);
    assert_eq!(texts(times[3] + 86_400_000), [""; 0], "a future value");
    assert_eq!(texts(times[0] / 1000 - 1), ["two", "four"], "seconds are read as well");
    for garbage in ["-1", "abc", "99999999999999999999", "1e400", " "] {
        let reply = ann.get(
            "/douyin/message/chat/",
            &[("to_user_id", &ben.id), ("pre_msg_time", &garbage)],
        );
        assert_eq!(reply.status, 200, "{garbage}");
    }
}

fn a_poller_loses_and_repeats_nothing_during_a_storm(kind: Kind) {
    const SENDERS: usize = 4;
    const EACH: usize = 25;
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.tells(&ben, "start");
    let finished = AtomicUsize::new(0);
    let results = at_once(SENDERS + 2, |thread| {
        if thread < SENDERS {
            for number in 0..EACH {
                ann.tells(&ben, &format!("{thread}/{number}"));
            }
            finished.fetch_add(1, Ordering::SeqCst);
            return Vec::new();
        }
        if thread == SENDERS {
            for number in 0..EACH {
                ben.tells(&ann, &format!("back {number}"));
            }
            finished.fetch_add(1, Ordering::SeqCst);
            return Vec::new();
        }
        // The poller does what the app does, only without its pause of a second.
        let mut held = ben.chat(&ann, &0);
        held.retain(|message| message.from_user_id == ann.id);
        loop {
            let last_round = finished.load(Ordering::SeqCst) == SENDERS + 1;
            let newest = held.last().map_or(0, |message| message.create_time);
            let news = ben.chat(&ann, &newest);
            assert!(
                news.iter().all(|message| message.from_user_id == ann.id),
                "one's own never come"
            );
            held.extend(news);
            if last_round {
                return held;
            }
        }
    });
    let held = &results[SENDERS + 1];
    assert!(
        held.windows(2).all(|pair| pair[0].create_time < pair[1].create_time),
        "strictly increasing"
    );
    let mut texts: Vec<String> = held.iter().map(|message| message.content.clone()).collect();
    for thread in 0..SENDERS {
        let own: Vec<&String> = texts
            .iter()
            .filter(|text| text.starts_with(&format!("{thread}/")))
            .collect();
        let sent: Vec<String> = (0..EACH).map(|number| format!("{thread}/{number}")).collect();
        assert_eq!(
            own,
            sent.iter().collect::<Vec<_>>(),
            "each once, in the order it was sent"
        );
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), SENDERS * EACH + 1);
    assert_eq!(ann.chat(&ben, &0).len(), (SENDERS + 1) * EACH + 1);
}

fn texts_arrive_byte_for_byte_and_whole(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let longest = "🦀".repeat(500);
    let texts = [
        longest.as_str(),
        "  both ends  ",
        "👨\u{200d}🚀 \u{202e}rtl",
        "'; DROP TABLE messages; --",
        "<b>&amp;</b>",
        "tab\tand\nline",
        "null",
    ];
    for text in texts {
        ann.tells(&ben, text);
    }
    let chat = ben.chat(&ann, &0);
    assert!(chat.iter().map(|message| message.content.as_str()).eq(texts));
    let longer = "x".repeat(5000);
    let reply = ann.message(ben.id, &longer);
    if reply.text().contains("\"status_code\":0") {
        assert_eq!(ben.chat(&ann, &0).last().unwrap().content, longer);
    } else {
        reply.refused();
        assert_eq!(ben.chat(&ann, &0).len(), texts.len());
    }
}

fn what_is_refused_is_not_sent(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.message(ann.id, "to myself").refused();
    ann.message(99, "to nobody").refused();
    ann.message(ben.id, "").refused();
    world.guest().message(ben.id, "from nobody").refused();
    for action in ["0", "2", "", "-1", "x", "4294967297"] {
        let params: Params<'_> = &[("to_user_id", &ben.id), ("action_type", &action), ("content", &"no")];
        ann.post("/douyin/message/action/", params).refused();
    }
    ann.post(
        "/douyin/message/action/",
        &[("to_user_id", &ben.id), ("action_type", &1)],
    )
    .refused();
    assert_eq!(ben.chat(&ann, &0), []);
    world
        .guest()
        .get("/douyin/message/chat/", &[("to_user_id", &ben.id)])
        .refused();
    ann.get("/douyin/message/chat/", &[("to_user_id", &"")]).refused();
    assert_eq!(ann.friends(), []);
}

fn a_clock_that_steps_back_loses_no_message(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.tells(&ben, "from the future");
    // As if the machine's clock had been an hour ahead until now.
    let shift = "UPDATE conversations SET last_time = last_time + 3600000; \
                 UPDATE messages SET create_time = create_time + 3600000";
    world.connection().batch_execute(shift).unwrap();
    let held = ben.chat(&ann, &0)[0].create_time;
    for number in 0..3 {
        ann.tells(&ben, &number.to_string());
    }
    let news: Vec<String> = ben
        .chat(&ann, &held)
        .into_iter()
        .map(|message| message.content)
        .collect();
    assert_eq!(news, ["0", "1", "2"]);
    assert_eq!(ben.chat(&ann, &0).len(), 4);
}
